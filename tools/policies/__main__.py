"""`python -m tools.policies`: take away each statement of files/iam in turn, see what fails, write the table."""

from __future__ import annotations

import argparse
import fnmatch
import queue
import signal
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.support.account import ROOT
from tools.policies import replay, table, trials
from tools.policies.recording import Recording, archive_sets, record
from tools.policies.scene import Scene
from tools.policies.statements import Statement, statements

PAGE = ROOT / "docs" / "policies.md"


def main() -> int:
    """Print the table; 1 if a statement is idle. The table of all statements is written into the page."""
    parser = argparse.ArgumentParser(prog="python -m tools.policies", description=__doc__, allow_abbrev=False)
    parser.add_argument("only", nargs="*", help="statements, as <policy>.<sid> with * and ?; all without any")
    parser.add_argument("--jobs", type=int, default=2, help="embedded AWSs to try them in, side by side (default 2)")
    options = parser.parse_args()
    chosen = [each for each in statements() if not options.only or _is_named(each, options.only)]
    if not chosen:
        parser.error(f"no statement is named {' or '.join(options.only)}")
    if options.jobs < 1:
        parser.error(f"--jobs {options.jobs}: there must be one at least")
    # So that every embedded AWS is stopped; and a shell that runs this in the background has it ignore SIGINT.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="policies-") as folder:
        work = Work(Path(folder), chosen)
        recording, failures = work.do(options.jobs)
    rows = [table.Row(each, replay.need(recording, each), failures[each.name]) for each in chosen]
    print(f"\n{len(recording.asked)} questions to the policies recorded\n\n{table.markdown(rows)}")
    idle = [f"{row.statement.name}: {why}" for row in rows if (why := _idle(recording, row))]
    if not options.only and not idle:
        PAGE.write_text(table.put(PAGE.read_text(encoding="utf-8"), table.markdown(rows)), encoding="utf-8")
    print("\n".join([*idle, f"{len(rows) - len(idle)} of {len(rows)} statements are needed"]), flush=True)
    return 1 if idle else 0


class Work:
    """The recording, and beside it and after it the trials, each in one of some embedded AWSs."""

    def __init__(self, folder: Path, chosen: Sequence[Statement]) -> None:
        """Nothing is started yet; ``folder`` gets all of it."""
        self._folder = folder
        self._todo: queue.Queue[Statement] = queue.Queue()
        self._total = len(chosen)
        for each in chosen:
            self._todo.put(each)
        self._failures: dict[str, trials.Failure | None] = {}
        self._lock = threading.Lock()

    def do(self, jobs: int) -> tuple[Recording, dict[str, trials.Failure | None]]:
        """Do it all; what was recorded, and what failed without each statement."""
        with ThreadPoolExecutor(jobs) as pool:
            recorded = pool.submit(self._record)
            others = [pool.submit(self._try_beside, number) for number in range(1, jobs)]
            try:
                for other in others:
                    other.result()
                return recorded.result(), self._failures
            except BaseException:
                self._todo.queue.clear()  # whatever happened: what has begun ends, and nothing new begins
                raise

    def _record(self) -> Recording:
        with self._scene(0).running() as scene:
            recording = record(scene)
            print("what uses the policies is recorded", flush=True)
            self._try(scene)
            return recording

    def _try_beside(self, number: int) -> None:
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
                    told = f"{failure.step}: {failure.message}" if failure else "NOTHING FAILED"
                    print(f"{len(self._failures)}/{self._total} without {statement.name} | {told}", flush=True)


def _is_named(statement: Statement, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(statement.name, pattern) for pattern in patterns)


def _idle(recording: Recording, row: table.Row) -> str:
    """Why a statement, or something in it, is idle; empty where it is not."""
    if not row.need.asked:
        return "no recorded request needs it"
    if row.failure is None:
        return "nothing failed without it"
    unused = replay.idle_parts(recording, row.statement)
    return f"no recorded request needs {', '.join(unused)}" if unused else ""


if __name__ == "__main__":
    raise SystemExit(main())
