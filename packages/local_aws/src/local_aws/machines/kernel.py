"""Linux calls that Python 3.11 lacks, through ``ctypes``; an ``OSError`` names the failed call.

Sources: mount(2), unshare(2), pivot_root(2), prctl(2), user_namespaces(7), proc(5) of the Linux man-pages.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from dataclasses import dataclass

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x1, 0x2, 0x4, 0x8
MS_REMOUNT, MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_REC, MS_PRIVATE = 0x20, 0x400, 0x800, 0x1000, 0x4000, 0x40000
MS_RELATIME = 0x200000
MNT_DETACH = 2

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWUSER, CLONE_NEWPID = 0x20000, 0x4000000, 0x10000000, 0x20000000

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER = 1, 24, 36

# glibc has no wrapper for pivot_root; these are its numbers in the kernel's tables.
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "loongarch64": 41, "ppc64le": 203, "s390x": 217}

# Mount options in /proc/self/mountinfo that may be locked; a remount must repeat them (mount_namespaces(7)).
_OPTIONS = {
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "noatime": MS_NOATIME,
    "nodiratime": MS_NODIRATIME,
    "relatime": MS_RELATIME,
}

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Mount:
    """A line of ``/proc/self/mountinfo``: mount point, file system type, and per-mount flags (``MS_*``)."""

    point: str
    fstype: str
    flags: int


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """Attach a file system (mount in section 2 of the manual)."""
    encode = os.fsencode
    result = _libc.mount(
        encode(source), encode(target), encode(fstype) or None, ctypes.c_ulong(flags), encode(data) or None
    )
    _check(result, f"mount {fstype or source} on {target}")


def unmount(target: str) -> None:
    """Detach ``target`` and everything below it (umount2(2) with MNT_DETACH)."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"unmount {target}")


def unshare(flags: int) -> None:
    """Enter new namespaces, given by ``CLONE_*`` flags."""
    _check(_libc.unshare(flags), "unshare")


def pivot_root(new_root: str, put_old: str) -> None:
    """Change the root of the mount namespace.

    A chroot does not suffice: root can leave it, and it forbids new user namespaces.
    """
    number = _PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(f"pivot_root: unknown system call number on {platform.machine()}")
    _check(_libc.syscall(number, os.fsencode(new_root), os.fsencode(put_old)), f"pivot_root to {new_root}")


def die_with_parent(signal_number: int) -> None:
    """Get a signal when the *thread* that created this process ends (PR_SET_PDEATHSIG)."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl PR_SET_PDEATHSIG")


def adopt_orphans() -> None:
    """Become the parent of every orphaned descendant (PR_SET_CHILD_SUBREAPER)."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl PR_SET_CHILD_SUBREAPER")


def forbid_capability(number: int) -> None:
    """Remove a capability from every program started from now on (PR_CAPBSET_DROP)."""
    _check(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), "prctl PR_CAPBSET_DROP")


def map_single_user(inside: int, uid: int, gid: int) -> None:
    """Map the single user and group of this process (``uid``, ``gid`` in the parent namespace) to id ``inside``."""
    for name, text in (
        ("setgroups", "deny"),  # required before an unprivileged gid_map
        ("uid_map", f"{inside} {uid} 1"),
        ("gid_map", f"{inside} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def mounts(text: str | None = None) -> list[Mount]:
    """The mounts of this process or of a mountinfo ``text``; of several on one point the last is visible."""
    if text is None:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    found = []
    for line in text.splitlines():
        fields = line.split(" ")
        flags = 0
        for option in fields[5].split(","):
            flags |= _OPTIONS.get(option, 0)
        found.append(Mount(_unescape(fields[4]), fields[fields.index("-") + 1], flags))
    return found


def make_read_only(target: str) -> None:
    """Remount ``target`` and every mount below it read-only, in this namespace."""
    for each in mounts():
        if each.point == target or each.point.startswith(target.rstrip("/") + "/"):
            remount_read_only(each)


def remount_read_only(each: Mount) -> None:
    """Remount one mount read-only, keeping its other flags."""
    if each.flags & MS_RDONLY:
        return
    try:
        mount("", each.point, "", MS_REMOUNT | MS_BIND | MS_RDONLY | each.flags)
    except OSError as error:
        # Covered by a later mount: the path does not exist or is not a mount point.
        if error.errno not in (errno.ENOENT, errno.EINVAL, errno.ENOTDIR):
            raise


def _unescape(text: str) -> str:
    """Undo the octal escapes of mountinfo (blank, tab, newline, backslash)."""
    for code in ("040", "011", "012", "134"):
        text = text.replace(f"\\{code}", chr(int(code, 8)))
    return text
