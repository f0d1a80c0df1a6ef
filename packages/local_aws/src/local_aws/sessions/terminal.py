"""The agent's end of a pseudo-terminal: reads and writes without blocking, on an asyncio loop."""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import Callable, Iterator

READ_SIZE = 65536
DEFAULT_ROWS, DEFAULT_COLUMNS = 24, 80
LEFTOVER_LIMIT = 1024 * 1024  # a background process may write for ever after its shell's end


class Terminal:
    """A pty. The shell has the slave, this the master; all methods run on the loop's thread."""

    def __init__(self, on_output: Callable[[bytes], None]) -> None:
        """Open a pty of 24 by 80 characters; nothing is read before ``set_reading(True)``.

        Args:
            on_output: Called with what the slave's side wrote, up to 64 KiB at a time.

        Raises:
            OSError: The system has no pty left.
        """
        self._on_output = on_output
        self._loop = asyncio.get_running_loop()
        self._input = bytearray()
        self._reading = False
        self._writing = False
        self._master, self._slave = os.openpty()
        os.set_blocking(self._master, False)
        self.resize(DEFAULT_ROWS, DEFAULT_COLUMNS)

    @property
    def slave(self) -> int:
        """The file descriptor for the shell; ``close_slave`` once the shell has its own copy."""
        return self._slave

    @property
    def backlog(self) -> int:
        """Bytes of input that the slave's side has not taken yet."""
        return len(self._input)

    def close_slave(self) -> None:
        """Close our copy of the slave; only without it does the end of the shell show as end of file."""
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1

    def resize(self, rows: int, columns: int) -> None:
        """Set the window size; the foreground process gets SIGWINCH from the kernel."""
        if self._master >= 0:
            termios.tcsetwinsize(self._master, (rows, columns))

    def write(self, data: bytes) -> None:
        """Type ``data``; what the pty does not take now follows as soon as it does."""
        self._input += data
        self._flush()

    def set_reading(self, wanted: bool) -> None:
        """Read output, or leave it in the pty so that its writer has to wait."""
        if wanted == self._reading or self._master < 0:
            return
        self._reading = wanted
        if wanted:
            self._loop.add_reader(self._master, self._readable)
        else:
            self._loop.remove_reader(self._master)

    def leftover(self) -> Iterator[bytes]:
        """What is still in the pty after the shell's end."""
        total = 0
        while total < LEFTOVER_LIMIT and (data := self._read()):
            total += len(data)
            yield data

    def close(self) -> None:
        """Close the pty: what is left in the foreground gets SIGHUP. May be called twice."""
        self.close_slave()
        self.set_reading(False)
        if self._master >= 0:
            if self._writing:
                self._loop.remove_writer(self._master)
            os.close(self._master)
            self._master = -1

    def _read(self) -> bytes:
        """Read what is there; empty if that is nothing, or the end."""
        try:
            return os.read(self._master, READ_SIZE) if self._master >= 0 else b""
        except BlockingIOError:
            return b""
        except OSError:  # EIO: no process has the slave open any more
            self.set_reading(False)
            return b""

    def _readable(self) -> None:
        data = self._read()
        if data:
            self._on_output(data)

    def _flush(self) -> None:
        try:
            while self._input and self._master >= 0:
                del self._input[: os.write(self._master, self._input)]
        except BlockingIOError:
            pass  # the line discipline is full until a process reads
        except OSError:
            self._input.clear()  # EIO: nobody is left who could read it
        waiting = bool(self._input) and self._master >= 0
        if waiting != self._writing:
            self._writing = waiting
            if waiting:
                self._loop.add_writer(self._master, self._flush)
            else:
                self._loop.remove_writer(self._master)
