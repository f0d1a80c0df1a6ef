"""Fails a unit test that starts a process or opens a port."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

#: Audit events (https://docs.python.org/3/library/audit_events.html) of what belongs in tests/integration.
FORBIDDEN = {
    "subprocess.Popen",
    "os.system",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
    "socket.bind",
    "socket.connect",
}

_running: list[str] = []


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if _running and event in FORBIDDEN:
        raise RuntimeError(f"{_running[0]}: {event}{arguments!r} in a unit test: move it to tests/integration")


sys.addaudithook(_refuse)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Watch a unit test and its fixtures; pytest calls this for the tests of other folders too."""
    if item.path.is_relative_to(Path(__file__).parent):
        _running.append(item.nodeid)
    try:
        return (yield)
    finally:
        _running.clear()
