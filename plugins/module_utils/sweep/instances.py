# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The instances of a sweep: found by tag or through a spot request that has the tags, ended, and seen to be gone."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any

from ..aws.client import AWS_ERRORS, ISO, Aws, failure, is_gone, tags_of
from .scope import PROJECT, RUN, Refused, Report, Wanted, lease_of

ENDABLE = ("pending", "running", "stopping", "stopped")
LIVING = (*ENDABLE, "shutting-down")
LOOK_SECONDS = 2.0
REFUSED_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds until a refused termination is asked for again; five tries in all."""
ACCEPTED_PAUSE = 30.0
"""Seconds until a termination that was accepted and shows no effect is asked for again."""
ENDED_AT = re.compile(r"\((\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) GMT\)")


class Instances:
    """What is known of the instances, and what was tried with them.

    Attributes:
        runs_ended: Ids of the runs of which an instance was ended.
        unknown: Whether the instances could not be looked up.
    """

    def __init__(self, aws: Aws, wanted: Wanted, report: Report) -> None:
        """Know nothing yet."""
        self._aws, self._wanted, self._report = aws, wanted, report
        self._adopted: set[str] = set()
        self._seen: dict[str, dict[str, Any]] = {}
        self._alive: set[str] = set()
        self._tries: dict[str, int] = {}
        self._due_at: dict[str, float] = {}
        self._given_up: dict[str, dict[str, str]] = {}
        self.runs_ended: set[str] = set()
        self.unknown = False

    def adopt(self, instance_ids: Iterable[str]) -> None:
        """Take instances of our spot requests as ours, unless their own tags say otherwise."""
        self._adopted |= set(instance_ids)

    def look(self) -> None:
        """Look up what there is now, in every state; what is gone stays known."""
        self.unknown = True
        with self._report.trying("look for instances", "instances"):
            found = self._aws.pages("ec2", "describe_instances", "Reservations", Filters=self._wanted.filters())
            items = [item for reservation in found for item in reservation["Instances"]]
            if rest := sorted(self._adopted - {item["InstanceId"] for item in items}):
                asked = [{"Name": "instance-id", "Values": rest}]
                found = self._aws.pages("ec2", "describe_instances", "Reservations", Filters=asked)
                items += [item for reservation in found for item in reservation["Instances"]]
            ours = {item["InstanceId"]: item for item in items if self._is_ours(item)}
            self._seen.update(ours)
            self._alive = {id_ for id_, item in ours.items() if item["State"]["Name"] in LIVING}
            self._note_ends()
            self.unknown = False

    def living(self) -> list[str]:
        """Instances that were alive at the last look."""
        return sorted(self._alive)

    def dead(self) -> list[str]:
        """Instances that are ours and no longer alive, also those that ended before this sweep."""
        return sorted(self._seen.keys() - self._alive)

    def runs_alive(self) -> set[str]:
        """Ids of the runs that still have a living instance."""
        return {tags_of(self._seen[id_]).get(RUN, self._wanted.run_id) for id_ in self._alive}

    def refuse_too_many(self) -> None:
        """Stop where more would be ended than may be.

        Raises:
            Refused: Their ids are in it.
        """
        due = self._endable()
        if len(due) > self._wanted.at_most:
            raise Refused(
                f"{len(due)} instances would be ended, more than the {self._wanted.at_most} that may be at once "
                f"({', '.join(due)}): nothing was touched. Look at them, and raise spot_instance_end_at_most if all "
                "of them are to go"
            )

    def end(self) -> None:
        """Terminate, and wait until none lives; look again for one that EC2 shows late."""
        give_up_at = time.monotonic() + self._wanted.wait_seconds
        looked_again = bool(self._alive) or self._wanted.expired
        while not self.unknown:
            self._terminate(self._due())
            if self.living():
                if time.monotonic() >= give_up_at or self._alive <= self._given_up.keys():
                    break
            elif looked_again:
                break
            else:
                looked_again = True
            time.sleep(LOOK_SECONDS)
            self.look()
        if not self.unknown:
            self._report.left["instances"] = len(self._alive)
        self._report.failures += [self._given_up[id_] for id_ in self.living() if id_ in self._given_up]

    def _endable(self) -> list[str]:
        return [id_ for id_ in self.living() if self._seen[id_]["State"]["Name"] in ENDABLE]

    def _due(self) -> list[str]:
        """What is to be terminated now; what comes too late to be allowed for is given up."""
        now = time.monotonic()
        due = [id_ for id_ in self._endable() if id_ not in self._given_up and self._due_at.get(id_, 0) <= now]
        allowed = self._wanted.at_most - len(set(self._report.ended["instances"]) - set(due))
        for id_ in due[max(0, allowed) :]:
            told = f"would be more than the {self._wanted.at_most} that may be ended at once"
            self._given_up[id_] = {"what": f"terminate {id_}", "code": "TooMany", "message": told}
        return due[: max(0, allowed)]

    def _terminate(self, instance_ids: list[str]) -> None:
        """Terminate all in one call; where EC2 refuses, each by itself, so that one holds up no other."""
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
            self.runs_ended.add(tags_of(self._seen[id_]).get(RUN, self._wanted.run_id))

    def _refused(self, id_: str, error: Exception) -> None:
        if is_gone(error):
            self._due_at[id_] = time.monotonic() + ACCEPTED_PAUSE
            return
        tries = self._tries[id_] = self._tries.get(id_, 0) + 1
        if tries <= len(REFUSED_PAUSES):
            self._due_at[id_] = time.monotonic() + REFUSED_PAUSES[tries - 1]
            return
        without = "" if PROJECT in tags_of(self._seen[id_]) else ", which our spot request launched and has no tags,"
        self._given_up[id_] = failure(f"terminate {id_}{without} ({tries} tries)", error)

    def _is_ours(self, item: dict[str, Any]) -> bool:
        tags, id_, wanted = tags_of(item), item["InstanceId"], self._wanted
        if id_ not in self._adopted or (PROJECT in tags and RUN in tags):
            ours = wanted.takes(tags, self._aws.now())
        else:
            ours = tags.get(PROJECT, wanted.project) == wanted.project
            ours = ours and (wanted.expired or tags.get(RUN, wanted.run_id) == wanted.run_id)
        if wanted.expired and not ours and item["State"]["Name"] in LIVING:
            self._note_untouchable(id_, tags)
        # A dead instance of the project is nobody's any more, whatever its lease: its transport keys may go.
        dead = item["State"]["Name"] not in LIVING
        return ours or (wanted.expired and dead and tags.get(PROJECT) == wanted.project and bool(tags.get(RUN)))

    def _note_untouchable(self, id_: str, tags: dict[str, str]) -> None:
        lacks = "no run id" if not tags.get(RUN) else "" if lease_of(tags) else "no readable lease"
        text = f"{id_} has the tag project={self._wanted.project} and {lacks}: it is not touched"
        if lacks and tags.get(PROJECT) == self._wanted.project and text not in self._report.notes:
            self._report.notes.append(text)

    def _note_ends(self) -> None:
        """Note when each dead instance ended: EC2 says it, or else it is now."""
        now = self._aws.now()
        for id_ in self.dead():
            told = ENDED_AT.search(self._seen[id_].get("StateTransitionReason") or "")
            text = f"{told[1]}T{told[2]}Z" if told else now.strftime(ISO) if now else ""
            self._report.terminated_at.setdefault(id_, text)
