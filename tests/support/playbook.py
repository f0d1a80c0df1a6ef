"""One run of `train.yml` as a process that can be watched, and killed."""

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

#: A run under a loaded machine takes its time; what takes longer than this hangs.
LONGEST_RUN_SECONDS = 600.0


class Stuck(Exception):
    """What a drill waited for did not happen."""


class Playbook:
    """A started `ansible-playbook train.yml`, in a session and process group of its own."""

    def __init__(
        self, account: EmbeddedAccount, runs: Path, log: Path, *arguments: str, prefix: tuple[str, ...] = ()
    ) -> None:
        """Start it.

        Args:
            account: Whose control node it is.
            runs: Folder that gets this run's folder, and no other run's.
            log: File that gets what it prints.
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
        """The run's folder; None before there is one."""
        return next(iter(sorted(self.runs.glob("2*"))), None)

    @property
    def run_id(self) -> str:
        """The run's id; empty before there is one."""
        return self.folder.name if self.folder else ""

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    @property
    def code(self) -> int | None:
        """Exit code as a shell shows it (128 + signal); None while it runs."""
        code = self._process.poll()
        return 128 - code if code is not None and code < 0 else code

    def receipt(self) -> dict[str, Any]:
        """The receipt; empty while there is none."""
        path = self.folder / "receipt.json" if self.folder else None
        return dict(json.loads(path.read_text())) if path and path.exists() else {}

    def events(self, text: str = "") -> Iterator[dict[str, Any]]:
        """What was recorded so far, whole lines only, and only those that hold `text`."""
        path = self.folder / "events.jsonl" if self.folder else None
        recorded = path.read_text(errors="replace") if path and path.exists() else ""
        for line in recorded.splitlines(keepends=True):
            with suppress(ValueError):
                if line.endswith("\n") and text in line:
                    yield json.loads(line)

    def wait_for(self, what: str, happened: Callable[[], bool], seconds: float = LONGEST_RUN_SECONDS) -> None:
        """Wait until something has happened.

        Raises:
            Stuck: It did not in that time, or the playbook ended before it did.
        """
        deadline = time.monotonic() + seconds
        while not happened():
            if self.code is not None and not happened():
                raise Stuck(f"the playbook ended ({self.code}) before {what}")
            if time.monotonic() > deadline:
                raise Stuck(f"{what} did not happen within {seconds:.0f} s")
            time.sleep(LOOK_SECONDS)

    def wait_for_task(self, step: str, text: str = "") -> None:
        """Wait until a task of a step has begun, whose name holds `text`.

        Raises:
            Stuck: See `wait_for`.
        """

        def begun() -> bool:
            # The text first: most lines are of other events, and are not worth parsing ten times a second.
            started = self.events('"task_started"')
            return any(event.get("step") == step and text in str(event.get("task")) for event in started)

        self.wait_for(f"a task {text!r} of the step {step} began", begun)

    def kill(self, number: signal.Signals) -> None:
        """Send a signal to its whole process group, as a terminal or AWX does."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def end_workers(self) -> None:
        """End what a killed playbook has left: its workers are sessions of their own, which no signal to it reaches.

        Where there is a watchdog, it does so. Without one they wait for ever to tell the playbook what they did.
        """
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if f"runs_dir={self.runs}".encode() in path.read_bytes().split(b"\0"):
                    os.kill(int(path.parent.name), signal.SIGKILL)

    def wait(self, seconds: float = LONGEST_RUN_SECONDS) -> int:
        """Wait for its end and return its exit code.

        Raises:
            Stuck: It goes on for longer than that; it is killed.
        """
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill(signal.SIGKILL)
            raise Stuck(f"the playbook did not end within {seconds:.0f} s") from None
        assert self.code is not None
        return self.code
