"""Finds and kills processes through ``/proc`` (proc(5))."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """A live process, not a zombie; ids in this process-id namespace."""

    pid: int
    parent: int
    session: int


def living() -> list[Process]:
    """Every process in ``/proc``, without zombies."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                text = file.read()
        except OSError:
            continue  # it has ended meanwhile
        # The command name, in brackets, may contain anything: parse after the last bracket.
        state, parent, _group, session = text[text.rindex(b")") + 2 :].split()[:4]
        if state not in (b"Z", b"X"):
            found.append(Process(int(name), int(parent), int(session)))
    return found


def lives(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    return any(process.pid == pid for process in living())


def descendants(root: int) -> list[int]:
    """Ids of all live descendants of ``root``, without itself."""
    children: dict[int, list[int]] = {}
    for process in living():
        children.setdefault(process.parent, []).append(process.pid)
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def send(pids: Iterable[int], number: int) -> None:
    """Signal each process that exists and that we may signal."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def end_session(session: int) -> None:
    """Kill every process of a session; those in sessions of their own survive."""
    for _ in range(5):  # the next round finds what was forked meanwhile
        found = [process.pid for process in living() if process.session == session]
        if not found:
            return
        send(found, signal.SIGKILL)


def reap_all() -> bool:
    """Reap dead children; return whether any child is left."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def end_tree(limit: float = 5.0) -> None:
    """Kill and reap all descendants; this process must be the reaper of orphans (PR_SET_CHILD_SUBREAPER).

    It repeats, as the children of a killed parent become ours: a tree that forks meanwhile still ends. After ``limit``
    seconds it gives up on processes that cannot be killed (setuid programs).
    """
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        send(descendants(os.getpid()), signal.SIGKILL)
        if not reap_all():
            return
        time.sleep(0.005)
