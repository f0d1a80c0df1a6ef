"""Load the callback spot_train.core.run_events with every playbook of this folder."""

from __future__ import annotations

from ansible_collections.spot_train.core.plugins.callback.run_events import DOCUMENTATION, CallbackModule

__all__ = ["DOCUMENTATION", "CallbackModule"]
