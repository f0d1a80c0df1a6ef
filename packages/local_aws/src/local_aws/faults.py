"""Faults on demand: what can go wrong in AWS, provoked on purpose.

| kind | effect | parameters |
| --- | --- | --- |
| ``latency`` | every matching request waits | ``milliseconds``, ``count``, ``service``, ``action`` |
| ``throttle`` | the service's throttling error | ``every``, ``seconds``, ``count``, ``service``, ``action`` |
| ``error`` | the request gets an error | as ``throttle``, and ``status``, ``code``, ``message``, ``late`` |
| ``capacity`` | RunInstances is refused | ``code``, ``type``, ``az``, ``market``, ``late``, ``count`` |
| ``no_instance_id`` | RunInstances launches, and its answer names no instance | ``count`` |
| ``never_online`` | instances launched from now on never register with SSM | ``count`` |
| ``boot_delay`` | instances launched from now on register later | ``seconds``, ``count`` |
| ``boot_failure`` | instances launched from now on fail to boot | ``count`` |
| ``credentials`` | role credentials handed out to instances from now on last so long | ``seconds``, ``count`` |
| ``quota`` | the quota of vCPUs is this low, and a launch over it is refused | ``value``, ``code``, ``count`` |

A ``late`` one lets the request take effect and replaces its answer. With ``every`` n the first matching request is
hit, then each n-th after it. With ``seconds`` an ``error`` or ``throttle`` ends by itself.

One-off events, not kept in the list: ``cut`` (drop the session sockets of an instance), ``interrupt`` (spot
interruption notice, then reclaim after ``seconds``), ``rebalance`` (recommendation only), ``unreachable`` (network
partition, for ever; with ``torn`` in the middle of the next long line that a session prints) and ``vanish`` (the
hardware fails).
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local_aws.state import LocalAwsError

Fact = str | bool | None

PARAMETERS: dict[str, dict[str, type]] = {
    "latency": {"milliseconds": float, "service": str, "action": str, "count": int},
    "throttle": {"service": str, "action": str, "every": int, "seconds": float, "count": int},
    "error": {
        "status": int,
        "code": str,
        "message": str,
        "late": bool,
        "service": str,
        "action": str,
        "every": int,
        "seconds": float,
        "count": int,
    },
    "capacity": {"code": str, "type": str, "az": str, "market": str, "late": bool, "count": int},
    "no_instance_id": {"count": int},
    "never_online": {"count": int},
    "boot_delay": {"seconds": float, "count": int},
    "boot_failure": {"count": int},
    "credentials": {"seconds": float, "count": int},
    "quota": {"value": float, "code": str, "count": int},
}
# What a fault of a kind is when its parameter is left out.
DEFAULTS: dict[str, dict[str, Any]] = {
    "error": {"late": False},
    "capacity": {"late": False},
    "credentials": {"seconds": 60.0},
    "quota": {"value": 0.0},
}
# Kinds that end by themselves after their ``seconds``; for other kinds the parameter is a length of something else.
ENDING = frozenset({"throttle", "error"})
EVENTS: dict[str, dict[str, type]] = {
    "cut": {"instance": str},
    "interrupt": {"instance": str, "seconds": float},
    "rebalance": {"instance": str},
    "unreachable": {"instance": str, "torn": bool},
    "vanish": {"instance": str},
}


@dataclass
class Fault:
    """One fault; ``count`` requests or launches are left to it, None means for ever, 0 that it has ended."""

    id: str
    kind: str
    parameters: dict[str, Any] = field(default_factory=dict)
    count: int | None = None
    hits: int = 0
    seen: int = 0
    ends: float | None = None
    """When it ends by itself, on the monotonic clock."""

    def live(self) -> bool:
        """Whether it has anything left to break; one whose time is over has not."""
        if self.ends is not None and time.monotonic() >= self.ends:
            self.count = 0
        return self.count != 0

    def matches(self, facts: Mapping[str, Fact]) -> bool:
        """Whether every selector this fault has agrees with ``facts``."""
        return all(name not in self.parameters or self.parameters[name] == value for name, value in facts.items())

    def hit(self) -> bool:
        """Count one matching request; whether it is one that is broken."""
        self.seen += 1
        if (self.seen - 1) % self.parameters.get("every", 1):
            return False
        self.hits += 1
        if self.count is not None:
            self.count -= 1
        return True


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
                f"unknown fault {kind!r}; known: {', '.join([*sorted(PARAMETERS), *sorted(EVENTS), 'clear'])}"
            )
        values = {**DEFAULTS.get(kind, {}), **_typed(kind, parameters, known)}
        count = values.pop("count", None)
        with self._lock:
            fault = Fault(f"fault-{next(self._numbers)}", kind, values, count)
            if kind in ENDING and "seconds" in values:
                fault.ends = time.monotonic() + values["seconds"]
            self._faults[fault.id] = fault
        return fault

    def clear(self, identifier: str | None = None) -> int:
        """Remove one fault, or all; return how many were removed."""
        with self._lock:
            gone = [key for key in self._faults if identifier in (None, key)]
            for key in gone:
                del self._faults[key]
        return len(gone)

    def take(self, kind: str, **facts: Fact) -> Fault | None:
        """Return the first matching fault of a kind that breaks this request, and use one of its counts up."""
        with self._lock:
            for fault in self._faults.values():
                if fault.kind == kind and fault.live() and fault.matches(facts) and fault.hit():
                    return fault
        return None

    def pending(self, kind: str, **facts: Fact) -> bool:
        """Whether a matching fault of a kind still has something to break; uses nothing up."""
        with self._lock:
            return any(fault.kind == kind and fault.live() and fault.matches(facts) for fault in self._faults.values())

    def listing(self) -> list[dict[str, Any]]:
        """The faults as plain dicts: ``id``, ``kind``, ``parameters``, ``count``, ``hits``."""
        with self._lock:
            return [
                {
                    "id": f.id,
                    "kind": f.kind,
                    "parameters": f.parameters,
                    "count": f.count if f.live() else 0,
                    "hits": f.hits,
                }
                for f in self._faults.values()
            ]


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
            values[name] = _bool(value) if known[name] is bool else known[name](value)
        except ValueError as error:
            raise LocalAwsError(f"fault {kind}: {name}={value!r} is no {known[name].__name__}") from error
        if known[name] is not str and not 0 <= values[name] < math.inf:
            raise LocalAwsError(f"fault {kind}: {name}={value!r} must be a number of 0 or more")
    if not 400 <= values.get("status", 500) < 600:
        raise LocalAwsError(f"fault {kind}: status={values['status']} is no HTTP error (400 to 599)")
    for name in ("count", "every"):
        if values.get(name) == 0:
            raise LocalAwsError(f"fault {kind}: {name}=0 would never happen")
    return values


def _bool(value: Any) -> bool:
    text = str(value).lower()
    if text not in ("true", "false"):
        raise ValueError(value)
    return text == "true"
