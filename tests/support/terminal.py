"""Run a program in a terminal, and read its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LONGEST_SECONDS = 300.0
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


@dataclass
class Shown:
    """The result of a program in a terminal.

    Attributes:
        code: Its exit code.
        raw: Its whole output.
        columns: Width of the terminal.
    """

    code: int
    raw: str
    columns: int

    @property
    def lines(self) -> list[str]:
        """The final screen of a terminal that is tall enough for all lines."""
        lines, column = [""], 0
        for part in re.split(r"(\r|\n|\x1b\[K)", re.sub(r"\x1b\[[0-9;]*m", "", self.raw)):
            if part == "\r":
                column = 0
            elif part == "\n":
                lines.append("")
                column = 0
            elif part == "\x1b[K":
                lines[-1] = lines[-1][:column]
            else:
                assert not ESCAPE.search(part), part
                lines[-1] = lines[-1][:column].ljust(column) + part + lines[-1][column + len(part) :]
                column += len(part)
        return [line.rstrip() for line in lines]

    @property
    def text(self) -> str:
        """The final screen as one text."""
        return "\n".join(self.lines)

    @property
    def widest(self) -> int:
        """The width of the widest line, including overwritten ones."""
        return max(len(line) for line in re.split(r"[\r\n]+", ESCAPE.sub("", self.raw)))


def at_terminal(
    command: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    columns: int = 80,
    interrupt_after: Path | None = None,
) -> Shown:
    """Run a program in a new terminal.

    Args:
        command: Program and arguments.
        cwd: Working directory.
        environment: Its whole environment.
        columns: Width of the terminal.
        interrupt_after: Type Ctrl-C once as soon as this file exists.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        os.execvpe(command[0], list(command), dict(environment))
    written, deadline = b"", time.monotonic() + LONGEST_SECONDS
    try:
        while time.monotonic() < deadline:
            if interrupt_after and interrupt_after.exists():
                os.write(terminal, b"\x03")
                interrupt_after = None
            if not select.select([terminal], [], [], 0.2)[0]:
                continue
            try:
                read = os.read(terminal, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not read:
                break
            written += read
        else:
            os.kill(pid, 9)
    finally:
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
    return Shown(os.waitstatus_to_exitcode(status), written.decode(errors="replace").replace("\r\n", "\n"), columns)
