"""Fault injection; the README describes every kind of fault and its parameters."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local_aws.state import LocalAwsError

Fact = str | bool | None

_REPEATED: dict[str, type] = {"service": str, "action": str, "every": int, "seconds": float, "count": int}
PARAMETERS: dict[str, dict[str, type]] = {
    "latency": {"milliseconds": float, "service": str, "action": str, "count": int},
    "throttle": _REPEATED,
    "error": {"status": int, "code": str, "message": str, "late": bool, **_REPEATED},
    "capacity": {"code": str, "type": str, "az": str, "market": str, "late": bool, "count": int},
    "no_instance_id": {"count": int},
    "never_online": {"count": int},
    "boot_delay": {"seconds": float, "count": int},
    "boot_failure": {"count": int},
    "credentials": {"seconds": float, "count": int},
    "quota": {"value": float, "code": str, "count": int},
}
# Default parameters.
DEFAULTS: dict[str, dict[str, Any]] = {
    "error": {"late": False},
    "capacity": {"late": False},
    "credentials": {"seconds": 60.0},
    "quota": {"value": 0.0},
}
# Kinds that expire after their ``seconds``, which means something else in other kinds.
EXPIRING = frozenset({"throttle", "error"})
EVENTS: dict[str, dict[str, type]] = {
    "cut": {"instance": str},
    "interrupt": {"instance": str, "seconds": float},
    "rebalance": {"instance": str},
    "unreachable": {"instance": str, "torn": bool},
    "vanish": {"instance": str},
}


@dataclass
class Fault:
    """One fault; ``count`` is how many hits it has left: None for no limit, 0 once it has ended."""

    id: str
    kind: str
    parameters: dict[str, Any] = field(default_factory=dict)
    count: int | None = None
    hits: int = 0
    seen: int = 0
    ends: float | None = None
    """When it expires, on the monotonic clock."""

    def live(self) -> bool:
        """Whether it can still hit: it has neither expired nor used up its count."""
        if self.ends is not None and time.monotonic() >= self.ends:
            self.count = 0
        return self.count != 0

    def matches(self, facts: Mapping[str, Fact]) -> bool:
        """Whether every selector of the fault equals its value in ``facts``."""
        return all(name not in self.parameters or self.parameters[name] == value for name, value in facts.items())

    def hit(self) -> bool:
        """Count a matching request; return whether the fault hits it."""
        self.seen += 1
        if (self.seen - 1) % self.parameters.get("every", 1):
            return False
        self.hits += 1
        if self.count is not None:
            self.count -= 1
        return True


class Faults:
    """The active faults; thread-safe."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, kind: str, parameters: dict[str, Any]) -> Fault:
        """Add a fault; raise LocalAwsError for an unknown kind or parameter, or an invalid value."""
        known = PARAMETERS.get(kind)
        if known is None:
            kinds = ", ".join([*sorted(PARAMETERS), *sorted(EVENTS), "clear"])
            raise LocalAwsError(f"fault: expected one of {kinds}, got {kind!r}")
        values = {**DEFAULTS.get(kind, {}), **_typed(kind, parameters, known)}
        count = values.pop("count", None)
        with self._lock:
            fault = Fault(f"fault-{next(self._numbers)}", kind, values, count)
            if kind in EXPIRING and "seconds" in values:
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
        """Return the first fault of a kind that hits a request with these facts, and count the hit."""
        with self._lock:
            for fault in self._faults.values():
                if fault.kind == kind and fault.live() and fault.matches(facts) and fault.hit():
                    return fault
        return None

    def pending(self, kind: str, **facts: Fact) -> bool:
        """Whether a fault of a kind could hit a request with these facts; counts nothing."""
        with self._lock:
            return any(fault.kind == kind and fault.live() and fault.matches(facts) for fault in self._faults.values())

    def listing(self) -> list[dict[str, Any]]:
        """The faults as plain dicts: ``id``, ``kind``, ``parameters``, ``count``, ``hits``."""
        with self._lock:
            names = ("id", "kind", "parameters", "count", "hits")
            for fault in self._faults.values():
                fault.live()  # sets the count of an expired one to 0
            return [{name: getattr(fault, name) for name in names} for fault in self._faults.values()]


def check_event(kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The converted parameters of a one-off event; LocalAwsError for an invalid one, or without an instance."""
    values = _typed(kind, parameters, EVENTS[kind])
    if not values.get("instance"):
        raise LocalAwsError(f"fault {kind}: instance: expected an instance id, got none")
    return values


_EXPECTED = {float: "a number of at least 0", int: "a whole number of at least 0", bool: "true or false", str: "a text"}
# Closer limits of some parameters: a test, and what is expected.
_LIMITS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "status": (lambda value: 400 <= value < 600, "an HTTP error (400 to 599)"),
    "count": (bool, "at least 1"),
    "every": (bool, "at least 1"),
}


def _typed(kind: str, parameters: dict[str, Any], known: dict[str, type]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in parameters.items():
        if name not in known:
            raise LocalAwsError(f"fault {kind}: expected one of {', '.join(sorted(known))}, got {name!r}")
        valid, expected = _LIMITS.get(name, (None, _EXPECTED[known[name]]))
        try:
            values[name] = _BOOLEANS[str(value).lower()] if known[name] is bool else known[name](value)
            correct = known[name] is str or 0 <= values[name] < math.inf
        except (KeyError, ValueError):
            correct = False
        if not correct or (valid and not valid(values[name])):
            raise LocalAwsError(f"fault {kind}: {name}: expected {expected}, got {value!r}")
    return values


_BOOLEANS = {"true": True, "false": False}
