"""Load the callback spot_train.core.run_options with every playbook of this folder."""

from __future__ import annotations

from ansible_collections.spot_train.core.plugins.callback.run_options import DOCUMENTATION, CallbackModule

__all__ = ["DOCUMENTATION", "CallbackModule"]
