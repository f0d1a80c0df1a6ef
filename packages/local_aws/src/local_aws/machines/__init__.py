"""The machines behind running EC2 instances (Linux only).

``detect`` finds the best isolation, ``Machine`` is a machine, ``imds`` its metadata service. The code *inside*
(``monitor``, ``init`` and the shims) runs from a copy in the machine's folder and never imports this file. A machine is
not a security boundary: its kernel and network are the host's.
"""

from __future__ import annotations

from local_aws.machines.isolation import detect
from local_aws.machines.machine import Machine, RemoteProcess
from local_aws.machines.spec import BootError, Isolation, MachineSpec

__all__ = ["BootError", "Isolation", "Machine", "MachineSpec", "RemoteProcess", "detect"]
