"""The watchdog terminates only SSM sessions whose worker is blocked."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

LIMIT = 1.0
SLEEPING = [sys.executable, "-c", "import time; time.sleep(600)"]
SESSION = [*SLEEPING, '{"SessionId": "s"}', "us-east-1", "StartSession", "", "{}", ""]
OTHER = [*SLEEPING, "StartSessions"]
#: Actions of a worker while its child runs; the child has the writing end of the pipe.
READS_A_LINE = "os.read(reader, 1)"
LOOKS_FOR_OUTPUT = "\nwhile True: select.select([reader], [], [], 0.05)"
WORKER = """
import os, select, subprocess
reader, writer = os.pipe()
print(subprocess.Popen({child}, stdout=writer).pid, flush=True)
os.close(writer)
{then}
"""


@pytest.fixture(scope="module")
def watchdog() -> ModuleType:
    module = importlib.import_module("ansible_collections.spot_train.core.plugins.module_utils.runs.watchdog")
    return module


@pytest.fixture
def worker() -> Iterator[Callable[[list[str], str], tuple[subprocess.Popen[bytes], int]]]:
    """Starts workers with a child, and stops them at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(child: list[str], then: str) -> tuple[subprocess.Popen[bytes], int]:
        code = WORKER.format(child=child, then=then)
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
        started.append(process)
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def watch(sessions: Any, workers: list[int], seconds: float, expected: int = 0) -> set[int]:
    """Every session that was found to hang within `seconds`, or until there are as many as expected."""
    found: set[int] = set()
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < seconds or (len(found) < expected and passed < 60):
        found.update(sessions.find(workers))
        time.sleep(0.1)
    return found


def test_session_blocked_in_mid_line_is_found(watchdog: ModuleType, worker: Any) -> None:
    process, session = worker(SESSION, READS_A_LINE)
    other, _ = worker(SESSION, LOOKS_FOR_OUTPUT)
    local, _ = worker(OTHER, READS_A_LINE)

    found = watch(
        watchdog.HungSessions(LIMIT), [process.pid, other.pid, local.pid], 2 * watchdog.HUNG_LOOK_SECONDS + 1, 1
    )

    assert found == {session}
    os.kill(session, signal.SIGTERM)
    assert process.wait(10) == 0
    assert other.poll() is None


def test_stopped_worker_is_ignored(watchdog: ModuleType, worker: Any) -> None:
    process, _ = worker(SESSION, READS_A_LINE)
    process.send_signal(signal.SIGSTOP)

    assert watch(watchdog.HungSessions(LIMIT), [process.pid], 2 * watchdog.HUNG_LOOK_SECONDS + 1) == set()


def test_ended_worker_is_ignored(watchdog: ModuleType) -> None:
    process = subprocess.Popen(["true"])
    process.wait()

    assert watchdog.HungSessions(LIMIT).find([process.pid]) == []
    assert watchdog.switches_of(process.pid) is None
