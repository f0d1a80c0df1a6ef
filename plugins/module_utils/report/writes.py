# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The writes to the data bucket and the evidence for them.

There are two kinds of evidence: a count of requests, from the ledger of the embedded AWS, and digests of the objects
before and after the run, which work on any AWS. Either is enough to prove that nothing was written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..checks.records import one_line
from .text import count_of, counted, duration, number

CHANGES = ("added", "removed", "modified")
#: Number of changed keys named in one line.
NAMED_CHANGES = 3


def shape_writes(given: Mapping[str, Any] | None, notes: list[str]) -> dict[str, Any]:
    """Normalise ``{data_bucket, denied, evidence, digest}``, each optional; an unknown count is None, never 0.

    ``notes`` receives a line if evidence is missing or invalid.
    """
    writes = {"evidence": None, **(given or {}), "data_bucket": count_of((given or {}).get("data_bucket"))}
    if "denied" in writes:
        writes["denied"] = count_of(writes["denied"])
    if "digest" in writes:
        writes["digest"] = _digest(writes["digest"], notes)
    if writes["data_bucket"] is None and kept(writes) is None:
        notes.append("the writes to the data bucket were not counted")
    return writes


def kept(writes: Mapping[str, Any]) -> bool | None:
    """Return whether the digests are equal; None without two digests."""
    return (writes.get("digest") or {}).get("equal")


def nothing_written(writes: Mapping[str, Any]) -> bool:
    """Return whether the evidence proves that nothing was written to the data bucket."""
    if writes["data_bucket"] or kept(writes) is False:
        return False
    return writes["data_bucket"] == 0 or kept(writes) is True


def breach_by_writes(writes: Mapping[str, Any], what: str) -> str | None:
    """Return, in one sentence, how a ``preflight`` or ``smoke training`` broke the rule to write nothing, or None."""
    if writes["data_bucket"]:
        return f"a {what} wrote to the data bucket ({counted(writes['data_bucket'], 'write')})"
    if writes.get("denied"):
        tried = "was" if writes["denied"] == 1 else "were"
        return (
            f"{counted(writes['denied'], 'write')} to the data bucket {tried} tried and refused: "
            f"a {what} must not even try"
        )
    if kept(writes) is False:
        return f"the data bucket changed during the {what} run: {changes_line(writes['digest'])}"
    return None


def writes_line(writes: Mapping[str, Any]) -> str:
    """Return the number of writes to the data bucket and the evidence in one line."""
    count, denied = writes["data_bucket"], writes.get("denied")
    how_many = f"{counted(count, 'object')} " if count else "none " if nothing_written(writes) else ""
    refused = f"{denied:,} tried and refused" if denied else ""
    unknown = "not counted" if count is None and kept(writes) is None else ""
    more = "; ".join(part for part in (refused, proof_line(writes), unknown) if part)
    return f"{how_many}to the data bucket" + (f": {more}" if more else "")


def proof_line(writes: Mapping[str, Any]) -> str:
    """Return the result of the digests; empty without two digests."""
    digest = writes.get("digest")
    if kept(writes) is None or not digest:
        return ""
    if not digest["equal"]:
        return changes_line(digest)
    took = [part["seconds"] for part in (digest["before"], digest["after"]) if part["seconds"] is not None]
    seconds = f" ({duration(sum(took))})" if took else ""
    return f"digest of {counted(digest['before']['objects'], 'object')} equal before and after{seconds}"


def changes_line(digest: Mapping[str, Any]) -> str:
    """Count the changed objects and name the first ones."""
    changed: Sequence[Mapping[str, Any]] = digest["changed"]
    named = [f"{entry['change']} {entry['key']}" for entry in changed[:NAMED_CHANGES]]
    count = digest["changed_count"]
    if not named:
        return "the digests differ" if not count else f"{counted(count, 'object')} changed"
    if count > len(named):
        named.append("…")
    return f"{counted(count, 'object')} changed ({', '.join(named)})"


def _digest(value: Any, notes: list[str]) -> dict[str, Any] | None:
    """Normalise the digests; None if they are missing or invalid."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        notes.append("the digest of the data bucket is invalid; ignored")
        return None
    before, after = _half(value.get("before")), _half(value.get("after"))
    equal = value.get("equal") if isinstance(value.get("equal"), bool) else None
    if before["sha256"] is None or after["sha256"] is None:
        # One digest proves nothing, even if `equal` is set.
        equal = None
    elif before["sha256"] != after["sha256"]:
        equal = False
    if equal is None:
        notes.append("the digest of the data bucket was not taken both before and after, so it proves nothing")
    changed = [
        {"key": one_line(entry.get("key")), "change": entry["change"] if entry.get("change") in CHANGES else "changed"}
        for entry in _list(value.get("changed"))
        if isinstance(entry, Mapping)
    ]
    counted_changes = count_of(value.get("changed_count"))
    return {
        "before": before,
        "after": after,
        "equal": equal,
        "prefixes": [one_line(prefix) for prefix in _list(value.get("prefixes"))],
        "changed": changed,
        "changed_count": max(len(changed), counted_changes or 0),
    }


def _half(value: Any) -> dict[str, Any]:
    """Normalise one digest; unknown values are None."""
    fields = value if isinstance(value, Mapping) else {}
    return {
        "sha256": one_line(fields.get("sha256")) or None,
        "objects": count_of(fields.get("objects")),
        "bytes": count_of(fields.get("bytes")),
        "seconds": number(fields.get("seconds")),
    }


def _list(value: Any) -> list[Any]:
    """Return a list, or an empty one for anything else."""
    return list(value) if isinstance(value, (list, tuple)) else []
