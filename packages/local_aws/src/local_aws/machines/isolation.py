"""Which isolation this user gets on this host: found by booting a small machine, not by guessing from versions."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from local_aws.machines.machine import Machine
from local_aws.machines.spec import SESSION_USER, BootError, Isolation, MachineError, MachineSpec

_PROOF = "test $(id -u) -ne 0 && ! touch /opt/proof && sudo -n sh -c 'touch /opt/proof && rm /opt/proof'"
"""Run as ssm-user: unprivileged, and root with sudo, where a machine writes."""


def detect(folder: Path) -> Isolation:
    """The strongest isolation that works, each falling to the next.

    Args:
        folder: Where machines will be kept; the trial is made there, in a folder that is removed again.

    Returns:
        ``PROCESS_GROUP`` at least: it needs nothing of the kernel.
    """
    if not sys.platform.startswith("linux"):
        return Isolation.PROCESS_GROUP
    for level in (Isolation.OVERLAY, Isolation.USER_NAMESPACE):
        if (level != Isolation.OVERLAY or os.geteuid() == 0) and works(level, folder):
            return level
    return Isolation.PROCESS_GROUP


def works(level: Isolation, folder: Path) -> bool:
    """Whether a machine of this isolation boots below ``folder``, with a session and sudo as they should be."""
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
