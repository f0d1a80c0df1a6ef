"""Program that imports modules with network access and file writes refused, and reports the outcome.

Usage: python -P import_guard.py SCRATCH MODULE. Writes SCRATCH/verdict.json: `error` (empty if the module imports) and
`refused` (forbidden operations that the import attempted, even if it swallowed the refusal).

Usage: python -P import_guard.py SCRATCH --each SECONDS LIBRARIES MODULES, both lists separated by commas. Imports the
libraries, then each module in a forked process. Writes SCRATCH/passed.json, the modules that import without a forbidden
operation. Fails if a library does; the first form then tells which module is affected.

An audit hook (PEP 578) refuses what Python code attempts. Where the kernel permits (root, or user namespaces), compiled
code is confined too: the interpreter enters a network namespace without interfaces and a mount namespace in which only
the scratch folder is writable. This program imports only the standard library: what is already loaded is not tested.
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
"""mount_setattr(2), with its number on x86-64 and arm64."""

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
# The hook does not see what another program does.
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
"""Exit code of a forked process whose module imports; a module is unlikely to exit with it."""

HARMLESS_FILES = ("/dev/null", "/dev/tty")


class RefusedError(PermissionError):
    """The import attempted a forbidden operation."""


class Guard:
    """The audit hook."""

    def __init__(self, scratch: str) -> None:
        """Permit only writes below `scratch`."""
        self.scratch = os.path.realpath(scratch)
        self.refused: list[str] = []
        self.active = True

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Handle one audit event.

        Raises:
            RefusedError: The event is forbidden on import.
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
            return True  # an open descriptor
        name = os.fsdecode(path)
        if name in HARMLESS_FILES:
            return True
        if folder >= 0 and not os.path.isabs(name):
            name = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)
        # Of a link, the link itself is changed, not its target.
        parent, last = os.path.split(os.path.abspath(name))
        place = os.path.join(os.path.realpath(parent), last)
        return place == self.scratch or place.startswith(self.scratch + os.sep)

    def _refuse(self, what: str) -> None:
        self.refused.append(what)
        raise RefusedError(f"forbidden on import: {what}")


def _probes_loopback(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether it binds a free loopback port, as urllib3 does to detect IPv6."""
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
    """The paths that a call would change, each with the descriptor of its base folder (-1: none)."""
    if event == "os.rename":
        return [(arguments[0], arguments[2]), (arguments[1], arguments[3])]
    if event == "os.link":
        return [(arguments[1], arguments[3])]
    if event == "os.symlink":
        return [(arguments[1], arguments[2])]
    has_folder = event in ("os.chmod", "os.chown", "os.mkdir", "os.remove", "os.rmdir")
    return [(arguments[0], arguments[-1] if has_folder else -1)]


class _MountAttributes(ctypes.Structure):
    """`struct mount_attr`."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def isolate(scratch: str) -> bool:
    """Enter namespaces without a network, in which only `scratch` is writable.

    Returns:
        Whether the kernel permitted all of it.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        kinds = CLONE_NEWNET | CLONE_NEWNS
        if libc.unshare(kinds) != 0 and libc.unshare(CLONE_NEWUSER | kinds) != 0:
            return False
        mount = libc.mount
        mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
        place = os.fsencode(scratch)
        # The mounts must not propagate to the parent namespace.
        if mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0 or mount(place, place, None, MS_BIND, None) != 0:
            return False
        closed = _set_mount(libc, b"/", AT_RECURSIVE, _MountAttributes(MOUNT_ATTR_RDONLY, 0, 0, 0))
        return closed and _set_mount(libc, place, 0, _MountAttributes(0, MOUNT_ATTR_RDONLY, 0, 0))
    except (OSError, AttributeError):
        return False  # libc lacks one of these functions


def _set_mount(libc: Any, path: bytes, flags: int, attributes: _MountAttributes) -> bool:
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    return bool(libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, path, flags, ctypes.byref(attributes), size) == 0)


def attempt(guard: Guard, module: str) -> str:
    """Import `module` under the guard; returns the error, empty on success."""
    guard.active = True
    try:
        importlib.import_module(module)
    except BaseException as caught:  # an import may raise anything, including SystemExit and KeyboardInterrupt
        return f"{type(caught).__name__}: {' '.join(str(caught).split())}"[:300]
    finally:
        guard.active = False
    return ""


def passes(guard: Guard, module: str, seconds: int) -> bool:
    """Whether a module imports in a forked process within the time limit."""
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        os._exit(1 if attempt(guard, module) or guard.refused else PASSED)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == PASSED


def main(scratch: str, arguments: Sequence[str]) -> int:
    """Isolate this process, import, and write the outcome; returns the exit code."""
    isolate(scratch)
    # The current folder was opened before it became a mount.
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
    # Skip the module's exit handlers, which are not part of the import.
    os._exit(code)
