# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The record of a run: its attempts, the offers of each, how each ended, and why the run failed.

The action ``run_record`` owns it. Plays read the fact ``run_record``; ``run.json`` and ``attempts.json`` in the folder
of the run hold what outlives the control node's playbook.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from .files import write_atomically

RUN_FILE, ATTEMPTS_FILE = "run.json", "attempts.json"
KINDS = ("instances", "volumes", "spot_requests", "launch_templates", "schedules", "transport_keys")
TERMINATED = ("shutting-down", "terminated")

Attempt = dict[str, Any]
"""``{number, instance, cells, ended_by, interruption, resumed_folds}`` as in docs/receipt.md; ``cells``: its offers."""


@dataclass
class RunRecord:
    """The state of a run.

    Attributes:
        attempts: The attempts so far; the last one is the current one.
        next_attempt: The attempt that may start now; None if none may.
        place: Image, instance profile, security group and subnets that the account checks found.
        clock_offset: Seconds that AWS's clock is ahead of the control node's.
        digest: Digest of the data before the launch; None if none was taken.
        work_done: Whether the current attempt did all its work.
        fate: What EC2 says about the current instance, ``{instance_id, state, reclaimed, confirmed_by}``.
        notice: The interruption that the current instance announced, ``{kind, noticed_at, reclaim_at}``.
        resumed: ``{attempt, reason}`` of the attempt that the next one resumes; None if none does.
        failure: Why the run failed, for failures that no task event explains.
        end_failure: Why terminating failed.
        outcome: ``no_capacity``, ``interrupted`` or empty.
        leftovers: Counts of resources left over; None before the first sweep.
        terminated: Ids of the resources that sweeps removed.
    """

    attempts: list[Attempt] = field(default_factory=list)
    next_attempt: int | None = 1
    place: dict[str, Any] = field(default_factory=dict)
    clock_offset: float = 0.0
    digest: dict[str, Any] | None = None
    work_done: bool = False
    fate: dict[str, Any] = field(default_factory=dict)
    notice: dict[str, Any] = field(default_factory=dict)
    resumed: dict[str, Any] | None = None
    failure: str = ""
    end_failure: str = ""
    outcome: str = ""
    leftovers: dict[str, Any] | None = None
    terminated: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, known: Mapping[str, Any]) -> RunRecord:
        """The record in a fact as `as_fact` returned it; an empty mapping is a new record."""
        return cls(**{each.name: known[each.name] for each in fields(cls) if each.name in known})

    def as_fact(self) -> dict[str, Any]:
        """The record plus ``attempt`` (0: none), its ``instance`` and ``host``, ``left_over``, ``verdict``."""
        number = self.attempts[-1]["number"] if self.attempts else 0
        instance = {**self.attempts[-1]["instance"], "attempts": self.attempts[-1]["cells"]} if self.attempts else {}
        host = "trainer" if number < 2 else f"trainer-{number}"
        # Before the first attempt nothing can be left over; after it, only a sweep knows.
        left_over = self.leftovers if self.leftovers is not None else {} if self.attempts else dict.fromkeys(KINDS, 0)
        # Decides the outcome of a run without recorded events.
        verdict = self.outcome or ("passed" if self.work_done and not self.failure else "")
        derived = {"attempt": number, "instance": instance, "host": host, "left_over": left_over, "verdict": verdict}
        return {**asdict(self), **derived}

    def save(self, folder: Path) -> None:
        """Write the attempts."""
        if self.attempts:
            write_atomically(folder / ATTEMPTS_FILE, json.dumps(self.attempts, indent=4) + "\n", 0o640)

    def check_account(self, place: Mapping[str, Any], clock_offset: float) -> None:
        """Keep what the account checks found."""
        self.place, self.clock_offset = dict(place), clock_offset

    def start_attempt(self, number: int) -> None:
        """Begin an attempt; one with the same number, of an interrupted request, is replaced."""
        earlier = [each for each in self.attempts if each["number"] < number]
        new: Attempt = {"instance": {}, "cells": [], "ended_by": None, "interruption": None, "resumed_folds": None}
        self.attempts = [*earlier, {"number": number, **new}]
        self.next_attempt, self.resumed, self.work_done, self.fate, self.notice = None, None, False, {}, {}
        self.outcome = ""

    def offers(self, refused: Sequence[Mapping[str, Any]]) -> None:
        """Add offers that were excluded or refused, each with ``error``."""
        self._current["cells"] += [dict(each) for each in refused]

    def launched(
        self, instance: Mapping[str, Any], offers: Sequence[Mapping[str, Any]], on_demand: Mapping[str, float]
    ) -> None:
        """Add the instance of the attempt, as amazon.aws.ec2_instance_info returns it, and its offer.

        The price is that of the same one of ``offers``. ``on_demand`` has the list prices in USD an hour by type.
        """
        facts = {
            "id": instance["instance_id"],
            "type": instance["instance_type"],
            "az": instance["placement"]["availability_zone"],
            "subnet": instance.get("subnet_id") or "",
            "market": instance.get("instance_lifecycle") or "on-demand",
        }
        # Not the offer tried last if the instance existed already.
        own = (each for each in offers if all(each.get(name) == facts[name] for name in ("market", "type", "az")))
        price = next(own, {}).get("price_usd_hour")
        offer = {name: facts[name] for name in ("market", "type", "subnet", "az")}
        self._current["cells"].append({**offer, "price_usd_hour": price, "error": None})
        self._current["instance"] = {
            **facts,
            "requested_at": str(instance["launch_time"]),
            "price_usd_hour": price,
            "on_demand_usd_hour": on_demand.get(facts["type"]),
        }

    def online(self, at: str) -> None:
        """The instance answered over SSM for the first time, at an ISO 8601 time."""
        self._current["instance"]["online_at"] = at

    def interruption(self, notice: Mapping[str, Any] | None) -> None:
        """Keep the interruption that the instance announced."""
        self.notice = dict(notice or {})

    def finish_work(self) -> None:
        """The current attempt did all its work."""
        self.work_done = True

    def fail(self, failure: str, outcome: str = "") -> None:
        """The run failed."""
        self.failure, self.outcome = failure, outcome or self.outcome

    def fail_end(self, failure: str) -> None:
        """Terminating failed."""
        self.end_failure = failure

    def swept(self, left: Mapping[str, Any], ended: Mapping[str, Any], terminated_at: Mapping[str, str]) -> None:
        """Keep the result of a sweep."""
        self.leftovers, self.terminated = dict(left), dict(ended)
        instance = self.attempts[-1]["instance"] if self.attempts else {}
        if terminated_at.get(instance.get("id", "")):
            instance["terminated_at"] = terminated_at[instance["id"]]

    def end_attempt(self, allowed: int, preflight_only: bool) -> None:
        """Decide what ended the current attempt, and whether another one of the ``allowed`` number may follow.

        A preflight never resumes.
        """
        attempt, instance = self._current, self._current["instance"]
        own = self.fate if instance and self.fate.get("instance_id") == instance["id"] else {}
        reclaimed = bool(own.get("reclaimed"))
        if instance:
            gone = "vanished" if own.get("state") in TERMINATED else "failure"
            attempt["ended_by"] = "run" if self.work_done else "reclaim" if reclaimed else gone
        attempt["interruption"] = self.notice or None
        if reclaimed:
            unannounced = {"kind": "spot", "noticed_at": None, "reclaim_at": None}
            attempt["interruption"] = {**unannounced, **self.notice, "confirmed_by": own["confirmed_by"]}
        if attempt["ended_by"] != "reclaim":
            return
        number, reason = attempt["number"], f"EC2 reclaimed {instance['id']} ({own['confirmed_by']})"
        if not preflight_only and number < allowed:
            self.next_attempt, self.resumed = number + 1, {"attempt": number, "reason": reason}
            return
        why = "preflights do not resume" if preflight_only else f"attempt {number} was the last of {allowed}"
        self.fail(f"{reason}; {why}: run it again", "interrupted")

    @property
    def _current(self) -> Attempt:
        if not self.attempts:
            raise ValueError("no attempt has started")
        return self.attempts[-1]


def read_json(path: Path, kind: type) -> Any:
    """The content of a JSON file; an empty ``kind`` if it is missing, damaged or of another kind."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return kind()
    return found if isinstance(found, kind) else kind()


def last_step(path: Path) -> str:
    """The step of the last event in events.jsonl that has one; empty without one."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        try:
            event = json.loads(line)
        except ValueError:
            continue  # cut off
        if isinstance(event, dict) and event.get("step"):
            return str(event["step"])
    return ""
