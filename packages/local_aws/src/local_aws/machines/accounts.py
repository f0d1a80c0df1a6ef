"""The users of a machine, their environment, and starting a process as one of them.

How each level of isolation separates them:

- ``overlay``: real user ids; ``ssm-user`` may write what any unprivileged user may.
- ``user-namespace``: the kernel knows one user. A session of ``ssm-user`` gets its own user and mount namespace in
  which its id is not 0, it has no capabilities, and everything but its home and the temporary folders is read-only, so
  that a missing ``become`` fails. It may still signal root's processes. Only these two users exist.
- ``process-group``: one user, no separation. ``sudo`` and ``shutdown`` trust the user name of the session, which
  prevents mistakes only.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import socket
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_aws.machines import kernel
from local_aws.machines.image import Image
from local_aws.machines.spec import SESSION_USER, Boot, Isolation

USER_MARK = "LOCAL_AWS_MACHINE_USER"
# Without a namespace, the host's own shutdown must reach neither logind over D-Bus nor systemd over its private socket
# (systemctl(1): SYSTEMCTL_FORCE_BUS).
_NO_HOST_BUS = {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent", "SYSTEMCTL_FORCE_BUS": "1"}
_WRITABLE_IN_SESSION = ("/dev", "/proc", "/tmp", "/var/tmp")


class UnknownUser(LookupError):
    """The user does not exist in this machine; the text is one line."""


@dataclass(frozen=True)
class Account:
    """A user for the kernel and the shell; ``switch`` is whether to change ids when starting as it."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    switch: bool


class Accounts:
    """The users of one machine."""

    def __init__(self, boot: Boot, image: Image) -> None:
        self._boot = boot
        self._image = image

    def find(self, name: str) -> Account:
        """Find a user by name, or by ``#uid`` as in sudo(8); UnknownUser if this machine cannot become it."""
        image = self._image
        if self._boot.isolation == Isolation.OVERLAY:
            try:
                entry = pwd.getpwuid(int(name[1:])) if name[:1] == "#" else pwd.getpwnam(name)
            except (KeyError, ValueError, OverflowError):
                raise UnknownUser(f"unknown user {name}") from None
            switch = entry.pw_uid != 0
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, entry.pw_shell or "/bin/sh", switch)
        if name in ("root", "#0"):
            return Account("root", 0, 0, image.root_home, "/bin/sh", False)
        if name in (SESSION_USER, f"#{image.session_uid}"):
            uid = image.session_uid
            switch = self._boot.isolation == Isolation.USER_NAMESPACE
            return Account(SESSION_USER, uid, uid, image.session_home, "/bin/sh", switch)
        level = self._boot.isolation
        raise UnknownUser(f"user: expected root or {SESSION_USER} (isolation {level}), got {name}")

    def environment(self, account: Account) -> dict[str, str]:
        """The environment of a new session of ``account``."""
        values = {
            "PATH": self._image.path,
            "HOME": account.home,
            "USER": account.name,
            "LOGNAME": account.name,
            "SHELL": account.shell,
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
        }
        if not self._boot.namespaced:
            values |= _NO_HOST_BUS | {USER_MARK: account.name, "TMPDIR": self._image.temporary}
        return values | self._boot.environment

    def peer(self, connection: socket.socket) -> str | None:
        """Name of the user at the other end of a unix socket; None if it may not use the init."""
        pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if self._boot.isolation == Isolation.OVERLAY:
            return {0: "root", self._image.session_uid: SESSION_USER}.get(uid)
        if uid != os.getuid():
            return None
        try:
            if self._boot.isolation == Isolation.USER_NAMESPACE:
                same = os.readlink(f"/proc/{pid}/ns/user") == os.readlink("/proc/self/ns/user")
                return "root" if same else SESSION_USER
            with open(f"/proc/{pid}/environ", "rb") as file:
                return "root" if f"{USER_MARK}=root".encode() in file.read().split(b"\0") else SESSION_USER
        except OSError:
            return SESSION_USER  # gone or unreadable: the less privileged user

    def start(
        self,
        account: Account,
        argv: Sequence[str],
        environment: Mapping[str, str],
        cwd: str,
        descriptors: Sequence[int],
        *,
        executable: str | None = None,
        tty: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start a command as ``account``, leader of a new session, on three ``descriptors``.

        ``executable`` is the program if it differs from ``argv[0]`` (a login shell's ``-sh``); ``tty`` makes standard
        input the session's controlling terminal.

        Raises:
            OSError: The command cannot be started.
        """
        ids: dict[str, Any] = {}
        overlay = self._boot.isolation == Isolation.OVERLAY
        if overlay and account.switch:
            groups = os.getgrouplist(account.name, account.gid)
            ids = {"user": account.uid, "group": account.gid, "extra_groups": groups}
        if overlay and tty:
            os.fchown(descriptors[0], account.uid, -1)
        enter = account.switch and not overlay

        def prepare() -> None:
            if tty:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            if enter:
                _enter_session(account.uid, account.home)

        try:
            return subprocess.Popen(
                list(argv),
                executable=executable,
                stdin=descriptors[0],
                stdout=descriptors[1],
                stderr=descriptors[2],
                env=dict(environment),
                cwd=cwd,
                umask=0o022,
                start_new_session=True,
                # Running Python between fork and exec is safe: this process has one thread.
                preexec_fn=prepare if tty or enter else None,
                **ids,
            )
        except subprocess.SubprocessError as error:  # raised by preexec_fn; its text is lost
            raise OSError(f"cannot set up a session of {account.name}: {error}") from error


def _enter_session(uid: int, home: str) -> None:
    """Become user ``uid`` in new namespaces with few writable folders (see the module's docstring)."""
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
    kernel.map_single_user(uid, 0, 0)
    kernel.mount(home, home, flags=kernel.MS_BIND)
    writable = (*_WRITABLE_IN_SESSION, home)
    for each in kernel.mounts():
        if not any(each.point == place or each.point.startswith(f"{place}/") for place in writable):
            kernel.remount_read_only(each)
    os.chdir(os.getcwd())  # the current folder belongs to the old mount
