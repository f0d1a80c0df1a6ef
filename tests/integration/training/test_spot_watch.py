"""The watcher on the instance, against a metadata service that really answers, with commands that really run."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "files" / "instance" / "spot_watch.py"
SPOT, REBALANCE = "/latest/meta-data/spot/instance-action", "/latest/meta-data/events/recommendations/rebalance"
RECLAIM = "2026-11-24T15:00:00Z"
TAKEN_BACK = json.dumps({"action": "terminate", "time": RECLAIM})

# Signals that it runs, waits for a signal, then does what the test wants.
WAITS = """
import pathlib, signal, sys, time
{}
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""
ENDS_WITH = "signal.signal(signal.SIGTERM, lambda *_: sys.exit({}))"
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
# The watcher, which gets SIGTERM after the start of the command and before it knows its process.
TOLD_EARLY = f"""
import os, pathlib, runpy, signal, subprocess, sys, time

class Popen(subprocess.Popen):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        while not pathlib.Path(sys.argv[-1]).exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

subprocess.Popen = Popen
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""


@dataclass
class Watched:
    """A running watcher."""

    process: subprocess.Popen[str]
    notice: Path
    there: Path

    def end(self) -> tuple[int, str]:
        """Wait for its end; return exit code and standard error."""
        _, error = self.process.communicate(timeout=30)
        return self.process.returncode, error

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait for a condition; the watcher must not end before."""
        deadline = time.monotonic() + 30
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def read(self) -> dict[str, Any]:
        """The notice."""
        document: dict[str, Any] = json.loads(self.notice.read_text())
        return document


Watch = Callable[..., Watched]


