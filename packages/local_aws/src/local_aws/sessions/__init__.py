"""SSM sessions: the data channel of Session Manager, both ends.

``SessionServer`` is the agent's end, hosted by the embedded AWS; ``plugin`` is a ``session-manager-plugin`` for the
control node. Shared by both: ``frames`` (one message on the wire) and ``stream`` (order, acknowledgement, resending).

The plugin starts once for every Ansible task, so nothing is imported here before it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local_aws.sessions.agent import MachineGone, ShellOpener, ShellProcess
    from local_aws.sessions.server import SessionServer, UnknownSession, UnsupportedDocument

__all__ = ["MachineGone", "SessionServer", "ShellOpener", "ShellProcess", "UnknownSession", "UnsupportedDocument"]

_HOMES = {
    "MachineGone": "agent",
    "SessionServer": "server",
    "ShellOpener": "agent",
    "ShellProcess": "agent",
    "UnknownSession": "server",
    "UnsupportedDocument": "server",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
