"""Finding and ending processes through ``/proc`` (proc(5))."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """One live process: ids as seen from here. Zombies are not live."""

    pid: int
    parent: int
    session: int


def living() -> list[Process]:
    """Every process that ``/proc`` shows, without zombies."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                text = file.read()
        except OSError:
            continue  # it ended between the listing and here
        # The command name, in brackets, may hold anything: count from the last bracket.
        state, parent, _group, session = text[text.rindex(b")") + 2 :].split()[:4]
        if state not in (b"Z", b"X"):
            found.append(Process(int(name), int(parent), int(session)))
    return found


def lives(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
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
    """Signal each process that is still there and that we may signal."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def end_session(session: int) -> None:
    """Kill every process of a session, its leader included; what made a session of its own stays."""
    for _ in range(5):  # one that forks while it is looked at is found in the next round
        found = [process.pid for process in living() if process.session == session]
        if not found:
            return
        send(found, signal.SIGKILL)


def reap_all() -> bool:
    """Collect our dead children.

    Returns:
        Whether a child, alive or not yet collected, is left.
    """
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def end_tree(limit: float = 5.0) -> None:
    """Kill all our descendants and collect them. We must be the reaper of orphans (PR_SET_CHILD_SUBREAPER).

    It repeats: when a parent is gone its children become ours, so a tree that forks while it is being felled still
    ends.

    Args:
        limit: Seconds after which a process that may not be killed (a setuid program's) is left alone.
    """
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        send(descendants(os.getpid()), signal.SIGKILL)
        if not reap_all():
            return
        time.sleep(0.005)
