# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the runs of a folder for `make runs` and the index page.

The folder may contain files of other versions of this project, of interrupted processes and of people. A run that
cannot be read is not an error: its `state` says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..checks.records import one_line
from ..runs.events import parse_time
from ..runs.text import clean
from .text import number

RUN_ID = re.compile(r"(\d{8}T\d{6})Z-[0-9a-f]{6}")
ROLLBACK = re.compile(r"rollback-(\d{8}T\d{6})Z\.json")
OUTCOMES = ("passed", "failed", "interrupted", "no_capacity")
#: A run without a receipt counts as running if its folder was written to within this time.
GOING_ON_SECONDS = 600
#: A larger file is rejected; the receipt of a run with thousands of symbols is some hundred kilobytes.
LARGEST_BYTES = 50_000_000


@dataclass(frozen=True)
class Entry:
    """One run, or one rollback; None is unknown, or does not apply.

    Attributes:
        run_id: name of its folder, or of a rollback's file without the extension.
        mode: ``preflight``, ``smoke``, ``full``, ``both`` or ``rollback``.
        state: one of `OUTCOMES`; else ``running`` (no receipt yet, but recent activity), ``unfinished`` (no receipt, no
            activity), ``damaged`` (unreadable receipt) or ``foreign`` (not a run).
        started_at: ISO 8601 in UTC.
        run_date: the date for which the run judged the data.
        ic_low, ic_high: the ends of the 95 % interval of the median IC.
        threshold: the gate's threshold for the median IC.
        promoted: whether the weights went live; None if there was nothing to promote.
        left_over: number of leftovers.
        note: one line on the error, or on the effect of a rollback; may be empty.
        report: path of the page relative to the folder of runs.
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
        """Return all fields, for JSON."""
        return asdict(self)


class Unreadable(Exception):
    """The reason, in one line, why a file cannot be used."""


def read_runs(folder: Path, now: datetime | None = None, newest: int | None = None) -> list[Entry]:
    """Read the runs and rollbacks of a folder, which may be missing, the newest first; OSError if it cannot be listed.

    ``now`` is to tell a running run from an unfinished one; ``newest`` limits the number of runs, by their names.
    """
    if not folder.exists():
        return []
    moment = now or datetime.now(UTC)
    paths = [
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and not path.is_symlink() and (path.is_dir() or ROLLBACK.fullmatch(path.name))
    ]
    # Names contain the time, so the newest are known without reading any.
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
        return Entry(name, state="damaged", started_at=_named_time(name), note="receipt.json: no outcome")
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
        note=one_line(failed or result.get("detail") or ""),
    )


def _of_receipt(folder: Path, name: str, receipt: Mapping[str, Any]) -> Entry:
    """Extract the facts from a receipt; invalid ones are None."""
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
        note=one_line(receipt.get("error") or ""),
        report=f"{folder.name}/report.html" if (folder / "report.html").is_file() else None,
    )


def _without_receipt(folder: Path, name: str, now: datetime) -> Entry:
    """Classify a folder without a receipt as running, unfinished or foreign."""
    known: dict[str, Any] = {}
    try:
        known = _read(folder / "run.json")
    except (OSError, Unreadable):
        if not RUN_ID.fullmatch(name):
            return Entry(name, state="foreign", note="not a run: it has neither receipt.json nor run.json")
    started = _iso(parse_time(known.get("started_at"))) or _named_time(name)
    touched = max((moment for moment in map(_touched, (folder, folder / "events.jsonl")) if moment), default=None)
    going = touched is not None and now - touched < timedelta(seconds=GOING_ON_SECONDS)
    advice = f"no receipt: terminate it with ansible-playbook playbooks/terminate.yml -e run_id={name}"
    return Entry(
        name,
        mode=_text(known.get("mode")),
        state="running" if going else "unfinished",
        started_at=started,
        run_date=_text(known.get("run_date")),
        note="no receipt yet" if going else advice,
    )


def _read(path: Path) -> dict[str, Any]:
    """Read a JSON object; raise OSError, or Unreadable if it is too large or not an object."""
    if path.stat().st_size > LARGEST_BYTES:
        raise Unreadable("too large")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise Unreadable("not valid JSON") from None
    if not isinstance(found, dict):
        raise Unreadable(f"expected an object, got {type(found).__name__}")
    return found


def _threshold(gates: object) -> float | None:
    """Return the threshold of the gate on the median IC."""
    known = [gate for gate in gates if isinstance(gate, Mapping)] if isinstance(gates, list) else []
    return next((number(gate.get("threshold")) for gate in known if gate.get("name") == "median_ic"), None)


def _named_time(name: str) -> str | None:
    """Parse the time in the name of a run or a rollback."""
    match = RUN_ID.fullmatch(name) or ROLLBACK.fullmatch(name)
    try:
        return _iso(datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)) if match else None
    except ValueError:
        return None


def _touched(path: Path) -> datetime | None:
    """Return the modification time of a file or a folder, or None."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        return None


def _iso(moment: datetime | None) -> str | None:
    """Format a time as ISO 8601 in UTC, to the second; None if UTC is beyond the calendar."""
    try:
        return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except OverflowError:
        return None


def _why(error: Exception) -> str:
    """Return the reason why a file cannot be read."""
    return str(getattr(error, "strerror", None) or error)


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return clean(value) if isinstance(value, str) and value else None
