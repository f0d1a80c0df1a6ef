"""The files of a machine's image that differ from the host's: users, names, environment, and the shims.

The shims replace ``sudo``, ``shutdown`` and similar commands by a few lines of Python that call the init. They never
fall back to a program of the host.
"""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

from local_aws.machines import kernel
from local_aws.machines.spec import RUNTIME, SESSION_HOME, SESSION_USER, Boot, Isolation

SHIMS = ("sudo", "shutdown", "poweroff", "halt", "reboot", "telinit", "init", "systemctl")
_BIN_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_FIRST_UID = 1001
_SHIM = """{first}
import sys
sys.path.insert(0, {lib!r})
from local_aws.machines.client import main
sys.exit(main(sys.argv, {folder!r}))
"""


@dataclass(frozen=True)
class Image:
    """Paths and ids in a prepared machine.

    Attributes:
        socket_folder: Folder of the init's socket ``init.sock``.
        path: The PATH of every session.
        session_uid: User id of ``ssm-user`` (with a single id that of the host's user).
        root_home, session_home, temporary: Folders; ``temporary`` is empty if the machine has its own ``/tmp``.
    """

    socket_folder: str
    path: str
    session_uid: int
    root_home: str
    session_home: str
    temporary: str


def with_user(passwd: str, name: str, home: str) -> tuple[str, int]:
    """Add a user, unless it exists, to the text of ``/etc/passwd``, with the next free id from 1001; return both."""
    entries = [line.split(":") for line in passwd.splitlines() if line.count(":") == 6]
    for entry in entries:
        if entry[0] == name:
            return passwd, int(entry[2])
    taken = {int(number) for entry in entries for number in entry[2:4] if number.isdigit()}
    uid = next(number for number in range(_FIRST_UID, _FIRST_UID + len(taken) + 1) if number not in taken)
    ending = "" if passwd.endswith("\n") or not passwd else "\n"
    return f"{passwd}{ending}{name}:x:{uid}:{uid}:SSM session user:{home}:/bin/sh\n", uid


def prepare(boot: Boot) -> Image:
    """Write the machine's files, or raise OSError; with a namespace, its root is this process's root."""
    if not boot.namespaced:
        return _prepare_folder(boot)
    uid = _users()
    _texts(boot)
    home = Path(SESSION_HOME)
    home.mkdir(exist_ok=True)
    home.chmod(0o700)
    overlay = boot.isolation == Isolation.OVERLAY
    if overlay:
        os.chown(home, uid, uid)
    shims = Path(RUNTIME, "bin")
    _write_shims(shims, boot.python, f"{RUNTIME}/lib", RUNTIME)
    if overlay and not os.path.exists("/usr/bin/python3"):
        _link(Path("/usr/bin/python3"), boot.python)
    for folder in _BIN_FOLDERS:
        for name in SHIMS:
            usual = "/usr/bin" if name in ("sudo", "systemctl") else "/usr/sbin"
            _stand_in(shims / name, Path(folder, name), overlay=overlay, new=folder == usual)
    first = "" if overlay else f"{shims}:"
    return Image(RUNTIME, first + ":".join(_BIN_FOLDERS), uid, "/root", SESSION_HOME, "")


def _prepare_folder(boot: Boot) -> Image:
    """Prepare a machine without a namespace: a folder with homes, temporary files and shims."""
    folder = Path(boot.folder)
    places = {name: folder / "disk" / name for name in ("root", "ssm-user", "tmp", "runtime")}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    shims = folder / "disk" / "bin"
    _write_shims(shims, boot.python, f"{folder}/lib", str(places["runtime"]))
    path = ":".join((str(shims), *_BIN_FOLDERS))
    homes = str(places["root"]), str(places["ssm-user"])
    return Image(str(places["runtime"]), path, os.getuid(), *homes, str(places["tmp"]))


def _users() -> int:
    passwd, uid = with_user(Path("/etc/passwd").read_text(), SESSION_USER, SESSION_HOME)
    _rewrite("/etc/passwd", passwd)
    group = Path("/etc/group").read_text()
    if f"\n{SESSION_USER}:" not in group:
        _rewrite("/etc/group", f"{group.rstrip()}\n{SESSION_USER}:x:{uid}:\n")
    # Missing in a user namespace, where the user cannot read the host's; there are no passwords.
    shadow = Path("/etc/shadow")
    if shadow.exists() and f"\n{SESSION_USER}:" not in shadow.read_text():
        _rewrite("/etc/shadow", f"{shadow.read_text().rstrip()}\n{SESSION_USER}:!:19000:0:99999:7:::\n")
    return uid


def _texts(boot: Boot) -> None:
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in sorted(boot.environment.items())]
    _rewrite("/etc/environment", "".join(lines))
    _rewrite("/etc/hostname", f"{boot.hostname}\n")
    hosts = Path("/etc/hosts")
    text = hosts.read_text() if hosts.exists() else "127.0.0.1 localhost\n"
    if boot.hostname not in text.split():
        _rewrite("/etc/hosts", f"{text.rstrip()}\n127.0.1.1 {boot.hostname}\n")


def _rewrite(path: str, text: str) -> None:
    if os.path.islink(path):
        os.unlink(path)
    if os.path.exists(path):
        os.chmod(path, os.stat(path).st_mode | stat.S_IWUSR)
    Path(path).write_text(text)


def _write_shims(folder: Path, python: str, lib: str, runtime: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    first = f"#!{python} -IS"
    if len(first) > 120 or any(each.isspace() for each in python):
        # Too long, or with blanks, for execve(2): this is a string in Python and a command in the shell.
        first = f"#!/bin/sh\n'''exec' {shlex.quote(python)} -IS \"$0\" \"$@\"\n' '''"
    for name in SHIMS:
        path = folder / name
        path.write_text(_SHIM.format(first=first, lib=lib, folder=runtime))
        path.chmod(0o755)
    if not os.path.exists("/usr/bin/python3"):
        _link(folder / "python3", python)


def _link(link: Path, target: str) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _stand_in(shim: Path, path: Path, *, overlay: bool, new: bool) -> None:
    """Replace the program at ``path`` by ``shim``; ``new`` is whether to create a missing file.

    Without ``overlay`` files cannot be replaced: a bind mount covers an existing one.
    """
    if path.parent.is_symlink():
        return  # as /sbin may be: the target is handled itself
    if overlay:
        if os.path.lexists(path) or new:
            _link(path, str(shim))
    elif path.exists() and os.path.basename(os.path.realpath(path)) in SHIMS:
        # The mount follows links: it covers the target (systemd's systemctl) under all its names. A multi-call binary
        # (busybox) stays: in a process-id namespace it can end only this machine.
        kernel.mount(str(shim), str(path), flags=kernel.MS_BIND)
