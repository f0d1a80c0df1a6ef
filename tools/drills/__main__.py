"""`python -m tools.drills`: break runs in every known way, several at a time, and show each result."""

from __future__ import annotations

import argparse
import fnmatch
import itertools
import json
import os
import queue
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tests.support.stage import Stage
from tools.drills.catalogue import all_drills
from tools.drills.drill import Drill, Row, perform
from tools.signals import stop_on

WIDTHS = {"drill": 30, "when": 22, "outcome": 12, "code": 5, "gone": 8, "left": 6}


def main() -> int:
    """Run the selected drills; 1 if one of them failed."""
    options = _parser().parse_args()
    stop_on()
    chosen = select(all_drills(), options.only, options.fast)
    if not chosen:
        sys.exit(f"unknown drill: {' or '.join(options.only)}; list all drills with --list")
    if options.list:
        for drill in chosen:
            print(f"{drill.name:30} {drill.when:22} {drill.broken}")
        return 0
    started = time.monotonic()
    print(header(), flush=True)
    rows = run(chosen, options.jobs)
    seconds = round(time.monotonic() - started)
    failed = [row for row in rows if not row.holds]
    write(options.json, rows, seconds)
    print(f"{len(rows) - len(failed)} of {len(rows)} drills held, {seconds // 60} min {seconds % 60} s; {options.json}")
    return 1 if failed else 0


def select(drills: list[Drill], patterns: list[str], fast: bool) -> list[Drill]:
    """The drills whose name matches any of the patterns; all without patterns; only fast ones if `fast`."""
    return [
        drill
        for drill in drills
        if (not patterns or any(fnmatch.fnmatchcase(drill.name, pattern) for pattern in patterns))
        and (drill.fast or not fast)
    ]


def run(drills: list[Drill], jobs: int) -> list[Row]:
    """Perform drills, `jobs` at a time, each worker with its own embedded AWS; return rows in the drills' order."""
    waiting: queue.SimpleQueue[list[Drill]] = queue.SimpleQueue()
    groups: dict[str, list[Drill]] = {}
    for drill in drills:
        groups.setdefault(drill.group or drill.name, []).append(drill)
    # Start the drills that train or wait for a lease first, so that none of them is last. Alternate with those that do
    # not wait, which use the processor meanwhile.
    patient = sorted(groups.values(), key=lambda group: -sum(_patience(drill) for drill in group))
    half = (len(patient) + 1) // 2
    for pair in itertools.zip_longest(patient[:half], reversed(patient[half:])):
        for together in pair:
            if together:
                waiting.put(together)
    with tempfile.TemporaryDirectory(prefix="drills-") as folder, ThreadPoolExecutor(jobs) as pool:
        works = [pool.submit(_work, Path(folder) / str(number), waiting) for number in range(min(jobs, len(groups)))]
        try:
            rows = {row.drill: row for work in works for row in work.result()}
        except BaseException:
            # Let the running drills finish, so that they stop their embedded AWS; start no others.
            while not waiting.empty():
                waiting.get_nowait()
            raise
    return [rows[drill.name] for drill in drills]


def _patience(drill: Drill) -> float:
    return (1000 if drill.group else 0) + (drill.expected.gone_within or 0)


def _work(folder: Path, waiting: queue.SimpleQueue[list[Drill]]) -> list[Row]:
    """Perform drills on one stage until none is waiting."""
    rows: list[Row] = []
    folder.mkdir()
    with Stage(folder).running() as stage, suppress(queue.Empty):
        while True:
            for drill in waiting.get_nowait():
                rows.append(perform(drill, stage))
                print(line(rows[-1]), flush=True)
    return rows


def header() -> str:
    """The table's header."""
    return "  ".join(f"{name:{width}}" for name, width in WIDTHS.items()) + "  what was broken -> what the user saw"


def line(row: Row) -> str:
    """One line for the drill and one for each problem."""
    cells = {
        "drill": row.drill,
        "when": row.when,
        "outcome": row.outcome or "-",
        "code": "-" if row.exit_code is None else str(row.exit_code),
        "gone": "-" if row.seconds_until_gone is None else f"{row.seconds_until_gone:.1f} s",
        "left": str(sum(row.left.values())),
    }
    saw = row.saw if len(row.saw) <= 160 else f"{row.saw[:157]}..."
    text = (
        "  ".join(f"{cells[name]:{width}}" for name, width in WIDTHS.items()) + f"  {row.broken} -> {saw or 'nothing'}"
    )
    return "\n".join([text, *(f"  DOES NOT HOLD: {problem}" for problem in row.problems)])


def write(path: Path, rows: list[Row], seconds: float) -> None:
    """Write rows as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": seconds,
        "processors": len(os.sched_getaffinity(0)),
        "drills": [{**asdict(row), "holds": row.holds} for row in rows],
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.drills", description=__doc__, allow_abbrev=False)
    parser.add_argument("only", nargs="*", metavar="NAME", help="run only these drills; * and ? are wildcards")
    parser.add_argument("--fast", action="store_true", help="run only the drills of `make test-all`")
    parser.add_argument("--jobs", type=int, default=5, metavar="N", help="number of parallel drills (5)")
    parser.add_argument("--json", type=Path, default=Path(".cache/drills.json"), metavar="FILE", help="rows as JSON")
    parser.add_argument("--list", action="store_true", help="list the drills, run none")
    return parser


if __name__ == "__main__":
    sys.exit(main())
