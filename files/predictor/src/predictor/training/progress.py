"""How far the training is, as lines that another process can read while it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from predictor import interrupt
from predictor.errors import Interrupted
from predictor.training.walk_forward import FoldDone


class Progress:
    """JSON lines, one a stage and one a fold, each flushed: `time`, `stage`, `fold`, `folds`, `ic`, `resumed`, `saved`,
    `elapsed`, `remaining` (seconds, None while unknown), `rss_mb`.

    `folds` and `saved` (how many folds are saved) are on every line from the first fold on.
    """  # noqa: D205

    def __init__(self, path: Path) -> None:
        """Start a new file.

        Args:
            path: Where; its folder is made if need be.

        Raises:
            OSError: It cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        self._started = time.monotonic()
        self._folds: int | None = None
        self._saved: int | None = None
        self.stages: dict[str, float] = {}

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._file.close()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announce a stage, and note in `stages` how many seconds it took, even if it fails.

        Raises:
            Interrupted: SIGTERM came; the message names the stage.
        """
        started = time.monotonic()
        try:
            interrupt.check()
            self._write(name)
            yield
        except Interrupted as told:
            raise Interrupted(f"{told} in stage {name}") from told
        finally:
            self.stages[name] = round(time.monotonic() - started, 3)

    def fold(self, done: FoldDone, total: int, remaining: float | None) -> None:
        """Report a fold that is done.

        Args:
            done: Which, and how.
            total: How many there are.
            remaining: Seconds still expected for the other folds, None while unknown.

        Raises:
            Interrupted: SIGTERM came during the fold, and its exception got lost.
        """
        interrupt.check()
        self._folds = total
        self._saved = (self._saved or 0) + done.saved
        self._write("walk_forward", done, remaining)

    def _write(self, stage: str, done: FoldDone | None = None, remaining: float | None = None) -> None:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "stage": stage,
            "fold": None if done is None else done.fold.number,
            "folds": self._folds,
            "ic": None if done is None or done.ic is None else round(done.ic, 6),
            "resumed": None if done is None else done.resumed,
            "saved": self._saved,
            "elapsed": round(time.monotonic() - self._started, 2),
            "remaining": None if remaining is None else round(remaining, 1),
            "rss_mb": memory_mb(),
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def memory_mb() -> float | None:
    """Resident memory of this process in MiB, None where the kernel does not say."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    kilobytes = next((line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")), None)
    return None if kilobytes is None else round(int(kilobytes) / 1024, 1)
