# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The runs of a folder, each in one line's worth of facts: what `make runs` lists and the index page draws.

A folder of runs holds what many versions of this project, interrupted processes and people have left there. Nothing in
it is trusted to be whole: what cannot be read is a run whose `state` says so, never an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..runs.events import parse_time
from ..runs.text import clean
from .text import number

RUN_ID = re.compile(r"(\d{8}T\d{6})Z-[0-9a-f]{6}")
ROLLBACK = re.compile(r"rollback-(\d{8}T\d{6})Z\.json")
OUTCOMES = ("passed", "failed", "interrupted", "no_capacity")
#: A folder without a receipt in which something was written so recently is that of a run that goes on.
GOING_ON_SECONDS = 600
#: A receipt of a run with thousands of symbols has some hundred kilobytes; what is larger than this is none.
LARGEST_BYTES = 50_000_000


@dataclass(frozen=True)
class Entry:
    """One run, or one rollback.

    Attributes:
        run_id: Name of its folder, or of a rollback's file without its ending.
        mode: ``preflight``, ``smoke``, ``full``, ``both`` or ``rollback``; None where unknown.
        state: one of `OUTCOMES`; else ``running`` (no receipt yet, and something happens), ``unfinished`` (no receipt,
            nothing happens), ``damaged`` (one that cannot be read) or ``foreign`` (no run at all).
        started_at: ISO 8601 in UTC, or None.
        seconds: from start to end, or None.
        run_date: the day the data was judged against, or None.
        median_ic: of the training, or None.
        ic_low: lower end of its 95 % interval, or None.
        ic_high: upper end, or None.
        threshold: what the gate asks the median IC to be, or None.
        promoted: whether the weights went live, or None where nothing was to go live.
        dry_run: whether the training wrote nothing.
        usd: what it cost in dollars, or None.
        left_over: how many things were left behind, or None where that is not known.
        note: one line on what is wrong, or what a rollback did; empty where there is nothing to say.
        report: the page's path below the folder of runs, or None.
    """

    run_id: str
    mode: str | None = None
    state: str = "foreign"
    started_at: str | None = None
    seconds: float | None = None
    run_date: str | None = None
    median_ic: float | None = None
    ic_low: float | None = None
    ic_high: float | None = None
    threshold: float | None = None
    promoted: bool | None = None
    dry_run: bool = False
    usd: float | None = None
    left_over: int | None = None
    note: str = ""
    report: str | None = None

    def fields(self) -> dict[str, Any]:
        """Return all of it, for JSON."""
        return asdict(self)


class Unreadable(Exception):
    """One line: why a file is not what it should be."""


def read_runs(folder: Path, now: datetime | None = None, newest: int | None = None) -> list[Entry]:
    """Read the runs and rollbacks of a folder, the newest first.

    Args:
        folder: the folder of runs; it may be missing.
        now: the time, to tell a run that goes on from one that was cut off.
        newest: read no more than so many, the newest by their names; None for all.

    Raises:
        OSError: the folder itself cannot be listed.
    """
    if not folder.exists():
        return []
    moment = now or datetime.now(UTC)
    paths = [
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and not path.is_symlink() and (path.is_dir() or ROLLBACK.fullmatch(path.name))
    ]
    # Names hold the time, so that the newest are known before any is read.
    paths.sort(key=lambda path: (_named_time(path.name) or "", path.name), reverse=True)
    found = [read_run(path, moment) if path.is_dir() else read_rollback(path) for path in paths[:newest]]
    return sorted(found, key=lambda entry: (entry.started_at or "", entry.run_id), reverse=True)


def read_run(folder: Path, now: datetime) -> Entry:
    """Read the folder of one run."""
    name = clean(folder.name)
    try:
        receipt = _read(folder / "receipt.json")
    except FileNotFoundError:
        return _without_receipt(folder, name, now)
    except (OSError, Unreadable) as error:
        return Entry(name, state="damaged", started_at=_named_time(name), note=f"receipt.json: {_why(error)}")
    if receipt.get("outcome") not in OUTCOMES:
        return Entry(name, state="damaged", started_at=_named_time(name), note="receipt.json: it has no outcome")
    return _of_receipt(folder, name, receipt)


