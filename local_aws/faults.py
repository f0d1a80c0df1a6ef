"""Faults on demand: what can go wrong in AWS, provoked on purpose.

| kind | effect | parameters |
| --- | --- | --- |
| ``latency`` | every matching request waits | ``milliseconds``, ``count``, ``service``, ``action`` |
| ``throttle`` | the request is refused with the service's throttling error | ``count``, ``service``, ``action`` |
| ``error`` | the request gets an error | ``status``, ``code``, ``message``, ``count``, ``service``, ``action`` |
| ``capacity`` | RunInstances is refused | ``code``, ``type``, ``az``, ``market``, ``count`` |
| ``never_online`` | instances launched from now on never register with SSM | ``count`` |
| ``boot_delay`` | instances launched from now on register later | ``seconds``, ``count`` |
| ``boot_failure`` | instances launched from now on fail to boot | ``count`` |
| ``credentials`` | role credentials handed out to instances from now on last so long | ``seconds``, ``count`` |
| ``quota`` | the quota of vCPUs is this low, and a launch over it is refused | ``value``, ``code``, ``count`` |

One-off events, not kept in the list: ``cut`` (drop the session sockets of an instance) and ``interrupt``
(spot interruption notice, then reclaim after ``seconds``).
"""

from __future__ import annotations

import itertools
import math
import threading
from dataclasses import asdict, dataclass, field
from typing import Any

from local_aws.state import LocalAwsError

PARAMETERS: dict[str, dict[str, type]] = {
    "latency": {"milliseconds": float, "service": str, "action": str, "count": int},
    "throttle": {"service": str, "action": str, "count": int},
    "error": {"status": int, "code": str, "message": str, "service": str, "action": str, "count": int},
    "capacity": {"code": str, "type": str, "az": str, "market": str, "count": int},
    "never_online": {"count": int},
    "boot_delay": {"seconds": float, "count": int},
    "boot_failure": {"count": int},
    "credentials": {"seconds": float, "count": int},
    "quota": {"value": float, "code": str, "count": int},
}
# What a fault of a kind is when its parameter is left out.
DEFAULTS: dict[str, dict[str, Any]] = {"credentials": {"seconds": 60.0}, "quota": {"value": 0.0}}
EVENTS: dict[str, dict[str, type]] = {
    "cut": {"instance": str},
    "interrupt": {"instance": str, "seconds": float},
}


@dataclass
class Fault:
    """One active fault; ``count`` requests or launches are left to it, None means for ever."""

    id: str
    kind: str
    parameters: dict[str, Any] = field(default_factory=dict)
    count: int | None = None
    hits: int = 0

    def matches(self, **facts: str | None) -> bool:
        """Whether every selector this fault has agrees with ``facts``."""
        return all(name not in self.parameters or self.parameters[name] == value for name, value in facts.items())


class Faults:
    """The active faults; safe to use from many threads."""

    def __init__(self) -> None:
        """Start without faults."""
        self._faults: dict[str, Fault] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, kind: str, parameters: dict[str, Any]) -> Fault:
        """Add a fault.

        Raises:
            LocalAwsError: Unknown kind or parameter, or a value of the wrong type.
        """
        known = PARAMETERS.get(kind)
        if known is None:
            raise LocalAwsError(
                f"unknown fault {kind!r}; known: {', '.join(sorted(PARAMETERS))}, cut, interrupt, clear"
            )
        values = {**DEFAULTS.get(kind, {}), **_typed(kind, parameters, known)}
        count = values.pop("count", None)
        with self._lock:
            fault = Fault(f"fault-{next(self._numbers)}", kind, values, count)
            self._faults[fault.id] = fault
        return fault

    def clear(self, identifier: str | None = None) -> int:
        """Remove one fault, or all; return how many were removed."""
        with self._lock:
            gone = [key for key in self._faults if identifier in (None, key)]
            for key in gone:
                del self._faults[key]
        return len(gone)

    def take(self, kind: str, **facts: str | None) -> Fault | None:
        """Return the first matching fault of a kind and use one of its counts up."""
        with self._lock:
            for fault in self._faults.values():
                if fault.kind == kind and fault.count != 0 and fault.matches(**facts):
                    fault.hits += 1
                    if fault.count is not None:
                        fault.count -= 1
                    return fault
        return None

    def pending(self, kind: str) -> bool:
        """Whether a fault of a kind still has something to break."""
        with self._lock:
            return any(fault.kind == kind and fault.count != 0 for fault in self._faults.values())

    def listing(self) -> list[dict[str, Any]]:
        """The faults as plain dicts."""
        with self._lock:
            return [asdict(fault) for fault in self._faults.values()]


def check_event(kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a one-off event, each of its type.

    Raises:
        LocalAwsError: Unknown parameter, a value of the wrong type, or no instance.
    """
    values = _typed(kind, parameters, EVENTS[kind])
    if not values.get("instance"):
        raise LocalAwsError(f"fault {kind} needs instance=<id>")
    return values


def _typed(kind: str, parameters: dict[str, Any], known: dict[str, type]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in parameters.items():
        if name not in known:
            raise LocalAwsError(f"fault {kind} takes no {name!r}; it takes: {', '.join(sorted(known))}")
        try:
            values[name] = known[name](value)
        except ValueError as error:
            raise LocalAwsError(f"fault {kind}: {name}={value!r} is no {known[name].__name__}") from error
        if known[name] is not str and not 0 <= values[name] < math.inf:
            raise LocalAwsError(f"fault {kind}: {name}={value!r} must be a number of 0 or more")
    if not 400 <= values.get("status", 500) < 600:
        raise LocalAwsError(f"fault {kind}: status={values['status']} is no HTTP error (400 to 599)")
    if values.get("count") == 0:
        raise LocalAwsError(f"fault {kind}: count=0 would never happen")
    return values
