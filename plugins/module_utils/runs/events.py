# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Evaluates the recorded events of a run: its steps, the status of each, and the failure that decided the run.

The events are the lines of ``events.jsonl``, written by `recorder`. All functions are pure except `read_events`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .text import clean

Event = Mapping[str, Any]

#: Event: the run continued after an attempt that lost its instance: ``{attempt, reason}``.
RESUMED = "attempt_resumed"
#: Steps after the work; their failures decide a run only if nothing else failed.
CLOSING_STEPS = frozenset({"terminate", "report"})
FAILURES = frozenset({"task_failed", "task_unreachable"})
_DONE = frozenset({"task_ok", "task_changed"})
_TRAINER = re.compile(r"trainer(?:-(\d+))?")


@dataclass(frozen=True)
class Failure:
    """The failure that decided a run: of a task in a step, or outside every step; ``time`` is ISO 8601."""

    step: str | None
    task: str
    host: str
    message: str
    time: str | None

    def __str__(self) -> str:
        """Describe the failure in one sentence."""
        where = f" on {self.host}" if self.host and self.host != "localhost" else ""
        return f'{self.step or "the playbook"} failed at "{self.task}"{where}: {self.message or "no message"}'


@dataclass
class _Step:
    """One step while its events are being read."""

    name: str
    spans: list[list[datetime]] = field(default_factory=list)
    done: bool = False
    skipped: bool = False
    failed: bool = False
    cut: str | None = None
    lost: int = 0
    """The attempt that lost its instance in this step; 0 if none did, or if a later attempt passed this step."""

    @property
    def status(self) -> str:
        """Passed, failed, skipped, interrupted or running; the worst one wins."""
        if self.failed:
            return "failed"
        if self.cut:
            return self.cut
        if self.lost:
            return "interrupted"
        if self.skipped and not self.done:
            return "skipped"
        return "passed"


