"""The progress of a training, as lines that another process can read while it runs."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from predictor import interrupt
from predictor.errors import Interrupted
from predictor.training.walk_forward import FoldDone

BEAT_SECONDS = 10.0
"""Interval between beats."""


class Progress:
    """JSON lines, one per stage and fold, each flushed.

    Fields: `time`, `stage`, `fold`, `folds`, `ic`, `resumed`, `saved`, `elapsed`, `remaining` (seconds, None while
    unknown), `rss_mb`, `beat`. From the first fold on, every line has `folds` and `saved` (the number of saved folds).
    A beat repeats the last line with `beat` true and the current time and memory.
    """

    def __init__(self, path: Path, beat_seconds: float = BEAT_SECONDS) -> None:
        """Start a new file, creating its folder if necessary.

        Raises:
            OSError: The file cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        self._started = time.monotonic()
        self._beat_seconds = beat_seconds
        self._last: dict[str, Any] = {}
        self._written = self._started
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._beats = threading.Thread(target=self._beat, name="progress", daemon=True)
        self._folds: int | None = None
        self._saved: int | None = None
        self.stages: dict[str, float] = {}

    def __enter__(self) -> Self:
        """Start the beats."""
        self._beats.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the beats and close the file."""
        self._closing.set()
        self._beats.join()
        self._file.close()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Report a stage, and record its duration in `stages`, even if it fails.

        Raises:
            Interrupted: SIGTERM arrived; the message names the stage.
        """
        started = time.monotonic()
        try:
            interrupt.check()
            self._write(name)
            yield
        except Interrupted as interruption:
            raise Interrupted(f"{interruption} in stage {name}") from interruption
        finally:
            self.stages[name] = round(time.monotonic() - started, 3)

    def fold(self, done: FoldDone, total: int, remaining: float | None) -> None:
        """Report a completed fold.

        Args:
            done: The fold.
            total: Number of folds.
            remaining: Expected seconds for the other folds, None while unknown.

        Raises:
            Interrupted: SIGTERM arrived during the fold, and its exception was lost.
        """
        interrupt.check()
        self._folds = total
        self._saved = (self._saved or 0) + done.saved
        self._write("walk_forward", done, remaining)

    def _write(self, stage: str, done: FoldDone | None = None, remaining: float | None = None) -> None:
        line = {
            "stage": stage,
            "fold": None if done is None else done.fold.number,
            "folds": self._folds,
            "ic": None if done is None or done.ic is None else round(done.ic, 6),
            "resumed": None if done is None else done.resumed,
            "saved": self._saved,
            "elapsed": None,
            "remaining": None if remaining is None else round(remaining, 1),
            "rss_mb": None,
            "beat": False,
        }
        with self._lock:
            self._last = line
            self._put(line)

    def _beat(self) -> None:
        """Write beats until the file is closed. A full disk is ignored here; the next line reports it."""
        while not self._closing.wait(self._beat_seconds):
            with self._lock, contextlib.suppress(OSError):
                if self._last:
                    self._put({**self._last, "beat": True, "remaining": self._remaining_now()})

    def _put(self, line: dict[str, Any]) -> None:
        """Write a line with the current time and memory. The caller holds the lock."""
        now = time.monotonic()
        if not line["beat"]:
            self._written = now
        written_at = {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        moment = {"elapsed": round(now - self._started, 2), "rss_mb": memory_mb()}
        self._file.write(json.dumps({**written_at, **line, **moment}) + "\n")
        self._file.flush()

    def _remaining_now(self) -> float | None:
        """The last line's `remaining`, less the time since."""
        if self._last["remaining"] is None:
            return None
        return round(max(0.0, float(self._last["remaining"]) - (time.monotonic() - self._written)), 1)


def memory_mb() -> float | None:
    """Resident memory of this process in MiB, None if unknown."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    kilobytes = next((line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")), None)
    return None if kilobytes is None else round(int(kilobytes) / 1024, 1)
