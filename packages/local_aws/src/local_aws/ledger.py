"""The ledger: one JSON line for every request; the README lists its fields."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_aws.state import LocalAwsError

if TYPE_CHECKING:
    from local_aws.requests import AwsRequest

READ_PREFIXES = ("Describe", "Get", "List", "Head", "Lookup", "Select", "Simulate", "Search", "Decode")
# Operations that change nothing in the account although their names suggest it.
READ_OPERATIONS = frozenset(
    {"AssumeRole", "StartSession", "ResumeSession", "TerminateSession", "ValidateTemplate", "FilterLogEvents"}
)


def is_write(action: str) -> bool:
    """Whether an API operation, once allowed, may change something that outlives the request."""
    return not (action.startswith(READ_PREFIXES) or action in READ_OPERATIONS)


class Ledger:
    """Appends to ``path``; thread-safe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._file = path.open("a", buffering=1)
        if path.stat().st_size:
            with path.open("rb") as former:
                former.seek(-1, os.SEEK_END)
                if former.read() != b"\n":
                    self._file.write("\n")  # ends a line that a killed process left unfinished

    def record(self, **fields: Any) -> None:
        """Append one line; ``time`` and ``id`` are added."""
        with self._lock:
            line = {"time": timestamp(), "id": next(self._numbers), **fields}
            self._file.write(json.dumps(line) + "\n")

    def record_request(
        self,
        request: AwsRequest,
        caller: tuple[str, str],
        started: float,
        allowed: bool,
        status: int,
        error: str | None,
    ) -> None:
        """Append the line of a request; ``caller`` is principal and source, ``started`` on the monotonic clock."""
        self.record(
            principal=caller[0],
            source=caller[1],
            service=request.service,
            action=request.action,
            permission=request.permission,
            resource=request.resource,
            write=is_write(request.action) and not request.dry_run,
            allowed=allowed,
            status=status,
            error=error,
            presigned=request.presigned,
            seconds=round(time.monotonic() - started, 6),
        )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


def timestamp(moment: datetime | None = None) -> str:
    """ISO 8601 in UTC with microseconds, as in the ledger."""
    return (moment or datetime.now(UTC)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of the ledger, oldest first, without unfinished lines."""
    if not path.exists():
        return
    with path.open() as handle:
        for line in handle:
            if line.endswith("}\n"):
                yield json.loads(line)


def select(
    entries: Iterable[dict[str, Any]],
    *,
    since: str | None = None,
    until: str | None = None,
    service: str | None = None,
    action: str | None = None,
    source: str | None = None,
    bucket: str | None = None,
    without_operator: bool = False,
    writes: bool = False,
    denied: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield the entries that pass every filter (see the options of ``log``); LocalAwsError for an invalid time."""
    since, until = _normal(since), _normal(until)
    for entry in entries:
        wanted = (
            not since or entry["time"] >= since,  # as text: the format sorts by time
            not until or entry["time"] <= until,
            not service or entry["service"] == service,
            not action or entry["action"] == action,
            not source or entry["source"] == source or (source == "instance" and entry["source"].startswith("i-")),
            not bucket or f"{entry['resource']}/".startswith(f"arn:aws:s3:::{bucket}/"),
            not (without_operator and entry["source"] == "operator"),
            not writes or entry["write"],
            not denied or not entry["allowed"],
        )
        if all(wanted):
            yield entry


def count(entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Count ``requests``, ``writes`` (allowed), ``denied_writes``, and ``calls`` by operation."""
    totals: dict[str, Any] = {"requests": 0, "writes": 0, "denied_writes": 0, "calls": {}}
    for entry in entries:
        totals["requests"] += 1
        if entry["write"]:
            totals["writes" if entry["allowed"] else "denied_writes"] += 1
        call = f"{entry['service']}.{entry['action']}"
        totals["calls"][call] = totals["calls"].get(call, 0) + 1
    totals["calls"] = dict(sorted(totals["calls"].items()))
    return totals


def _normal(moment: str | None) -> str | None:
    if not moment:
        return None
    try:
        return timestamp(datetime.fromisoformat(moment.replace("Z", "+00:00")).astimezone(UTC))
    except ValueError as error:
        raise LocalAwsError(f"expected a time in ISO 8601 such as 2026-01-31T12:00:00Z, got {moment!r}") from error
