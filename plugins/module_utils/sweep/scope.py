# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a sweep is to end, told by tags, and the report of what became of it."""

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
SCHEDULE_CALLS = ("delete schedule", "look for schedule")
# What EC2's filters take for more than one value.
WILDCARDS = re.compile(r"[*?\\]")


class Refused(Exception):
    """Nothing was touched; the text is one line that says why and what to do."""


@dataclass(frozen=True)
class Wanted:
    """What to sweep: one run, or everything of a project that is past its lease.

    Attributes:
        project: Value of the tag ``project``.
        run_id: Value of the tag ``run_id``; empty for what is past its lease.
        expired: Whether to sweep what is past its lease.
        transport_bucket: Bucket of the SSM connection; empty where its keys are not to be swept.
        at_most: How many instances may be ended.
        wait_seconds: How long to wait for the end of the instances.
    """

    project: str
    run_id: str = ""
    expired: bool = False
    transport_bucket: str = ""
    at_most: int = 3
    wait_seconds: float = 200.0

    def __post_init__(self) -> None:
        """Refuse what could mean more than one run.

        Raises:
            Refused: A project or run id is missing or a pattern, or both selections are given.
        """
        if not self.project.strip():
            raise Refused("A sweep needs a project; without it nothing is touched.")
        if self.expired == bool(self.run_id.strip()):
            raise Refused("A sweep needs the id of a run, or else expired=true, and not both; nothing is touched.")
        for name, value in (("project", self.project), ("run id", self.run_id)):
            if WILDCARDS.search(value):
                raise Refused(f"The {name} {value!r} is a pattern, and a sweep takes no pattern; nothing is touched.")

    def filters(self) -> list[dict[str, Any]]:
        """The selection as EC2 takes it. What EC2 returns is held against ``takes`` again."""
        tags = {PROJECT: self.project, **({RUN: self.run_id} if self.run_id else {})}
        return [{"Name": f"tag:{name}", "Values": [value]} for name, value in tags.items()]

    def takes(self, tags: dict[str, str], now: datetime | None) -> bool:
        """Whether something with these tags is to be ended, at ``now`` by AWS's clock."""
        if tags.get(PROJECT) != self.project or not tags.get(RUN):
            return False
        if not self.expired:
            return tags[RUN] == self.run_id
        lease = lease_of(tags)
        return lease is not None and now is not None and lease <= now


@dataclass
class Report:
    """What became of a sweep. ``left`` is None for what could not be looked up."""

    ended: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    left: dict[str, int | None] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    failures: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    terminated_at: dict[str, str] = field(default_factory=dict)
    aws_time: str = ""

    @contextmanager
    def trying(self, what: str, kind: str | None = None) -> Iterator[None]:
        """Record what AWS refuses, and go on; with ``kind``, nobody knows then how many of that kind are left."""
        try:
            yield
        except AWS_ERRORS as error:
            if not is_gone(error):
                self.failures.append(failure(what, error))
                if kind:
                    self.left[kind] = None

    def as_dict(self) -> dict[str, Any]:
        """The report as the module returns it."""
        return asdict(self)

    def lines(self) -> list[str]:
        """What was ended, and what was left alone and why, one line each."""
        return [
            *(f"ended {kind[:-1].replace('_', ' ')} {name}" for kind, names in self.ended.items() for name in names),
            *self.notes,
        ]

    def trouble(self, schedule_may_stay: bool = False) -> str:
        """What failed or is left, in one line; empty where all is well, or all but a schedule that may stay."""
        left = {kind: count for kind, count in self.left.items() if count}
        failures = self.failures
        if schedule_may_stay and not left.keys() - {"schedules"}:
            left, failures = {}, [each for each in failures if not each["what"].startswith(SCHEDULE_CALLS)]
        counts = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in left.items())
        parts = [f"still there: {counts}"] if counts else []
        return "; ".join([*parts, *(f"{each['what']}: {each['code']} {each['message']}" for each in failures)])


def lease_of(tags: dict[str, str]) -> datetime | None:
    """When the lease ends, in UTC; None where no readable lease is there."""
    try:
        return datetime.strptime(tags.get(LEASE, ""), ISO).replace(tzinfo=UTC)
    except ValueError:
        return None
