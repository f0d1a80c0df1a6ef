"""The file system of a machine, built by its init in a mount namespace.

The order matters, and is the same for both levels with a namespace:

1. a new root: an overlay on the host's ``/`` (``overlay``), or the host's ``/`` itself (``user-namespace``);
2. a new ``/run``, the pivot, and the host's old root at ``/run/host`` until the end. From here on every *target* is a
   path of the machine, so no link can lead out; every *source* was resolved before;
3. ``/proc``, private folders, ``/dev``, ``/sys``, then visible, shared and hidden paths;
4. the host's old root is unmounted.

A user namespace gets no overlay: with one mapped user id, folders of the host's root (``/opt``, ``/etc``) belong to an
unmapped user, so an overlay on them is not writable. Private folders mounted over them are.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

from local_aws.machines import kernel
from local_aws.machines.spec import RUNTIME, Boot, Isolation

HOST = "/run/host"

# Private folders of every machine, with their modes. The host's home folders (with its keys!) are not in an image.
_PRIVATE = {"/root": 0o700, "/home": 0o755, "/tmp": 0o1777, "/var/tmp": 0o1777}
# More private folders without an overlay.
_PRIVATE_WITHOUT_OVERLAY = {"/opt": 0o755, "/srv": 0o755, "/mnt": 0o755, "/media": 0o755} | {
    f"/var/{name}": 0o755 for name in ("cache", "log", "spool")
}
# Private folders in which the host's entries stay visible, read-only: they have tools.
_KEEP_ENTRIES = ("/opt", "/srv")
# Rebuilt below, or useless in a machine.
_NOT_CARRIED = ("/proc", "/sys", "/dev", "/run", "/var/run", *_PRIVATE)
# File systems that an overlay supports. Others (network, automount, pseudo) are omitted: touching one may hang.
_CARRIED_TYPES = {"bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "iso9660", "jfs", "overlay"} | {
    *("reiserfs", "squashfs", "tmpfs", "vfat", "virtiofs", "9p", "xfs", "zfs")
}
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
# Host-wide switches of the shared kernel, which root in a machine must not change.
_PROC_READ_ONLY = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")


def build(boot: Boot) -> None:
    """Enter new mount and UTS namespaces and switch to the machine's root.

    Raises:
        OSError: The kernel refuses a step, which the text names. Nothing is left outside the namespaces.
    """
    resolver = b""
    with contextlib.suppress(OSError):
        resolver = Path("/etc/resolv.conf").read_bytes()  # often a link into /run, which is private to the machine
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS)
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    host_mounts = kernel.mounts()
    folder = Path(boot.folder)
    new_root = folder / "rootfs"
    new_root.mkdir(mode=0o755, exist_ok=True)
    overlay = boot.isolation == Isolation.OVERLAY
    if overlay:
        _overlay_root(folder, new_root)
        _carry_mounts(host_mounts, folder, new_root)
    else:
        kernel.mount("/", str(new_root), flags=kernel.MS_BIND | kernel.MS_REC)
    _pivot(new_root)
    # Before the host's /proc is unmounted: a user namespace may mount one only while another is visible.
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    for path in _PROC_READ_ONLY:
        if os.path.exists(path):
            _bind(path, path, read_only=True)

    if not overlay:
        _lock()
    disk = f"{HOST}{folder}/disk"
    private = dict(_PRIVATE) if overlay else _PRIVATE | _PRIVATE_WITHOUT_OVERLAY
    for place, mode in private.items():
        _private(place, mode, disk)
    _devices(overlay)
    kernel.mount(f"{HOST}/sys", "/sys", flags=kernel.MS_BIND | kernel.MS_REC)
    kernel.make_read_only("/sys")
    if not overlay:
        _private_etc(disk)
    for path, source in boot.visible.items():
        _keep_visible(path, HOST + source)
    for path in boot.hidden:
        if os.path.isdir(path):
            kernel.mount("tmpfs", path, "tmpfs", kernel.MS_RDONLY, "size=4k,mode=555")
    for source, target in boot.shared.items():
        os.makedirs(target, exist_ok=True)
        _bind(HOST + source, target)
    with contextlib.suppress(FileNotFoundError):
        os.unlink("/etc/resolv.conf")
    Path("/etc/resolv.conf").write_bytes(resolver)
    shutil.copytree(f"{HOST}{folder}/lib", f"{RUNTIME}/lib")
    kernel.unmount(HOST)
    os.rmdir(HOST)


def _overlay_root(folder: Path, new_root: Path) -> None:
    """Mount an overlay on the host's root file system, with its upper side in ``folder/disk``.

    If the file system of ``folder`` cannot be an upper side (an overlay, NFS), a tmpfs replaces it.
    """
    disk = folder / "disk"
    disk.mkdir(exist_ok=True)
    try:
        _overlay("/", disk, "rootfs", new_root)
    except OSError:
        # By default at most half of the host's memory (tmpfs(5)).
        kernel.mount("tmpfs", str(disk), "tmpfs", 0, "mode=755")
        _overlay("/", disk, "rootfs", new_root)


def _overlay(lower: str, disk: Path, name: str, target: Path) -> None:
    # The upper folder sets mode and owner of the overlay's root.
    for side in ("upper", "work"):
        (disk / side / name).mkdir(parents=True, exist_ok=True)
    model = os.stat(lower)
    os.chmod(disk / "upper" / name, stat.S_IMODE(model.st_mode))
    os.chown(disk / "upper" / name, model.st_uid, model.st_gid)
    # Relative names: blanks, commas and colons of a path would end an overlay option.
    back = os.getcwd()
    os.chdir(disk)
    os.symlink(lower, "lower")
    try:
        kernel.mount("overlay", str(target), "overlay", 0, f"lowerdir=lower,upperdir=upper/{name},workdir=work/{name}")
    finally:
        os.unlink("lower")
        os.chdir(back)


def _carry_mounts(host_mounts: list[kernel.Mount], folder: Path, new_root: Path) -> None:
    """Mount other file systems of the host (a separate ``/usr``, Docker's ``/etc/hosts``) in the machine.

    An overlay shows one file system: the host's mounts below it would be empty folders.
    """
    seen = {each.point: each for each in host_mounts}  # the last mount on a point is visible
    for point, each in seen.items():
        below_excluded = any(point == place or point.startswith(f"{place}/") for place in _NOT_CARRIED)
        if point == "/" or below_excluded or each.fstype not in _CARRIED_TYPES:
            continue
        target = Path(f"{new_root}{point}")
        try:
            if not os.path.isdir(point):
                target.write_bytes(Path(point).read_bytes())
            elif each.flags & kernel.MS_RDONLY:
                _bind(point, str(target), read_only=True)
            else:
                # Unambiguous names, the same at the next boot.
                _overlay(point, folder / "disk", point.replace("%", "%25").replace("/", "%2F"), target)
        except OSError:
            # Fall back to read-only, else omit this file system.
            with contextlib.suppress(OSError):
                _bind(point, str(target), read_only=True)


def _pivot(new_root: Path) -> None:
    run = new_root / "run"
    if not run.is_dir() or run.is_symlink():
        raise OSError(f"{run}: expected a folder; this isolation needs /run on the host")
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", str(run), "tmpfs", flags, "mode=755")
    (run / "host").mkdir()
    kernel.pivot_root(str(new_root), str(run / "host"))
    os.chdir("/")
    for name, mode in {"/run/lock": 0o1777, "/run/user": 0o755, RUNTIME: 0o755}.items():
        os.mkdir(name)
        os.chmod(name, mode)


def _lock() -> None:
    """Make all of the host's files read-only: some (all, if root) belong to the one mapped user."""
    for each in kernel.mounts():
        if not each.point.startswith(("/run/", "/proc/")) and each.point not in ("/run", "/proc"):
            kernel.remount_read_only(each)


def _private(place: str, mode: int, disk: str) -> None:
    """Mount a private folder over ``place``, if the host has it."""
    if not os.path.isdir(place) or os.path.islink(place):
        return
    source = f"{disk}/places{place}"
    os.makedirs(source, exist_ok=True)
    os.chmod(source, mode)
    kernel.mount(source, place, flags=kernel.MS_BIND)
    if place not in _KEEP_ENTRIES:
        return
    for entry in os.scandir(HOST + place):
        target = f"{place}/{entry.name}"
        if entry.is_symlink():
            if not os.path.lexists(target):
                os.symlink(os.readlink(entry.path), target)
        elif entry.is_dir() and _is_free(target):
            os.makedirs(target, exist_ok=True)
            _bind(entry.path, target, read_only=True)


def _devices(overlay: bool) -> None:
    kernel.mount("tmpfs", "/dev", "tmpfs", kernel.MS_NOSUID, "mode=755")
    for name in _DEVICES:
        Path("/dev", name).touch()
        kernel.mount(f"{HOST}/dev/{name}", f"/dev/{name}", flags=kernel.MS_BIND)
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"/dev/{name}")
    os.mkdir("/dev/pts")
    # Group 5 is tty on every Linux; a user namespace does not map it.
    options = "newinstance,ptmxmode=0666,mode=0620" + (",gid=5" if overlay else "")
    kernel.mount("devpts", "/dev/pts", "devpts", kernel.MS_NOSUID | kernel.MS_NOEXEC, options)
    os.mkdir("/dev/shm")
    kernel.mount("tmpfs", "/dev/shm", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777")


def _private_etc(disk: str) -> None:
    copy = f"{disk}/places/etc"
    if not os.path.isdir(copy):
        _copy_readable(f"{HOST}/etc", copy)
    os.chmod(copy, 0o755)
    kernel.mount(copy, "/etc", flags=kernel.MS_BIND)


def _copy_readable(source: str, target: str) -> None:
    os.makedirs(target, exist_ok=True)
    for entry in os.scandir(source):
        # Without files that an ordinary user may not read (shadow, private keys).
        with contextlib.suppress(PermissionError):
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), f"{target}/{entry.name}")
            elif entry.is_dir():
                _copy_readable(entry.path, f"{target}/{entry.name}")
            elif entry.is_file():
                shutil.copyfile(entry.path, f"{target}/{entry.name}")
                shutil.copymode(entry.path, f"{target}/{entry.name}")


def _keep_visible(path: str, source: str) -> None:
    """Bind a host path read-only if the machine hides it, and make it accessible to every user."""
    if not _is_free(path) or not os.path.exists(source):
        return
    missing: list[str] = []
    parent = os.path.dirname(path)
    while not os.path.isdir(parent):
        missing.append(parent)
        parent = os.path.dirname(parent)
    if path.startswith("/root/"):
        os.chmod("/root", 0o711)
    for each in reversed(missing):
        os.mkdir(each)
        os.chmod(each, 0o755)
    if os.path.isdir(source):
        os.makedirs(path, exist_ok=True)
    else:
        Path(path).touch()
    _bind(source, path, read_only=True)


def _is_free(path: str) -> bool:
    """Whether ``path`` is missing, or only a mount point that an earlier boot left."""
    if os.path.isdir(path):
        return not os.listdir(path)
    return not os.path.lexists(path) or (os.path.isfile(path) and os.path.getsize(path) == 0)


def _bind(source: str, target: str, *, read_only: bool = False) -> None:
    kernel.mount(source, target, flags=kernel.MS_BIND | kernel.MS_REC)
    if read_only:
        kernel.make_read_only(target)
