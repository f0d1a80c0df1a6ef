"""Load the callback spot_train.core.run_interrupt with every playbook of this folder."""

from __future__ import annotations

from ansible_collections.spot_train.core.plugins.callback.run_interrupt import DOCUMENTATION, CallbackModule

__all__ = ["DOCUMENTATION", "CallbackModule"]
