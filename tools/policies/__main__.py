"""`python -m tools.policies`: remove each statement of files/iam in turn, record what fails, write the table."""

from __future__ import annotations

import argparse
import fnmatch
import queue
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

from tests.support.account import ROOT
from tools.options import positive
from tools.policies import replay, table, trials
from tools.policies.recording import Recording, archive_sets, record
from tools.policies.scene import Scene
from tools.policies.statements import Statement, statements
from tools.signals import stop_on

PAGE = ROOT / "docs" / "policies.md"


def main() -> int:
    """Print the table; return 1 if a statement is unused. Write a table of all statements into the page."""
    parser = argparse.ArgumentParser(prog="python -m tools.policies", description=__doc__, allow_abbrev=False)
    parser.add_argument("only", nargs="*", help="statements as <policy>.<sid>; * and ? are wildcards (default all)")
    parser.add_argument("--jobs", type=positive, default=2, help="number of parallel embedded AWSs (default 2)")
    options = parser.parse_args()
    chosen = [
        each
        for each in statements()
        if any(fnmatch.fnmatchcase(each.name, pattern) for pattern in options.only or ["*"])
    ]
    if not chosen:
        parser.error(f"unknown statement: {' or '.join(options.only)}")
    stop_on()
    with tempfile.TemporaryDirectory(prefix="policies-") as folder:
        recording, failures = work(Path(folder), chosen, options.jobs)
    rows = [table.Row(each, replay.need(recording, each), failures[each.name]) for each in chosen]
    print(f"\n{len(recording.asked)} policy decisions recorded\n\n{table.markdown(rows)}")
    idle = [f"{row.statement.name}: {why}" for row in rows if (why := _idle(recording, row))]
    if not options.only and not idle:
        PAGE.write_text(table.put(PAGE.read_text(encoding="utf-8"), table.markdown(rows)), encoding="utf-8")
    print("\n".join([*idle, f"{len(rows) - len(idle)} of {len(rows)} statements are needed"]), flush=True)
    return 1 if idle else 0


def work(folder: Path, chosen: Sequence[Statement], jobs: int) -> tuple[Recording, dict[str, trials.Failure | None]]:
    """Record in one embedded AWS and try the statements in all; return the recording, and what failed without each."""
    waiting: queue.Queue[Statement] = queue.Queue()
    for each in chosen:
        waiting.put(each)
    recordings: list[Recording] = []
    failures: dict[str, trials.Failure | None] = {}
    lock = threading.Lock()

    def perform(number: int) -> None:
        (folder / str(number)).mkdir()
        with Scene(folder / str(number)).running() as scene, suppress(queue.Empty):
            if number == 0:
                recordings.append(record(scene))
                print("recording done", flush=True)
            else:
                archive_sets(scene)
            while True:
                statement = waiting.get_nowait()
                failure = trials.fail(scene, statement)
                result = f"{failure.step}: {failure.message}" if failure else "NOTHING FAILED"
                with lock:
                    failures[statement.name] = failure
                    print(f"{len(failures)}/{len(chosen)} without {statement.name} | {result}", flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for done in as_completed([pool.submit(perform, number) for number in range(jobs)]):
                done.result()
        except BaseException:
            waiting.queue.clear()  # let running trials finish, start no others
            raise
    return recordings[0], failures


def _idle(recording: Recording, row: table.Row) -> str:
    """Why a statement or a part of it is unused; empty if all of it is used."""
    if not row.need:
        return "no recorded request needs it"
    if row.failure is None:
        return "nothing failed without it"
    unused = replay.idle_parts(recording, row.statement)
    return f"no recorded request needs {', '.join(unused)}" if unused else ""


if __name__ == "__main__":
    raise SystemExit(main())
