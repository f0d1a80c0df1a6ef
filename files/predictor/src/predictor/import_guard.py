"""Run as a program: import modules where the network and file writes are refused, and say what came of it.

Usage: python -P import_guard.py SCRATCH MODULE. Writes SCRATCH/verdict.json: `error` (empty if the module imports) and
`refused` (what it, or something it imports, tried and was not allowed to do, even if it swallowed the refusal).

Usage: python -P import_guard.py SCRATCH --each SECONDS LIBRARIES MODULES, both lists separated by commas. Imports the
libraries, and then each module in a process forked off. Writes SCRATCH/passed.json, the list of the modules that
import and tried nothing. Fails where a library does not, which then has to be found out with the other way.

An audit hook (PEP 578) refuses what Python code does. Where the kernel lets it (root, or user namespaces), compiled
code is held back too: the interpreter moves into a network namespace without any interface and a mount namespace in
which everything but the scratch folder is read-only. Only the standard library is imported here: whatever is loaded
before the module is not tested.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
"""unshare(2)."""

MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
"""mount(2)."""

SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1
"""mount_setattr(2); the number is the same on x86-64 and on arm64."""

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
PASSED = 86
"""Exit code of a forked process whose module imports: none that a module would end with."""

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
            for path, folder in _paths(event, arguments):
                if not self._may_write(path, folder):
                    self._refuse(f"{event} {path}")
        elif event in NETWORK:
            if not _probes_loopback(event, arguments):
                self._refuse(f"{event} {_address(arguments)}")
        elif event in PROGRAMS:
            self._refuse(f"start a program ({event} {str(arguments[0])[:80] if arguments else ''})")

    def _may_write(self, path: Any, folder: int = -1) -> bool:
        if isinstance(path, int) or path is None:
            return True  # a descriptor that is open already
        name = os.fsdecode(path)
        if name in HARMLESS_FILES:
            return True
        if folder >= 0 and not os.path.isabs(name):
            name = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)
        # The link itself is meant, not what it points at.
        parent, last = os.path.split(os.path.abspath(name))
        place = os.path.join(os.path.realpath(parent), last)
        return place == self.scratch or place.startswith(self.scratch + os.sep)

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


def _paths(event: str, arguments: tuple[Any, ...]) -> list[tuple[Any, int]]:
    """What a call would change: paths, each with the descriptor of the folder it is relative to (-1: none)."""
    if event == "os.rename":
        return [(arguments[0], arguments[2]), (arguments[1], arguments[3])]
    if event == "os.link":
        return [(arguments[1], arguments[3])]
    if event == "os.symlink":
        return [(arguments[1], arguments[2])]
    has_folder = event in ("os.chmod", "os.chown", "os.mkdir", "os.remove", "os.rmdir")
    return [(arguments[0], arguments[-1] if has_folder else -1)]


class _MountAttributes(ctypes.Structure):
    """struct mount_attr."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def close_in(scratch: str) -> bool:
    """Leave the network behind, and make everything but `scratch` read-only.

    Returns:
        Whether the kernel let it; what it did not let is left as it was.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        kinds = CLONE_NEWNET | CLONE_NEWNS
        if libc.unshare(kinds) != 0 and libc.unshare(CLONE_NEWUSER | kinds) != 0:
            return False
        mount = libc.mount
        mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
        place = os.fsencode(scratch)
        # Nothing of this may reach the namespace that we come from.
        if mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0 or mount(place, place, None, MS_BIND, None) != 0:
            return False
        closed = _set_mount(libc, b"/", AT_RECURSIVE, _MountAttributes(MOUNT_ATTR_RDONLY, 0, 0, 0))
        return closed and _set_mount(libc, place, 0, _MountAttributes(0, MOUNT_ATTR_RDONLY, 0, 0))
    except (OSError, AttributeError):
        return False  # no such library, or it lacks one of these


def _set_mount(libc: Any, path: bytes, flags: int, attributes: _MountAttributes) -> bool:
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    return bool(libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, path, flags, ctypes.byref(attributes), size) == 0)


def attempt(guard: Guard, module: str) -> str:
    """Import `module` under the guard; why it failed, empty if it did not."""
    guard.active = True
    try:
        importlib.import_module(module)
    except BaseException as caught:  # an import may fail in any way, SystemExit and KeyboardInterrupt among them
        return f"{type(caught).__name__}: {' '.join(str(caught).split())}"[:300]
    finally:
        guard.active = False
    return ""


def passes(guard: Guard, module: str, seconds: int) -> bool:
    """Whether a module imports in a process forked off, within so many seconds."""
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        os._exit(1 if attempt(guard, module) or guard.refused else PASSED)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == PASSED


def main(scratch: str, arguments: Sequence[str]) -> int:
    """Close in, import, and write what came of it; returns the exit code."""
    close_in(scratch)
    # The folder was opened before it became a mount of its own.
    os.chdir(scratch)
    guard = Guard(scratch)
    guard.active = False
    sys.addaudithook(guard)
    if arguments[0] != "--each":
        _write(scratch, "verdict.json", {"error": attempt(guard, arguments[0]), "refused": guard.refused})
        return 0
    seconds, libraries, modules = int(arguments[1]), arguments[2].split(","), arguments[3].split(",")
    if any(attempt(guard, library) for library in libraries) or guard.refused:
        return 1
    _write(scratch, "passed.json", [module for module in modules if passes(guard, module, seconds)])
    return 0


def _write(scratch: str, name: str, content: object) -> None:
    with open(os.path.join(scratch, name), "w", encoding="utf-8") as file:
        json.dump(content, file)


if __name__ == "__main__":
    code = main(sys.argv[1], sys.argv[2:])
    # Not the module's exit handlers: what they do is no import.
    os._exit(code)
