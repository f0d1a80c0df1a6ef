"""Writes the plugin's standard output in a thread.

The descriptor may be a pty that is read late or never (``aws_ssm`` writes a whole command before it reads), so the loop
cannot write to it; other processes may share it, so it cannot be made non-blocking.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable


class OutputWriter:
    """A queue of bytes, and a thread that writes them."""

    def __init__(self, descriptor: int, on_progress: Callable[[], None]) -> None:
        """Start the thread, which calls ``on_progress`` after every write and when writing fails."""
        self._descriptor = descriptor
        self._on_progress = on_progress
        self._queue: deque[bytes] = deque()
        self._condition = threading.Condition()
        self._closing = False
        self.backlog = 0  # bytes
        self.written = 0  # bytes, since the start
        self.broken = False  # the reader is gone
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Queue ``data``."""
        if data and not self.broken:
            with self._condition:
                self._queue.append(data)
                self.backlog += len(data)
                self._condition.notify()

    def close(self, patience: float | None) -> None:
        """Wait until all is written; give up after ``patience`` seconds (if not None) without progress."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        while self._thread.is_alive():
            before = self.written
            self._thread.join(patience)
            if self._thread.is_alive() and self.written == before:
                return

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._queue and not self._closing:
                    self._condition.wait()
                if not self._queue:
                    return
                data = self._queue.popleft()
            try:
                # Small pieces, so that ``written`` shows progress with a slow reader.
                for start in range(0, len(data), 4096):
                    self._write_all(data[start : start + 4096])
            except OSError:
                self.broken = True
                self._on_progress()
                return
            self._on_progress()

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            count = os.write(self._descriptor, view)
            view = view[count:]
            with self._condition:
                self.written += count
                self.backlog -= count