def parse_time(value: object) -> datetime | None:
    """Parse an ISO 8601 time, by default in UTC; None if it is invalid."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def format_time(moment: datetime) -> str:
    """Format a time as ISO 8601 in UTC with milliseconds and a ``Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_events(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Read ``events.jsonl``: its events in order, and notes on what could not be read.

    Invalid lines are ignored and noted: a killed process leaves a partial last line, but the rest is still useful.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return [], [f"{path.name} is missing, so the steps of this run are unknown"]
    except OSError as error:
        return [], [f"{path.name} cannot be read ({error.strerror}), so the steps of this run are unknown"]
    events: list[dict[str, Any]] = []
    torn: list[int] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            events.append(event)
        else:
            torn.append(number)
    if not torn:
        return events, []
    shown = ", ".join(map(str, torn[:5])) + (", …" if len(torn) > 5 else "")
    return events, [f"{path.name}: ignored {len(torn)} invalid line(s) (line {shown})"]


def summarise_steps(events: Iterable[Event], failed: bool = False) -> list[dict[str, Any]]:
    """Summarise the events in one entry per step, in the order in which the steps began.

    A step may have several spans (``terminate`` runs in the ``always`` block and again in the last play); ``seconds``
    is their sum. A step in which the record stops is ``interrupted`` if another playbook continues the record, and
    ``running`` otherwise: only the caller knows whether it still runs. A step in which an attempt lost its instance is
    ``interrupted`` too, unless a later attempt reached it.

    ``failed`` is whether the run is known to have failed. An entry is ``{name, status, seconds, started_at,
    finished_at, spans}``; ``status`` is one of ``passed``, ``failed``, ``skipped``, ``interrupted`` and ``running``;
    ``spans`` is a list of ``[start, end]`` times.
    """
    events = list(events)
    forgiven = _forgiven(events)
    steps: dict[str, _Step] = {}
    latest: str | None = None
    opened: str | None = None
    for place, event in enumerate(events):
        kind = str(event.get("event", ""))
        if kind in ("playbook_started", "playbook_finished"):
            if opened and kind == "playbook_started":
                steps[opened].cut = "interrupted"
            opened = latest = None
        if not kind.startswith("task_"):
            continue
        name = event.get("step")
        if not isinstance(name, str) or not name:
            # Outside the steps: a run stopped here has no unfinished step.
            opened = None
            continue
        step = steps.setdefault(name, _Step(name))
        opened = name
        step.done = step.done or kind in _DONE or kind in FAILURES
        step.skipped = step.skipped or kind == "task_skipped"
        if place in forgiven:
            step.lost = attempt_of(event) or 0
        elif kind in _DONE and (attempt_of(event) or 0) > step.lost:
            step.lost = 0
        moment = parse_time(event.get("time"))
        if moment is None:
            continue
        if latest == name and step.spans:
            step.spans[-1][1] = max(step.spans[-1][1], moment)
        else:
            step.spans.append([moment, moment])
        latest = name
    if opened:
        steps[opened].cut = "running"
    for failure in _counting_failures(events, failed):
        if isinstance(failure.get("step"), str) and failure["step"] in steps:
            steps[failure["step"]].failed = True
    return [_as_entry(step) for step in steps.values()]


def deciding_failure(events: Iterable[Event], failed: bool = False) -> Failure | None:
    """Find the failure that decided the run: the first that counts, not the closing "the run failed".

    Ignored failures, those that a role handled, and those of an attempt after which the run continued do not count.
    ``failed`` is whether the run is known to have failed.
    """
    failures = _counting_failures(list(events), failed)
    working = [failure for failure in failures if _is_work(failure)]
    for failure in working or failures:
        return Failure(
            step=failure.get("step") or None,
            task=clean(failure.get("task") or "unnamed task"),
            host=clean(failure.get("host") or ""),
            message=clean(failure.get("msg") or ""),
            time=failure.get("time"),
        )
    return None


def attempt_of(event: Event) -> int | None:
    """Return the attempt that an event belongs to, or None.

    It is in the event or in the name of its host: ``trainer`` for the first attempt, ``trainer-2`` for the second.
    """
    attempt = event.get("attempt")
    if isinstance(attempt, int) and not isinstance(attempt, bool):
        return attempt
    match = _TRAINER.fullmatch(str(event.get("host") or ""))
    return int(match[1] or 1) if match else None


def log_name(step: str | None) -> str:
    """Return the name of a step's log file without its extension; ``playbook`` outside the steps."""
    return (re.sub(r"[^A-Za-z0-9_-]+", "-", step).strip("-") if step else "") or "playbook"


def _counting_failures(events: Sequence[Event], failed: bool) -> list[Event]:
    """Return the failures that count.

    Ignored ones never count. One that a role's own ``rescue`` handled (``recovered``) is part of the role's normal
    operation, such as a launch without capacity before a successful one. But if the run failed in the end and only
    handling followed the recovered failure, then it is the cause.
    """
    forgiven = _forgiven(events)
    failures = [
        event
        for place, event in enumerate(events)
        if event.get("event") in FAILURES and not event.get("ignored") and place not in forgiven
    ]
    counting = [event for event in failures if not event.get("recovered")]
    if any(_is_work(event) for event in counting) or not (counting or failed):
        return counting
    for event in reversed(events):
        if event in failures and event.get("recovered") and _is_work(event):
            return [event, *counting]
        if event.get("event") in _DONE and _is_work(event) and not event.get("handling"):
            break
    return counting


def _forgiven(events: Sequence[Event]) -> set[int]:
    """Find the failures that a later attempt made irrelevant.

    Those are the failures of an attempt that lost its instance, recorded before the event by which the run continued
    after it. A failure outside any attempt, or after the event, is never forgiven. Returned are their indices.
    """
    found: set[int] = set()
    for end, resumed in enumerate(events):
        if resumed.get("event") == RESUMED:
            upto = attempt_of(resumed) or 0
            for place, event in enumerate(events[:end]):
                attempt = attempt_of(event)
                if event.get("event") in FAILURES and attempt is not None and attempt <= upto:
                    found.add(place)
    return found


def _is_work(event: Event) -> bool:
    """Return whether an event belongs to a step of the work, not to a closing step."""
    return bool(event.get("step")) and event["step"] not in CLOSING_STEPS


def _as_entry(step: _Step) -> dict[str, Any]:
    """Return the receipt's entry of a step."""
    seconds = sum((end - start).total_seconds() for start, end in step.spans)
    return {
        "name": step.name,
        "status": step.status,
        "seconds": round(seconds, 1),
        "started_at": format_time(step.spans[0][0]) if step.spans else None,
        "finished_at": format_time(step.spans[-1][1]) if step.spans and not step.cut else None,
        "spans": [[format_time(start), format_time(end)] for start, end in step.spans],
    }
