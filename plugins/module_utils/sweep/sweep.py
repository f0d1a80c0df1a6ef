# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A sweep: remove the leftovers of one run, or of every run with an expired lease, and nothing else.

Used by the module ``spot_sweep`` and by the watchdog. The tags ``project`` and ``run_id`` together identify a run;
the tag ``lease_expires`` and AWS's clock decide whether a lease has expired.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any

from ..aws.client import AWS_ERRORS, ISO, Aws, failure, is_gone, tags_of
from .resources import Schedules, SpotRequests, Templates, TransportKeys, Volumes
from .scope import PROJECT, RUN, Refused, Report, Scope, lease_of

TERMINABLE = ("pending", "running", "stopping", "stopped")
LIVING = (*TERMINABLE, "shutting-down")
POLL_SECONDS = 2.0
REFUSED_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds until a refused termination is retried; five tries in all."""
ACCEPTED_PAUSE = 30.0
"""Seconds until an accepted termination without effect is requested again."""
ENDED_AT = re.compile(r"\((\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) GMT\)")


def sweep(aws: Aws, scope: Scope) -> Report:
    """Remove what is in scope, kind by kind, independently of each other; safe to repeat and to run concurrently.

    Raises:
        Refused: More instances than ``at_most`` are in scope; nothing was changed.
    """
    report = Report()
    instances, requests = Instances(aws, scope, report), SpotRequests(aws, scope, report)
    instances.adopt(requests.find())
    instances.refresh()
    instances.refuse_too_many()
    instances.adopt(requests.cancel())
    instances.end()
    volumes, templates = Volumes(aws, scope, report), Templates(aws, scope, report)
    volumes.end(patiently=not instances.living())
    templates.end()
    if instances.unknown:
        report.left.update({"transport_keys": None, "schedules": None})
    else:
        TransportKeys(aws, scope, report).end(instances.dead())
        # The schedule goes last, and only if it would have nothing left to terminate.
        runs = instances.runs_ended | requests.runs | volumes.runs | templates.runs
        Schedules(aws, scope, report).end(runs, instances.runs_alive())
    now = aws.now()
    report.aws_time = now.strftime(ISO) if now else ""
    return report


class Instances:
    """The instances of a sweep: found by tag or through a tagged spot request, terminated, and awaited.

    Attributes:
        runs_ended: Ids of the runs with a terminated instance.
        unknown: Whether the look-up failed.
    """

    def __init__(self, aws: Aws, scope: Scope, report: Report) -> None:
        """Start empty."""
        self._aws, self._scope, self._report = aws, scope, report
        self._adopted: set[str] = set()
        self._seen: dict[str, dict[str, Any]] = {}
        self._alive: set[str] = set()
        self._tries: dict[str, int] = {}
        self._due_at: dict[str, float] = {}
        self._given_up: dict[str, dict[str, str]] = {}
        self.runs_ended: set[str] = set()
        self.unknown = False

    def adopt(self, instance_ids: Iterable[str]) -> None:
        """Add instances of the scope's spot requests, unless their own tags say otherwise."""
        self._adopted |= set(instance_ids)

    def refresh(self) -> None:
        """Look up the instances in every state; remember those that EC2 no longer lists."""
        self.unknown = True
        with self._report.trying("look up instances", "instances"):
            found = self._aws.pages("ec2", "describe_instances", "Reservations", Filters=self._scope.filters())
            items = [item for reservation in found for item in reservation["Instances"]]
            if rest := sorted(self._adopted - {item["InstanceId"] for item in items}):
                asked = [{"Name": "instance-id", "Values": rest}]
                found = self._aws.pages("ec2", "describe_instances", "Reservations", Filters=asked)
                items += [item for reservation in found for item in reservation["Instances"]]
            ours = {item["InstanceId"]: item for item in items if self._in_scope(item)}
            self._seen.update(ours)
            self._alive = {id_ for id_, item in ours.items() if item["State"]["Name"] in LIVING}
            self._record_ends()
            self.unknown = False

    def living(self) -> list[str]:
        """Instances that were alive at the last look-up."""
        return sorted(self._alive)

    def dead(self) -> list[str]:
        """Instances in scope that are terminated, including those terminated before this sweep."""
        return sorted(self._seen.keys() - self._alive)

    def runs_alive(self) -> set[str]:
        """Ids of the runs that still have a live instance."""
        return {tags_of(self._seen[id_]).get(RUN, self._scope.run_id) for id_ in self._alive}

    def refuse_too_many(self) -> None:
        """Refuse to terminate more than ``at_most`` instances.

        Raises:
            Refused: The message has their ids.
        """
        due = self._terminable()
        if len(due) > self._scope.at_most:
            raise Refused(
                f"{len(due)} instances are in scope, more than spot_instance_end_at_most={self._scope.at_most} "
                f"({', '.join(due)}). Nothing was changed. Raise spot_instance_end_at_most if all of them should be "
                "terminated"
            )

    def end(self) -> None:
        """Terminate, and wait until none is alive; look once more for one that EC2 lists late."""
        give_up_at = time.monotonic() + self._scope.wait_seconds
        looked_up_twice = bool(self._alive) or self._scope.expired
        while not self.unknown:
            self._terminate(self._due())
            if self.living():
                if time.monotonic() >= give_up_at or self._alive <= self._given_up.keys():
                    break
            elif looked_up_twice:
                break
            else:
                looked_up_twice = True
            time.sleep(POLL_SECONDS)
            self.refresh()
        if not self.unknown:
            self._report.left["instances"] = len(self._alive)
        self._report.failures += [self._given_up[id_] for id_ in self.living() if id_ in self._given_up]

    def _terminable(self) -> list[str]:
        return [id_ for id_ in self.living() if self._seen[id_]["State"]["Name"] in TERMINABLE]

    def _due(self) -> list[str]:
        """Instances to terminate now; those above ``at_most`` are given up."""
        now = time.monotonic()
        due = [id_ for id_ in self._terminable() if id_ not in self._given_up and self._due_at.get(id_, 0) <= now]
        allowed = self._scope.at_most - len(set(self._report.ended["instances"]) - set(due))
        for id_ in due[max(0, allowed) :]:
            reason = f"more than spot_instance_end_at_most={self._scope.at_most}"
            self._given_up[id_] = {"what": f"terminate {id_}", "code": "TooMany", "message": reason}
        return due[: max(0, allowed)]

    def _terminate(self, instance_ids: list[str]) -> None:
        """Terminate all in one call; if EC2 refuses, one by one, so that one cannot block the others."""
        if not instance_ids:
            return
        try:
            self._aws.client("ec2").terminate_instances(InstanceIds=instance_ids)
        except AWS_ERRORS as error:
            if len(instance_ids) > 1:
                for id_ in instance_ids:
                    self._terminate([id_])
            else:
                self._refused(instance_ids[0], error)
            return
        for id_ in instance_ids:
            self._due_at[id_] = time.monotonic() + ACCEPTED_PAUSE
            if id_ not in self._report.ended["instances"]:
                self._report.ended["instances"].append(id_)
            self.runs_ended.add(tags_of(self._seen[id_]).get(RUN, self._scope.run_id))

    def _refused(self, id_: str, error: Exception) -> None:
        if is_gone(error):
            self._due_at[id_] = time.monotonic() + ACCEPTED_PAUSE
            return
        tries = self._tries[id_] = self._tries.get(id_, 0) + 1
        if tries <= len(REFUSED_PAUSES):
            self._due_at[id_] = time.monotonic() + REFUSED_PAUSES[tries - 1]
            return
        untagged = (
            "" if PROJECT in tags_of(self._seen[id_]) else ", launched without tags by a spot request of the run,"
        )
        self._given_up[id_] = failure(f"terminate {id_}{untagged} ({tries} tries)", error)

    def _in_scope(self, item: dict[str, Any]) -> bool:
        tags, id_, scope = tags_of(item), item["InstanceId"], self._scope
        if id_ not in self._adopted or (PROJECT in tags and RUN in tags):
            ours = scope.takes(tags, self._aws.now())
        else:
            ours = tags.get(PROJECT, scope.project) == scope.project
            ours = ours and (scope.expired or tags.get(RUN, scope.run_id) == scope.run_id)
        if scope.expired and not ours and item["State"]["Name"] in LIVING:
            self._record_untouchable(id_, tags)
        # The transport keys of a terminated instance of the project may go, independently of its lease.
        dead = item["State"]["Name"] not in LIVING
        return ours or (scope.expired and dead and tags.get(PROJECT) == scope.project and bool(tags.get(RUN)))

    def _record_untouchable(self, id_: str, tags: dict[str, str]) -> None:
        missing = "no run id" if not tags.get(RUN) else "" if lease_of(tags) else "no valid lease"
        text = f"{id_} has the tag project={self._scope.project} and {missing}: left alone"
        if missing and tags.get(PROJECT) == self._scope.project and text not in self._report.notes:
            self._report.notes.append(text)

    def _record_ends(self) -> None:
        """Record when each instance was terminated, by EC2's state reason or else now."""
        now = self._aws.now()
        for id_ in self.dead():
            match = ENDED_AT.search(self._seen[id_].get("StateTransitionReason") or "")
            text = f"{match[1]}T{match[2]}Z" if match else now.strftime(ISO) if now else ""
            self._report.terminated_at.setdefault(id_, text)
