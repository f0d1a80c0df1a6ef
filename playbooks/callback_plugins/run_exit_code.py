"""Load the callback spot_train.core.run_exit_code with every playbook of this folder, whatever is enabled in configuration."""

from __future__ import annotations

from ansible_collections.spot_train.core.plugins.callback.run_exit_code import DOCUMENTATION, CallbackModule

__all__ = ["DOCUMENTATION", "CallbackModule"]
