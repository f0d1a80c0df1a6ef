"""What a machine is asked to be, and the words both sides of its control socket use.

Everything here is imported on the host *and* by the init inside the machine, so only the standard library.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, Literal

User = Literal["root", "ssm-user"]

SESSION_USER: Literal["ssm-user"] = "ssm-user"
SESSION_HOME = "/home/ssm-user"

RUNTIME = "/run/local-aws"
"""The machine's own folder for shims and the init's socket (the two levels that have a file system of their own)."""


class MachineError(RuntimeError):
    """A machine could not do what it was asked; the text is one line."""


class BootError(MachineError):
    """A machine did not boot; the text is one line."""


class Isolation(StrEnum):
    """How far a machine is set apart from the host, strongest first."""

    OVERLAY = "overlay"
    """Own mount, PID and UTS namespace, overlay on the host's root, real users. Needs root."""
    USER_NAMESPACE = "user-namespace"
    """The same namespaces inside a user namespace: private folders over the places a machine writes, one user id."""
    PROCESS_GROUP = "process-group"
    """No namespace: own sessions, own HOME and TMPDIR, the host's files as the user sees them."""


@dataclass(frozen=True)
class MachineSpec:
    """One machine to start.

    Attributes:
        instance_id: ``i-…``; names the machine in messages.
        hostname: Host name inside, for example ``ip-10-0-0-7``.
        user_data: Decoded user data; a ``#!`` script is run once, as root, at the first boot.
        environment: What ``/etc/environment`` on the image says; every session and every sudo command gets it.
        shared: Host folders bound writable into the machine. Without a mount namespace nothing can be bound: there,
            values of ``environment`` that name the path inside are rewritten to the host folder.
        boot_failure: Let the boot fail, as a broken image would.
        hidden: Host folders a machine must not see into, for example the emulator's state with its keys.
        visible: Host paths to keep visible (read-only) though they lie under a place that the machine has for itself.
            The Python interpreter and the CA bundles named by the environment are always kept.
        minute_seconds: Length of one minute of ``shutdown +N``, in seconds; tests make it short.
    """

    instance_id: str
    hostname: str
    user_data: bytes | None
    environment: Mapping[str, str]
    shared: Mapping[Path, PurePosixPath] = field(default_factory=dict)
    boot_failure: bool = False
    hidden: Sequence[Path] = ()
    visible: Sequence[Path] = ()
    minute_seconds: float = 60.0


@dataclass(frozen=True)
class Boot:
    """What the init is told at start: a ``MachineSpec`` in plain types, with host paths resolved.

    Attributes:
        folder: The machine's folder on the host, absolute and without links.
        python: The interpreter the shims are run with, absolute and without links.
        shared: Host folder to path inside.
        visible: Path inside to host path without links.
        user_data: Base64, or None when there is none or it ran at an earlier boot.
        Others: as in ``MachineSpec``.
    """

    instance_id: str
    hostname: str
    isolation: str
    folder: str
    python: str
    environment: dict[str, str]
    shared: dict[str, str]
    hidden: list[str]
    visible: dict[str, str]
    user_data: str | None
    minute_seconds: float
    boot_failure: bool

    def as_message(self) -> dict[str, Any]:
        """The boot as a JSON object."""
        return asdict(self)

    @property
    def script(self) -> bytes | None:
        """User data as bytes."""
        return None if self.user_data is None else base64.b64decode(self.user_data)

    @property
    def namespaced(self) -> bool:
        """Whether the machine has a file system view and process ids of its own."""
        return self.isolation != Isolation.PROCESS_GROUP
