"""Load the callback spot_train.core.run with every playbook in this folder, regardless of the configuration."""

from __future__ import annotations

from ansible_collections.spot_train.core.plugins.callback.run import DOCUMENTATION, CallbackModule

__all__ = ["DOCUMENTATION", "CallbackModule"]
