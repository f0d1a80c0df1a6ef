"""Finds the isolation that this user gets on this host, by booting a small machine."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from local_aws.machines.machine import Machine
from local_aws.machines.spec import SESSION_USER, BootError, Isolation, MachineError, MachineSpec

_PROOF = "test $(id -u) -ne 0 && ! touch /opt/proof && sudo -n sh -c 'touch /opt/proof && rm /opt/proof'"
"""Run as ssm-user: it has no privileges, and is root with sudo."""


def detect(folder: Path) -> Isolation:
    """The strongest isolation that works for machines in ``folder``; ``PROCESS_GROUP`` always does."""
    if not sys.platform.startswith("linux"):
        return Isolation.PROCESS_GROUP
    for level in (Isolation.OVERLAY, Isolation.USER_NAMESPACE):
        if (level != Isolation.OVERLAY or os.geteuid() == 0) and works(level, folder):
            return level
    return Isolation.PROCESS_GROUP


def works(level: Isolation, folder: Path) -> bool:
    """Whether a machine of this isolation boots below ``folder``, with a working session and sudo."""
    folder.mkdir(parents=True, exist_ok=True)
    trial = Path(tempfile.mkdtemp(prefix="trial-", dir=folder))
    machine = Machine(MachineSpec("trial", "trial", None, {}), trial, level)
    quiet = os.open(os.devnull, os.O_RDWR)
    try:
        machine.start()
        session = machine.spawn(["sh", "-c", _PROOF], user=SESSION_USER, stdin=quiet, stdout=quiet, stderr=quiet)
        return session.wait(30.0) == 0
    except (BootError, MachineError, OSError):
        return False
    finally:
        os.close(quiet)
        machine.destroy()
