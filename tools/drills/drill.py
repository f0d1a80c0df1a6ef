"""One drill: what it breaks, what must happen, and the resulting row."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.playbook import LONGEST_RUN_SECONDS, Playbook, Stuck
from tests.support.stage import Stage
from tests.support.waiting import looks

#: How long the watchdog or its replacement may take to sweep and to write the receipt.
CLOSING_SECONDS = 90.0
FAILED = (2, 4)
_ERROR = re.compile(r"^\[ERROR\]: (?:Task failed: )?(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Expected:
    """Expected result of a drill.

    Attributes:
        outcome: Outcome in the receipt; None if there cannot be a receipt.
        codes: Allowed exit codes.
        says: Regular expression that must match the terminal's output or the receipt.
        gone_within: Seconds from the fault until no instance runs; None if the run continues normally.
        attempts: Number of instances of the run.
    """

    outcome: str | None
    codes: tuple[int, ...]
    says: str = ""
    gone_within: float | None = None
    attempts: int | None = None


@dataclass
class Seen:
    """Observations of a drill.

    Attributes:
        run: The broken run; None if the drill tests another command, which has `code` and `output`.
        since: Time of the fault on the monotonic clock; None if nothing is timed.
        gone_after: Seconds until no instance ran, if the drill measured them itself.
    """

    run: Playbook | None
    since: float | None = None
    gone_after: float | None = None
    code: int | None = None
    output: str = ""
    problems: list[str] = field(default_factory=list)

    def receipt(self) -> dict[str, Any]:
        """The run's receipt; may be empty."""
        return self.run.receipt() if self.run else {}

    @property
    def printed(self) -> str:
        """Output of the run or the command."""
        return self.run.output if self.run else self.output

    @property
    def exit_code(self) -> int | None:
        """Exit code of the run or the command."""
        return self.run.code if self.run else self.code

    def check(self, holds: bool, problem: str) -> None:
        """Add a problem unless a condition holds."""
        if not holds:
            self.problems.append(problem)


@dataclass(frozen=True)
class Drill:
    """A drill: what it breaks, in which step, and what must happen.

    Attributes:
        act: Breaks a run and returns after the playbook has ended.
        fast: Whether `make test-all` runs it too.
        layer: The only layer that may end the instance, if the drill tests one.
        group: Drills of a group run one after another on one stage, because they share expensive preparation.
    """

    name: str
    broken: str
    when: str
    expected: Expected
    act: Callable[[Stage], Seen]
    fast: bool = False
    layer: str = ""
    group: str = ""


@dataclass(frozen=True)
class Row:
    """Result of a drill; it held if `problems` is empty."""

    drill: str
    broken: str
    when: str
    layer: str
    saw: str
    outcome: str | None
    exit_code: int | None
    left: dict[str, int]
    seconds_until_gone: float | None
    seconds: float
    problems: list[str]

    @property
    def holds(self) -> bool:
        """Whether everything is as expected."""
        return not self.problems


def finish(run: Playbook, stage: Stage) -> Seen:
    """Wait for the end of a run that was just broken, and time the end of its last instance.

    Raises:
        Stuck: The run does not end.
    """
    since = last = time.monotonic()

    for _ in looks(LONGEST_RUN_SECONDS):
        if stage.instances():
            last = time.monotonic()
        if run.code is not None:
            break
    run.wait(1)
    return Seen(run, gone_after=round(last - since, 1))


def end_by_hand(run: Playbook, stage: Stage, seen: Seen, runs: Path | None = None) -> None:
    """End a run with playbooks/terminate.yml as a user would; `runs` replaces the folder of the runs."""
    code, output = stage.playbook("terminate", "-e", f"run_id={run.run_id}", "-e", f"runs_dir={runs or run.runs}")
    seen.check(code == 0, f"terminate.yml: {output[-300:]}")


def perform(drill: Drill, stage: Stage, slack: float = 0.0) -> Row:
    """Perform a drill and compare the result with the expected one; `slack`: more seconds for the instance's end."""
    started = time.monotonic()
    try:
        seen = drill.act(stage)
        return _row(drill, stage, seen, started, slack)
    except (Stuck, AssertionError) as error:
        text = " ".join(str(error).split())
        return Row(drill.name, drill.broken, drill.when, drill.layer, "", None, None, stage.left(), None,
                   _since(started), [text, *stage.touched()])  # fmt: skip
    finally:
        stage.clear()


def _row(drill: Drill, stage: Stage, seen: Seen, started: float, slack: float) -> Row:
    expected = drill.expected
    gone = seen.gone_after
    if gone is None and seen.since is not None:
        limit = (expected.gone_within or 0) + slack + CLOSING_SECONDS
        gone = _since(seen.since) if stage.wait_until(lambda: not stage.instances(), limit) else None
        seen.check(gone is not None, "the instance still runs")

    def closed() -> bool:
        return (expected.outcome is None or bool(seen.receipt())) and not any(stage.left().values())

    stage.wait_until(closed, CLOSING_SECONDS)
    left, receipt = stage.left(), seen.receipt()
    counts = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in left.items() if count)
    seen.check(not counts, f"left: {counts}")
    seen.problems.extend(stage.touched())
    _check(expected, seen, receipt)
    if gone is not None and expected.gone_within is not None:
        allowed = expected.gone_within + slack
        seen.check(gone <= allowed, f"gone after {gone:.1f} s, expected at most {allowed:g} s")
    return Row(drill.name, drill.broken, drill.when, drill.layer, _saw(seen), receipt.get("outcome"), seen.exit_code,
               left, gone, _since(started), seen.problems)  # fmt: skip


def _check(expected: Expected, seen: Seen, receipt: dict[str, Any]) -> None:
    codes = " or ".join(map(str, expected.codes))
    seen.check(seen.exit_code in expected.codes, f"exit code {seen.exit_code}, expected {codes}")
    outcome = receipt.get("outcome")
    seen.check(outcome == expected.outcome, f"outcome {outcome}, expected {expected.outcome}")
    if expected.outcome is not None:
        folder = seen.run.folder if seen.run else None
        seen.check(folder is not None and (folder / "report.html").exists(), "the report is missing")
    if expected.says:
        text = f"{seen.printed}\n{receipt.get('error')}\n{receipt.get('notes')}"
        seen.check(re.search(expected.says, text) is not None, f"not found in output or receipt: {expected.says!r}")
    if expected.attempts is not None:
        launched = [attempt for attempt in receipt.get("attempts", []) if attempt["instance"].get("id")]
        seen.check(len(launched) == expected.attempts, f"{len(launched)} instances, expected {expected.attempts}")


def _saw(seen: Seen) -> str:
    """The error that the user saw, in one line."""
    errors = _ERROR.findall(seen.printed)
    text = seen.receipt().get("error") or (errors[-1] if errors else "")
    return " ".join(str(text).split())


def _since(moment: float) -> float:
    return round(time.monotonic() - moment, 1)