@pytest.fixture
def watch(tmp_path: Path, service: Any) -> Iterator[Watch]:
    """Start the watcher with a Python program that touches `there`."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, grace: float = 20, endpoint: str = "", limit: float = 60, early: bool = False) -> Watched:
        notice, there = tmp_path / "results" / "interruption.json", tmp_path / "there"
        environment = {
            **os.environ,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint or service.endpoint,
            "http_proxy": "http://127.0.0.1:9",
        }
        options = ["--notice", str(notice), "--every", "0.05", "--grace", str(grace), "--limit", str(limit)]
        watcher = ["-c", TOLD_EARLY] if early else [str(SCRIPT)]
        command = [sys.executable, *watcher, *options, "--", sys.executable, "-c", program, str(there)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        started.append(process)
        return Watched(process, notice, there)

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_watcher_supports_the_instances_python() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 9))


@pytest.mark.parametrize(
    ("program", "code"), [("", 0), ("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)]
)
def test_exit_code_of_the_command_is_passed_on(program: str, code: int, watch: Watch) -> None:
    watched = watch(program)

    assert watched.end() == (code, "")
    assert not watched.notice.exists()


def test_options_of_the_command_are_passed_on(watch: Watch) -> None:
    watched = watch("import sys; assert sys.argv[1:] == [sys.argv[1]] and not sys.argv[1].startswith('--')")

    assert watched.end()[0] == 0


def test_missing_command_is_one_line(tmp_path: Path) -> None:
    options = ["--notice", str(tmp_path / "n"), "--every", "1", "--grace", "1"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options, "--", "no-such-program", "--dry-run"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 127
    assert done.stderr == "spot_watch: cannot start no-such-program: No such file or directory\n"


def test_notice_is_written_and_exit_code_is_75(watch: Watch, service: Any) -> None:
    watched = watch(WAITS.format(ENDS_WITH.format(75)))
    watched.wait_for(watched.there.exists)
    service.answers[SPOT] = (200, TAKEN_BACK)

    code, error = watched.end()

    assert code == 75
    assert error == f"spot_watch: EC2 reclaims this instance at {RECLAIM} (terminate): stopping the command\n"
    noticed = watched.read()
    assert (noticed["kind"], noticed["reclaim_at"]) == ("spot", RECLAIM)
    age = datetime.now(UTC) - datetime.strptime(noticed["noticed_at"], "%Y-%m-%dT%H:%M:%S%z")
    assert timedelta(0) <= age < timedelta(seconds=30)
    assert watched.notice.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in watched.notice.parent.iterdir()] == [watched.notice.name]


def test_command_is_killed_after_the_grace_period(watch: Watch, service: Any) -> None:
    watched = watch(WAITS.format(DEAF), grace=0.3)
    watched.wait_for(watched.there.exists)
    service.answers[SPOT] = (200, TAKEN_BACK)

    code, error = watched.end()

    assert code == 75
    assert error.splitlines()[-1] == "spot_watch: the command did not exit within 0.3 s of SIGTERM: killing it"


@pytest.mark.parametrize(("own", "code"), [(0, 0), (1, 75)])
def test_finished_command_passes_after_a_notice(own: int, code: int, watch: Watch, service: Any) -> None:
    watched = watch(WAITS.format(ENDS_WITH.format(own)))
    watched.wait_for(watched.there.exists)
    service.answers[SPOT] = (200, TAKEN_BACK)

    assert watched.end()[0] == code
    assert watched.read()["kind"] == "spot"


def test_command_is_stopped_at_its_limit(watch: Watch) -> None:
    watched = watch("import time; time.sleep(60)", limit=0.5)

    assert watched.end() == (124, "spot_watch: the command exceeded its limit of 0.5 s: stopping it\n")
    assert not watched.notice.exists()


def test_children_of_the_command_are_stopped(watch: Watch, service: Any, tmp_path: Path) -> None:
    child = "import signal; signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[2], 'w'), sys.exit()))"
    inner = f"import sys, time\n{child}\nopen(sys.argv[1], 'w')\ntime.sleep(60)"
    told = tmp_path / "told"
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {inner!r}, sys.argv[1], {str(told)!r}])"
    watched = watch(program)
    watched.wait_for(watched.there.exists)
    service.answers[SPOT] = (200, TAKEN_BACK)

    assert watched.end()[0] == 75
    deadline = time.monotonic() + 10
    while not told.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_rebalance_recommendation_is_written_once(watch: Watch, service: Any) -> None:
    service.answers[REBALANCE] = (200, json.dumps({"noticeTime": RECLAIM}))
    watched = watch(WAITS.format(ENDS_WITH.format(75)))
    watched.wait_for(watched.notice.exists)
    first = watched.read()
    assert (first["kind"], first["reclaim_at"]) == ("rebalance", None)
    looks = service.asked.count(SPOT)
    watched.wait_for(lambda: service.asked.count(SPOT) > looks + 5)
    assert service.asked.count(REBALANCE) == 1
    watched.wait_for(watched.there.exists)

    service.answers[SPOT] = (200, TAKEN_BACK)
    code, error = watched.end()

    assert code == 75
    assert error.count("recommends rebalancing") == 1
    assert watched.read()["kind"] == "spot"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_is_passed_on_without_a_notice(number: signal.Signals, watch: Watch) -> None:
    watched = watch(WAITS.format(f"signal.signal({int(number)}, lambda *_: sys.exit(75))"))
    watched.wait_for(watched.there.exists)

    watched.process.send_signal(number)

    assert watched.end()[0] == 75
    assert not watched.notice.exists()


def test_signal_during_the_start_is_passed_on(watch: Watch) -> None:
    watched = watch(WAITS.format(ENDS_WITH.format(75)), early=True)

    assert watched.end() == (75, "")


def test_killed_watcher_stops_the_command(watch: Watch) -> None:
    program = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(60)"
    watched = watch(program)
    watched.wait_for(lambda: watched.there.exists() and watched.there.read_text())
    command = int(watched.there.read_text())

    watched.process.kill()
    watched.process.wait()

    deadline = time.monotonic() + 10
    while _runs(command):
        assert time.monotonic() < deadline, "the command outlived its watcher"
        time.sleep(0.01)


def _runs(process: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_older_notice_is_ignored(watch: Watch, tmp_path: Path) -> None:
    notice = tmp_path / "results" / "interruption.json"
    notice.parent.mkdir()
    notice.write_text(json.dumps({"kind": "spot", "noticed_at": RECLAIM, "reclaim_at": RECLAIM}))

    assert watch("").end()[0] == 0
    assert not notice.exists()


def test_token_is_requested_once_and_renewed(watch: Watch, service: Any) -> None:
    watched = watch(WAITS.format(ENDS_WITH.format(75)))
    watched.wait_for(lambda: service.asked.count(SPOT) > 5 and watched.there.exists())
    assert service.asked.count("/latest/api/token") == 1

    service.tokens.clear()
    service.answers[SPOT] = (200, TAKEN_BACK)

    assert watched.end()[0] == 75
    assert service.asked.count("/latest/api/token") == 2


def _assert_goes_on(watched: Watched, says: str) -> None:
    """The command exits normally, and the broken service was reported once."""
    code, error = watched.end()
    assert code == 0
    assert error.count("\n") == 1
    assert error.startswith("spot_watch: cannot read interruption notices from the metadata service http://127")
    assert says in error


GOES_ON = "import time; time.sleep(0.5)"


@pytest.mark.parametrize(
    ("path", "answer", "says"),
    [
        ("/latest/api/token", (403, ""), "status 403 for a token"),
        (SPOT, (500, ""), "status 500 for spot/instance-action"),
        (SPOT, (200, "<html>"), "no JSON object at spot/instance-action"),
        (SPOT, (200, "[]"), "no JSON object at spot/instance-action"),
        (REBALANCE, (503, ""), "status 503 for events/recommendations/rebalance"),
    ],
)
def test_broken_metadata_service_does_not_stop_the_command(
    path: str, answer: tuple[int, str], says: str, watch: Watch, service: Any
) -> None:
    service.answers[path] = answer

    _assert_goes_on(watch(GOES_ON), says)


def test_missing_metadata_service_does_not_stop_the_command(watch: Watch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        _assert_goes_on(watch(GOES_ON, endpoint=f"http://127.0.0.1:{unused.getsockname()[1]}"), "refused")


def test_silent_metadata_service_does_not_stop_the_command(watch: Watch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        _assert_goes_on(watch(GOES_ON, endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}"), "timed out")


@pytest.mark.parametrize("body", ['{"action": "terminate"}', '{"action": "stop", "time": "soon\\nor later"}'])
def test_notice_without_a_time_counts(body: str, watch: Watch, service: Any) -> None:
    service.answers[SPOT] = (200, body)

    watched = watch("import time; time.sleep(60)")

    assert watched.end()[0] == 75
    assert (watched.read()["kind"], watched.read()["reclaim_at"]) == ("spot", None)
