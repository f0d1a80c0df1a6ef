"""`python -m tools.policies`: remove each statement of files/iam in turn, record what fails, write the table."""

from __future__ import annotations

import argparse
import fnmatch
import queue
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
        work = Work(Path(folder), chosen)
        recording, failures = work.do(options.jobs)
    rows = [table.Row(each, replay.need(recording, each), failures[each.name]) for each in chosen]
    print(f"\n{len(recording.asked)} policy decisions recorded\n\n{table.markdown(rows)}")
    idle = [f"{row.statement.name}: {why}" for row in rows if (why := _idle(recording, row))]
    if not options.only and not idle:
        PAGE.write_text(table.put(PAGE.read_text(encoding="utf-8"), table.markdown(rows)), encoding="utf-8")
    print("\n".join([*idle, f"{len(rows) - len(idle)} of {len(rows)} statements are needed"]), flush=True)
    return 1 if idle else 0


class Work:
    """The recording and the trials, in parallel embedded AWSs."""

    def __init__(self, folder: Path, chosen: Sequence[Statement]) -> None:
        """Queue the trials; ``folder`` receives all files."""
        self._folder = folder
        self._todo: queue.Queue[Statement] = queue.Queue()
        self._total = len(chosen)
        for each in chosen:
            self._todo.put(each)
        self._failures: dict[str, trials.Failure | None] = {}
        self._lock = threading.Lock()

    def do(self, jobs: int) -> tuple[Recording, dict[str, trials.Failure | None]]:
        """Record and try; return the recording, and what failed without each statement."""
        with ThreadPoolExecutor(jobs) as pool:
            recorded = pool.submit(self._record)
            others = [pool.submit(self._try_in_parallel, number) for number in range(1, jobs)]
            try:
                for other in others:
                    other.result()
                return recorded.result(), self._failures
            except BaseException:
                self._todo.queue.clear()  # let running trials finish, start no others
                raise

    def _record(self) -> Recording:
        with self._scene(0).running() as scene:
            recording = record(scene)
            print("recording done", flush=True)
            self._try(scene)
            return recording

    def _try_in_parallel(self, number: int) -> None:
        with self._scene(number).running() as scene:
            archive_sets(scene)
            self._try(scene)

    def _scene(self, number: int) -> Scene:
        folder = self._folder / str(number)
        folder.mkdir()
        return Scene(folder)

    def _try(self, scene: Scene) -> None:
        with suppress(queue.Empty):
            while True:
                statement = self._todo.get_nowait()
                failure = trials.fail(scene, statement)
                with self._lock:
                    self._failures[statement.name] = failure
                    result = f"{failure.step}: {failure.message}" if failure else "NOTHING FAILED"
                    print(f"{len(self._failures)}/{self._total} without {statement.name} | {result}", flush=True)


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
