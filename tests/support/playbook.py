"""One run of `train.yml` as a process that can be watched and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.account import EmbeddedAccount
from tests.support.waiting import LOOK_SECONDS

#: Longer than any run, even on a loaded machine.
LONGEST_RUN_SECONDS = 600.0


class Stuck(Exception):
    """An awaited event did not happen."""


class Playbook:
    """A started `ansible-playbook train.yml` in its own session and process group."""

    def __init__(
        self, account: EmbeddedAccount, runs: Path, log: Path, *arguments: str, prefix: tuple[str, ...] = ()
    ) -> None:
        """Start it.

        Args:
            account: The account of its control node.
            runs: Folder for this run's folder only.
            log: File for its output.
            arguments: Options of `ansible-playbook`.
            prefix: Put before the command, for example `faketime …`.
        """
        runs.mkdir(parents=True, exist_ok=True)
        self.runs = runs
        self.log = log
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [*prefix, "ansible-playbook", "train.yml", "-e", f"runs_dir={runs}", *arguments],
                cwd=account.project,
                env=account.variables(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def folder(self) -> Path | None:
        """The run's folder; None until it exists."""
        return next(iter(sorted(self.runs.glob("2*"))), None)

    @property
    def run_id(self) -> str:
        """The run's id; empty until its folder exists."""
        return self.folder.name if self.folder else ""

    @property
    def output(self) -> str:
        """The output so far."""
        return self.log.read_text(errors="replace")

    @property
    def code(self) -> int | None:
        """Exit code as a shell shows it (128 + signal); None while it runs."""
        code = self._process.poll()
        return 128 - code if code is not None and code < 0 else code

    def receipt(self) -> dict[str, Any]:
        """The receipt; empty until it exists."""
        path = self.folder / "receipt.json" if self.folder else None
        return dict(json.loads(path.read_text())) if path and path.exists() else {}

    def events(self, text: str = "") -> Iterator[dict[str, Any]]:
        """The events recorded so far, complete lines that contain `text` only."""
        path = self.folder / "events.jsonl" if self.folder else None
        recorded = path.read_text(errors="replace") if path and path.exists() else ""
        for line in recorded.splitlines(keepends=True):
            with suppress(ValueError):
                if line.endswith("\n") and text in line:
                    yield json.loads(line)

    def wait_for(self, what: str, happened: Callable[[], bool], seconds: float = LONGEST_RUN_SECONDS) -> None:
        """Wait until something has happened.

        Raises:
            Stuck: It did not happen in time, or the playbook ended first.
        """
        deadline = time.monotonic() + seconds
        while not happened():
            if self.code is not None and not happened():
                raise Stuck(f"the playbook ended ({self.code}) before {what}")
            if time.monotonic() > deadline:
                raise Stuck(f"{what} did not happen within {seconds:.0f} s")
            time.sleep(LOOK_SECONDS)

    def wait_for_task(self, step: str, text: str = "") -> None:
        """Wait until a task of a step whose name contains `text` has started.

        Raises:
            Stuck: See `wait_for`.
        """

        def begun() -> bool:
            # Filter by text first: parsing all events ten times a second is too slow.
            started = self.events('"task_started"')
            return any(event.get("step") == step and text in str(event.get("task")) for event in started)

        self.wait_for(f"a task {text!r} of the step {step} began", begun)

    def kill(self, number: signal.Signals) -> None:
        """Send a signal to its whole process group, as a terminal or AWX does."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def end_workers(self) -> None:
        """Kill the workers of a killed playbook, which have their own sessions and wait for it forever.

        With a watchdog this is not necessary.
        """
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if f"runs_dir={self.runs}".encode() in path.read_bytes().split(b"\0"):
                    os.kill(int(path.parent.name), signal.SIGKILL)

    def wait(self, seconds: float = LONGEST_RUN_SECONDS) -> int:
        """Wait for its end and return its exit code.

        Raises:
            Stuck: It did not end in time and was killed.
        """
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill(signal.SIGKILL)
            raise Stuck(f"the playbook did not end within {seconds:.0f} s") from None
        assert self.code is not None
        return self.code
