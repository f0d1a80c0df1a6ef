"""The agent's end of a pseudo-terminal: reads and writes without blocking, on an asyncio loop."""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import Callable, Iterator

READ_SIZE = 65536
DEFAULT_ROWS, DEFAULT_COLUMNS = 24, 80
LEFTOVER_LIMIT = 1024 * 1024  # a background process may keep writing after its shell has ended


class Terminal:
    """The master of a pty whose slave a shell has; all methods run on the loop's thread."""

    def __init__(self, on_output: Callable[[bytes], None]) -> None:
        """Open a pty of 24 by 80 characters, or raise OSError; ``on_output`` gets up to 64 KiB at a time."""
        self._on_output = on_output
        self._loop = asyncio.get_running_loop()
        self._input = bytearray()
        self._reading = False
        self._writing = False
        self._master, self.slave = os.openpty()  # call close_slave once the shell has its own copy
        os.set_blocking(self._master, False)
        self.resize(DEFAULT_ROWS, DEFAULT_COLUMNS)

    @property
    def backlog(self) -> int:
        """Bytes of input that the pty has not taken yet."""
        return len(self._input)

    def close_slave(self) -> None:
        """Close our copy of the slave, so that the end of the shell shows as end of file."""
        if self.slave >= 0:
            os.close(self.slave)
            self.slave = -1

    def resize(self, rows: int, columns: int) -> None:
        """Set the window size; the foreground process gets SIGWINCH from the kernel."""
        if self._master >= 0:
            termios.tcsetwinsize(self._master, (rows, columns))

    def write(self, data: bytes) -> None:
        """Type ``data``; the rest follows when the pty takes more."""
        self._input += data
        self._flush()

    def set_reading(self, wanted: bool) -> None:
        """Start or stop reading; a full pty blocks its writer."""
        if wanted == self._reading or self._master < 0:
            return
        self._reading = wanted
        if wanted:
            self._loop.add_reader(self._master, self._readable)
        else:
            self._loop.remove_reader(self._master)

    def leftover(self) -> Iterator[bytes]:
        """Output left in the pty after the shell has ended."""
        total = 0
        while total < LEFTOVER_LIMIT and (data := self._read()):
            total += len(data)
            yield data

    def close(self) -> None:
        """Close the pty; its foreground processes get SIGHUP. Idempotent."""
        self.close_slave()
        self.set_reading(False)
        if self._master >= 0:
            if self._writing:
                self._loop.remove_writer(self._master)
            os.close(self._master)
            self._master = -1

    def _read(self) -> bytes:
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
            pass  # the terminal is full until a process reads
        except OSError:
            self._input.clear()  # EIO: no process is left to read it
        waiting = bool(self._input) and self._master >= 0
        if waiting != self._writing:
            self._writing = waiting
            if waiting:
                self._loop.add_writer(self._master, self._flush)
            else:
                self._loop.remove_writer(self._master)
