"""Machines: what an EC2 instance in state running is here (Linux).

``detect`` finds how well a machine can be set apart, ``Machine`` is one of them, ``MetadataServer`` its IMDS. What
runs *inside* (``monitor``, ``init`` and the shims) is started from a copy in the machine's folder and never imports
this file. A machine keeps honest work apart; it is no jail for hostile code: its kernel and its network are the host's.
"""

from __future__ import annotations

from local_aws.machines.imds import Credentials, InstanceFacts, MetadataProvider, MetadataServer, Notices
from local_aws.machines.isolation import detect
from local_aws.machines.machine import Machine, RemoteProcess
from local_aws.machines.spec import BootError, Isolation, MachineError, MachineSpec

__all__ = [
    "BootError",
    "Credentials",
    "InstanceFacts",
    "Isolation",
    "Machine",
    "MachineError",
    "MachineSpec",
    "MetadataProvider",
    "MetadataServer",
    "Notices",
    "RemoteProcess",
    "detect",
]
