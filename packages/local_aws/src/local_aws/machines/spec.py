"""The description of a machine, for both sides of its control socket.

The host *and* the init inside the machine import this, so it uses the standard library only.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Literal

User = Literal["root", "ssm-user"]

SESSION_USER: Literal["ssm-user"] = "ssm-user"
SESSION_HOME = "/home/ssm-user"

RUNTIME = "/run/local-aws"
"""Folder of a namespaced machine for shims and the init's socket."""


class MachineError(RuntimeError):
    """A machine failed; the text is one line."""


class BootError(MachineError):
    """A machine did not boot; the text is one line."""


class Isolation(StrEnum):
    """How a machine is isolated from the host, strongest first."""

    OVERLAY = "overlay"
    """Mount, PID and UTS namespaces, an overlay on the host's root, real users. Needs root."""
    USER_NAMESPACE = "user-namespace"
    """The same namespaces in a user namespace: private folders where a machine writes, one user id."""
    PROCESS_GROUP = "process-group"
    """No namespace: private sessions, HOME and TMPDIR; the host's files as the user sees them."""


@dataclass(frozen=True)
class MachineSpec:
    """A machine to start.

    Attributes:
        instance_id: ``i-…``; names the machine in messages.
        hostname: Host name inside, for example ``ip-10-0-0-7``.
        user_data: Decoded user data; a ``#!`` script runs once, as root, at the first boot.
        environment: Content of ``/etc/environment``, for every session and every sudo command.
        shared: Host folders bound writable into the machine. Without a mount namespace, values of ``environment`` that
            name the path inside are rewritten to the host folder instead.
        boot_failure: Make the boot fail, as a broken image would.
        hidden: Host folders that a machine must not read, for example the emulator's state with its keys.
        visible: Host paths to keep visible (read-only) under a private folder. The Python interpreter and the CA
            bundles named by the environment are always visible.
        minute_seconds: Length of a minute of ``shutdown +N``, for tests.
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
    """The init's start message: a ``MachineSpec`` in plain types, with host paths resolved.

    Attributes:
        folder: The machine's folder on the host, without links.
        python: The interpreter of the shims, without links.
        shared: Host folder to path inside.
        visible: Path inside to host path without links.
        user_data: Base64; None without user data, or after the first boot.
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

    @property
    def script(self) -> bytes | None:
        """User data as bytes."""
        return None if self.user_data is None else base64.b64decode(self.user_data)

    @property
    def namespaced(self) -> bool:
        """Whether the machine has its own file system view and process ids."""
        return self.isolation != Isolation.PROCESS_GROUP