def read_rollback(path: Path) -> Entry:
    """Read the result of one rollback."""
    name, started = clean(path.stem), _named_time(path.name)
    try:
        result = _read(path)
    except (OSError, Unreadable) as error:
        return Entry(name, mode="rollback", state="damaged", started_at=started, note=f"{path.name}: {_why(error)}")
    failed = result.get("error")
    return Entry(
        name,
        mode="rollback",
        state="failed" if failed else "passed",
        started_at=started,
        run_date=_text(result.get("run_date")),
        promoted=None if failed else bool(result.get("changed")),
        note=_line(failed or result.get("detail") or ""),
    )


def _of_receipt(folder: Path, name: str, receipt: Mapping[str, Any]) -> Entry:
    """Take the facts out of a receipt; what does not fit is missing."""
    training, run, cost, leaks = (_object(receipt.get(key)) for key in ("training", "run", "cost", "leaks"))
    started, ended = parse_time(receipt.get("started_at")), parse_time(receipt.get("finished_at"))
    interval = training.get("median_ic_interval")
    low, high = interval if isinstance(interval, list) and len(interval) == 2 else (None, None)
    promoted = training.get("promoted")
    dry = bool(training.get("dry_run")) or receipt.get("mode") == "smoke"
    counts = [number(count) for count in leaks.values()]
    known = [int(count) for count in counts if count is not None]
    return Entry(
        name,
        mode=_text(receipt.get("mode")),
        state=str(receipt["outcome"]),
        started_at=_iso(started) or _named_time(name),
        seconds=None if started is None or ended is None else max(0.0, (ended - started).total_seconds()),
        run_date=_text(run.get("run_date")),
        median_ic=number(training.get("median_ic")),
        ic_low=number(low),
        ic_high=number(high),
        threshold=_threshold(training.get("gates")),
        promoted=promoted if isinstance(promoted, bool) and not dry else None,
        dry_run=dry and bool(training),
        usd=number(cost.get("usd")),
        left_over=sum(known) if counts and (len(known) == len(counts) or sum(known)) else None,
        note=_line(receipt.get("error") or ""),
        report=f"{folder.name}/report.html" if (folder / "report.html").is_file() else None,
    )


def _without_receipt(folder: Path, name: str, now: datetime) -> Entry:
    """Tell a run that goes on from one that was cut off, and both from what is no run."""
    known: dict[str, Any] = {}
    try:
        known = _read(folder / "run.json")
    except (OSError, Unreadable):
        if not RUN_ID.fullmatch(name):
            return Entry(name, state="foreign", note="no run: it has neither receipt.json nor run.json")
    started = _iso(parse_time(known.get("started_at"))) or _named_time(name)
    touched = max((moment for moment in map(_touched, (folder, folder / "events.jsonl")) if moment), default=None)
    going = touched is not None and now - touched < timedelta(seconds=GOING_ON_SECONDS)
    advice = f"no receipt: end it with ansible-playbook playbooks/terminate.yml -e run_id={name}"
    return Entry(
        name,
        mode=_text(known.get("mode")),
        state="running" if going else "unfinished",
        started_at=started,
        run_date=_text(known.get("run_date")),
        note="no receipt yet" if going else advice,
    )


def _read(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        OSError: The file cannot be read.
        Unreadable: It holds something else.
    """
    if path.stat().st_size > LARGEST_BYTES:
        raise Unreadable("it is too large to be one")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise Unreadable("it is no JSON") from None
    if not isinstance(found, dict):
        raise Unreadable(f"it holds a {type(found).__name__} where an object belongs")
    return found


def _threshold(gates: object) -> float | None:
    """Find what the gate on the median IC asks for."""
    for gate in gates if isinstance(gates, list) else []:
        if isinstance(gate, Mapping) and gate.get("name") == "median_ic":
            asked: float | None = number(gate.get("threshold"))
            return asked
    return None


def _named_time(name: str) -> str | None:
    """Read the time in a run's or a rollback's name."""
    match = RUN_ID.fullmatch(name) or ROLLBACK.fullmatch(name)
    try:
        return _iso(datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)) if match else None
    except ValueError:
        return None


def _touched(path: Path) -> datetime | None:
    """Return when a file or a folder was last written to."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        return None


def _iso(moment: datetime | None) -> str | None:
    """Write a time as ISO 8601 in UTC, to the second; what is beyond the calendar there is none."""
    try:
        return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except OverflowError:
        return None


def _why(error: Exception) -> str:
    """Say in a few words why a file cannot be read."""
    return str(getattr(error, "strerror", None) or error)


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return clean(value) if isinstance(value, str) and value else None


def _line(value: object) -> str:
    return " ".join(clean(value).split())
