"""Load the callback spot_train.core.run_exit_code with every playbook of this folder."""

from __future__ import annotations

from ansible_collections.spot_train.core.plugins.callback.run_exit_code import DOCUMENTATION, CallbackModule

__all__ = ["DOCUMENTATION", "CallbackModule"]
