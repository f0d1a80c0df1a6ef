"""The ledger: one JSON line for every request, the proof of what was and was not written.

A line has ``time`` (ISO 8601, UTC), ``id``, ``principal`` (ARN or ``anonymous``), ``source`` (``control-node``,
``operator``, the id of the instance whose role signed, or ``scheduler`` or ``ssm`` for what these do by themselves),
``service``, ``action`` (the API operation), ``permission`` (the IAM action it needs), ``resource`` (ARN, or ``*``
where the operation names none), ``write`` (would it change anything), ``allowed``, ``status`` (HTTP), ``error`` (code
or null), ``presigned`` and ``seconds``.
"""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local_aws.state import LocalAwsError

READ_PREFIXES = ("Describe", "Get", "List", "Head", "Lookup", "Select", "Simulate", "Search", "Decode")
# Operations that change nothing in the account although their name does not say so.
READ_OPERATIONS = frozenset(
    {"AssumeRole", "StartSession", "ResumeSession", "TerminateSession", "ValidateTemplate", "FilterLogEvents"}
)


def is_write(action: str) -> bool:
    """Whether an API operation, once allowed, may change something that outlives the request."""
    return not (action.startswith(READ_PREFIXES) or action in READ_OPERATIONS)


class Ledger:
    """Appends to ``path``; safe to use from many threads."""

    def __init__(self, path: Path) -> None:
        """Open ``path`` for appending."""
        self.path = path
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._file = path.open("a", buffering=1)
        if path.stat().st_size:
            with path.open("rb") as former:
                former.seek(-1, os.SEEK_END)
                if former.read() != b"\n":
                    self._file.write("\n")  # a line that a killed process did not finish stays by itself

    def record(self, **fields: Any) -> None:
        """Append one line; ``time`` and ``id`` are added."""
        with self._lock:
            line = {"time": timestamp(), "id": next(self._numbers), **fields}
            self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


def timestamp(moment: datetime | None = None) -> str:
    """ISO 8601 in UTC with microseconds, as the ledger writes it."""
    return (moment or datetime.now(UTC)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the ledger's entries, oldest first; a line that was not, or not yet, written to its end is left out."""
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
    """Yield the entries that satisfy every filter given.

    Args:
        entries: Ledger entries.
        since: Earliest time, ISO 8601 UTC (compared as text after the same normalisation as the ledger's).
        until: Latest time, likewise.
        service: For example ``s3``.
        action: API operation, for example ``PutObject``.
        source: ``control-node``, ``operator``, ``scheduler``, ``ssm``, an instance id or ``instance`` (any).
        bucket: Name of an S3 bucket.
        without_operator: Leave out what the operator did (making the account, loading prices).
        writes: Only requests that would change something.
        denied: Only requests that were refused.

    Raises:
        LocalAwsError: A time cannot be read.
    """
    since, until = _normal(since), _normal(until)
    for entry in entries:
        if (since and entry["time"] < since) or (until and entry["time"] > until):
            continue
        if (service and entry["service"] != service) or (action and entry["action"] != action):
            continue
        if source == "instance":
            if not str(entry["source"]).startswith("i-"):
                continue
        elif source and entry["source"] != source:
            continue
        if without_operator and entry["source"] == "operator":
            continue
        if bucket and not _in_bucket(entry["resource"], bucket):
            continue
        if (writes and not entry["write"]) or (denied and entry["allowed"]):
            continue
        yield entry


def count(entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Totals of some entries: ``requests``, ``writes`` (allowed), ``denied_writes``, and ``calls`` by operation."""
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
        raise LocalAwsError(f"{moment!r} is no time in ISO 8601, such as 2026-01-31T12:00:00Z") from error


def _in_bucket(resource: str, bucket: str) -> bool:
    arn = f"arn:aws:s3:::{bucket}"
    return resource == arn or resource.startswith(arn + "/")
