"""Run as a program: import one module where the network and file writes are refused, and say what came of it.

Usage: python -P import_guard.py MODULE SCRATCH. Writes SCRATCH/verdict.json: `error` (empty if the module imports) and
`refused` (what it, or something it imports, tried and was not allowed to do, even if it swallowed the refusal).

An audit hook (PEP 578) refuses what Python code does. Where the kernel lets it, the interpreter also leaves the network
behind (an empty network namespace), so that compiled code reaches nobody either. Only the standard library is imported
here: whatever is loaded before the module is not tested.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
from typing import Any

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
"""unshare(2)."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
NETWORK = {
    "socket.bind",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyaddr",
    "socket.gethostbyname",
    "socket.sendmsg",
    "socket.sendto",
}
CHANGES = {
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.setxattr",
    "os.symlink",
    "os.truncate",
}
# What another program does, no hook of this interpreter sees.
PROGRAMS = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pty.spawn",
    "subprocess.Popen",
}
HARMLESS_FILES = ("/dev/null", "/dev/tty")


class RefusedError(PermissionError):
    """The import tried something that it must not do."""


class Guard:
    """The audit hook."""

    def __init__(self, scratch: str) -> None:
        """Refuse from now on everything but writes below `scratch`."""
        self.scratch = os.path.realpath(scratch)
        self.refused: list[str] = []
        self.active = True

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at one audit event.

        Raises:
            RefusedError: It is one that an import must not cause.
        """
        if not self.active:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & WRITING and not self._may_write(path):
                self._refuse(f"write {path}")
        elif event in CHANGES:
            # Of two paths (rename, link) the second is what comes to be.
            for path in arguments[:2] if event in ("os.link", "os.rename", "os.symlink") else arguments[:1]:
                if not self._may_write(path):
                    self._refuse(f"{event} {path}")
        elif event in NETWORK:
            if not _probes_loopback(event, arguments):
                self._refuse(f"{event} {_address(arguments)}")
        elif event in PROGRAMS:
            self._refuse(f"start a program ({event} {str(arguments[0])[:80] if arguments else ''})")

    def _may_write(self, path: Any) -> bool:
        if isinstance(path, int) or path is None:
            return True  # a descriptor that is open already
        name = os.fsdecode(path)
        return name in HARMLESS_FILES or os.path.realpath(name).startswith((self.scratch + os.sep, "/dev/fd/"))

    def _refuse(self, what: str) -> None:
        self.refused.append(what)
        raise RefusedError(f"not on import: {what}")


def _probes_loopback(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether it is a bind to a free port of loopback: urllib3 finds out about IPv6 that way, and nobody is reached."""
    return (
        event == "socket.bind"
        and isinstance(arguments[1], tuple)
        and arguments[1][:2] in (("::1", 0), ("127.0.0.1", 0))
    )


def _address(arguments: tuple[Any, ...]) -> str:
    parts = [part for part in arguments if not hasattr(part, "fileno")]
    first = parts[0] if parts else ""
    return ":".join(map(str, first[:2])) if isinstance(first, tuple) else str(first)


def leave_network() -> bool:
    """Move this process into a network namespace without any interface; False where the kernel does not let it."""
    try:
        unshare = ctypes.CDLL(None, use_errno=True).unshare
    except (OSError, AttributeError):
        return False
    return bool(unshare(CLONE_NEWNET) == 0 or unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0)


def main(module: str, scratch: str) -> None:
    """Import `module` under the guard."""
    leave_network()
    guard = Guard(scratch)
    error = ""
    sys.addaudithook(guard)
    try:
        importlib.import_module(module)
    except BaseException as caught:  # an import may fail in any way, SystemExit and KeyboardInterrupt among them
        error = f"{type(caught).__name__}: {' '.join(str(caught).split())}"[:300]
    guard.active = False
    with open(os.path.join(scratch, "verdict.json"), "w", encoding="utf-8") as file:
        json.dump({"error": error, "refused": guard.refused}, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
    # Not the module's exit handlers: what they do is no import.
    os._exit(0)
