# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The scope of a sweep, by tags, and its report."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..aws.client import AWS_ERRORS, ISO, failure, is_gone

PROJECT, RUN, LEASE = "project", "run_id", "lease_expires"
KINDS = ("instances", "volumes", "spot_requests", "launch_templates", "schedules", "transport_keys")
SCHEDULE_CALLS = ("delete schedule", "look up schedule")
# Wildcards of EC2's filters.
WILDCARDS = re.compile(r"[*?\\]")


class Refused(Exception):
    """The sweep changed nothing; the text says in one line why and what to do."""


@dataclass(frozen=True)
class Scope:
    """What to sweep: one run, or every run of a project whose lease has expired.

    Attributes:
        project: Value of the tag ``project``.
        run_id: Value of the tag ``run_id``; empty with ``expired``.
        expired: Whether to sweep expired leases.
        transport_bucket: Bucket of the SSM connection; empty to leave its keys alone.
        at_most: How many instances may be terminated.
        wait_seconds: How long to wait until the instances are terminated.
    """

    project: str
    run_id: str = ""
    expired: bool = False
    transport_bucket: str = ""
    at_most: int = 3
    wait_seconds: float = 200.0

    def __post_init__(self) -> None:
        """Refuse a scope that could match more than one run.

        Raises:
            Refused: A project or run id is missing or a pattern, or both selections are given.
        """
        if not self.project.strip():
            raise Refused("project: expected a name, got an empty text. Nothing was changed.")
        if self.expired == bool(self.run_id.strip()):
            raise Refused("run_id, expired: expected exactly one of them. Nothing was changed.")
        for name, value in (("project", self.project), ("run_id", self.run_id)):
            if WILDCARDS.search(value):
                raise Refused(f"{name}: expected a literal value, got the pattern {value!r}. Nothing was changed.")

    def filters(self) -> list[dict[str, Any]]:
        """The scope as EC2 filters. `takes` checks each resource again."""
        tags = {PROJECT: self.project, **({RUN: self.run_id} if self.run_id else {})}
        return [{"Name": f"tag:{name}", "Values": [value]} for name, value in tags.items()]

    def takes(self, tags: dict[str, str], now: datetime | None) -> bool:
        """Whether a resource with these tags is in scope, at ``now`` by AWS's clock."""
        if tags.get(PROJECT) != self.project or not tags.get(RUN):
            return False
        if not self.expired:
            return tags[RUN] == self.run_id
        lease = lease_of(tags)
        return lease is not None and now is not None and lease <= now


@dataclass
class Report:
    """The result of a sweep. ``left`` is None for a kind that could not be looked up."""

    ended: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    left: dict[str, int | None] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    failures: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    terminated_at: dict[str, str] = field(default_factory=dict)
    aws_time: str = ""

    @contextmanager
    def trying(self, what: str, kind: str | None = None) -> Iterator[None]:
        """Record an error of AWS and continue; with ``kind``, the number left of that kind becomes unknown."""
        try:
            yield
        except AWS_ERRORS as error:
            if not is_gone(error):
                self.failures.append(failure(what, error))
                if kind:
                    self.left[kind] = None

    def as_dict(self) -> dict[str, Any]:
        """The report as a module result."""
        return asdict(self)

    def lines(self) -> list[str]:
        """One line for each resource that was removed, and for each that was left alone."""
        return [
            *(f"removed {kind[:-1].replace('_', ' ')} {name}" for kind, names in self.ended.items() for name in names),
            *self.notes,
        ]

    def trouble(self, schedule_may_stay: bool = False) -> str:
        """Failures and leftovers in one line; empty if none count (``schedule_may_stay`` ignores a schedule)."""
        left = {kind: count for kind, count in self.left.items() if count}
        failures = self.failures
        if schedule_may_stay and not left.keys() - {"schedules"}:
            left, failures = {}, [each for each in failures if not each["what"].startswith(SCHEDULE_CALLS)]
        counts = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in left.items())
        parts = [f"left over: {counts}"] if counts else []
        return "; ".join([*parts, *(f"{each['what']}: {each['code']} {each['message']}" for each in failures)])


def lease_of(tags: dict[str, str]) -> datetime | None:
    """The end of the lease in UTC; None without a valid lease tag."""
    try:
        return datetime.strptime(tags.get(LEASE, ""), ISO).replace(tzinfo=UTC)
    except ValueError:
        return None
