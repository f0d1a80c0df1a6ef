"""One drill: what is broken, what has to come of it, and the row that says whether it did."""

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

#: How long the watchdog, or whoever closes a run in its place, may take to write the receipt and to sweep.
CLOSING_SECONDS = 90.0
FAILED = (2, 4)
_ERROR = re.compile(r"^\[ERROR\]: (?:Task failed: )?(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Expected:
    """What has to come of a drill.

    Attributes:
        outcome: Outcome on the receipt; None where there can be no receipt.
        codes: Exit codes of `ansible-playbook` that are right.
        says: Regular expression that the user must see, on the terminal or on the receipt.
        gone_within: Seconds from what was broken until no instance lives; None where the run goes on as it should.
        attempts: How many instances the run had.
    """

    outcome: str | None
    codes: tuple[int, ...]
    says: str = ""
    gone_within: float | None = None
    attempts: int | None = None


@dataclass
class Seen:
    """What a drill has done so far.

    Attributes:
        run: The run that was broken; None where another command was drilled.
        since: When it was, on the monotonic clock; None where nothing is timed.
        gone_after: Seconds until no instance lived, where the drill has measured it itself.
        code: Exit code of the command, where there is no run.
        output: What it printed, where there is no run.
        problems: What it found wrong itself, one text each.
    """

    run: Playbook | None
    since: float | None = None
    gone_after: float | None = None
    code: int | None = None
    output: str = ""
    problems: list[str] = field(default_factory=list)

    def receipt(self) -> dict[str, Any]:
        """The run's receipt; empty where there is none."""
        return self.run.receipt() if self.run else {}

    @property
    def told(self) -> str:
        """What was printed."""
        return self.run.output if self.run else self.output

    @property
    def exit_code(self) -> int | None:
        """Exit code of what was drilled."""
        return self.run.code if self.run else self.code

    def check(self, holds: bool, problem: str) -> None:
        """Note a problem unless something holds."""
        if not holds:
            self.problems.append(problem)


@dataclass(frozen=True)
class Drill:
    """A drill.

    Attributes:
        name: Its name.
        broken: What is broken, in a few words.
        when: When.
        expected: What has to come of it.
        act: Breaks it and comes back when the playbook has ended.
        fast: Whether `make test` runs it too.
        layer: The one layer that is left to end the instance, where the drill is about one.
        group: Drills of a group are done one after the other on one stage, as they share what is expensive.
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
    """What came of a drill; `problems` is empty where it held."""

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
    """Wait for the end of a run that something was just done to, and time the end of its last instance.

    Raises:
        Stuck: It does not end.
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
    """End a run as its user would: playbooks/terminate.yml, with the folder of the runs or another one."""
    code, output = stage.playbook("terminate", "-e", f"run_id={run.run_id}", "-e", f"runs_dir={runs or run.runs}")
    seen.check(code == 0, f"terminate.yml: {output[-300:]}")


def perform(drill: Drill, stage: Stage, slack: float = 0.0) -> Row:
    """Do a drill and judge it.

    Args:
        drill: The drill.
        stage: Where.
        slack: Seconds that the end of the instance may take longer than expected.
    """
    started = time.monotonic()
    try:
        seen = drill.act(stage)
        return _judge(drill, stage, seen, started, slack)
    except (Stuck, AssertionError) as error:
        text = " ".join(str(error).split())
        return Row(drill.name, drill.broken, drill.when, drill.layer, "", None, None, stage.left(), None,
                   _since(started), [text, *stage.touched()])  # fmt: skip
    finally:
        stage.clear()


def _judge(drill: Drill, stage: Stage, seen: Seen, started: float, slack: float) -> Row:
    expected = drill.expected
    gone = seen.gone_after
    if gone is None and seen.since is not None:
        limit = (expected.gone_within or 0) + slack + CLOSING_SECONDS
        gone = _since(seen.since) if stage.wait_until(lambda: not stage.instances(), limit) else None
        seen.check(gone is not None, "the instance lives on")

    def closed() -> bool:
        return (expected.outcome is None or bool(seen.receipt())) and not any(stage.left().values())

    stage.wait_until(closed, CLOSING_SECONDS)
    left, receipt = stage.left(), seen.receipt()
    seen.check(not any(left.values()), f"left: {_counts(left)}")
    seen.problems.extend(stage.touched())
    _check(expected, seen, receipt)
    if gone is not None and expected.gone_within is not None:
        allowed = expected.gone_within + slack
        seen.check(gone <= allowed, f"gone after {gone:.1f} s, {allowed:g} s are allowed")
    return Row(drill.name, drill.broken, drill.when, drill.layer, _saw(seen), receipt.get("outcome"), seen.exit_code,
               left, gone, _since(started), seen.problems)  # fmt: skip


def _check(expected: Expected, seen: Seen, receipt: dict[str, Any]) -> None:
    codes = " or ".join(map(str, expected.codes))
    seen.check(seen.exit_code in expected.codes, f"exit code {seen.exit_code}, expected {codes}")
    outcome = receipt.get("outcome")
    seen.check(outcome == expected.outcome, f"outcome {outcome}, expected {expected.outcome}")
    if expected.outcome is not None:
        folder = seen.run.folder if seen.run else None
        seen.check(folder is not None and (folder / "report.html").exists(), "there is no report")
    if expected.says:
        told = f"{seen.told}\n{receipt.get('error')}\n{receipt.get('notes')}"
        seen.check(re.search(expected.says, told) is not None, f"nobody says {expected.says!r}")
    if expected.attempts is not None:
        launched = [attempt for attempt in receipt.get("attempts", []) if attempt["instance"].get("id")]
        seen.check(len(launched) == expected.attempts, f"{len(launched)} instances, expected {expected.attempts}")


def _saw(seen: Seen) -> str:
    """What the user was told, in one line."""
    errors = _ERROR.findall(seen.told)
    text = seen.receipt().get("error") or (errors[-1] if errors else "")
    return " ".join(str(text).split())


def _counts(left: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in left.items() if count)


def _since(moment: float) -> float:
    return round(time.monotonic() - moment, 1)
