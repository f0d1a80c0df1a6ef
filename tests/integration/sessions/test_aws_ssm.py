"""The stock connection plugin on our session server, with both session-manager-plugins."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.common.text.converters import to_text
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader


class Client:
    """The part of boto3's SSM client that the connection plugin uses."""

    def __init__(self, sessions: Any) -> None:
        self._server = sessions.server
        self.meta = SimpleNamespace(endpoint_url=sessions.endpoint)

    def start_session(self, Target: str, Parameters: dict[str, Any]) -> dict[str, str]:
        answer: dict[str, str] = self._server.start_session(Target, None, Parameters)
        return answer

    def terminate_session(self, SessionId: str) -> dict[str, str]:
        answer: dict[str, str] = self._server.terminate_session(SessionId)
        return answer


@pytest.fixture
def executable(plugin: list[str], environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An executable file for the connection plugin; it inherits the environment of this process."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    script = tmp_path / "session-manager-plugin"
    script.write_text(f'#!/bin/sh\nexec {" ".join(plugin)} "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def connection(sessions: Any, executable: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    connection = connection_loader.get("amazon.aws.aws_ssm", PlayContext())
    options = {"instance_id": "i-1", "bucket_name": "none", "region": "us-east-1", "plugin": executable}
    connection.set_options(direct={**options, "reconnection_retries": 0})
    # Only the clients are ours: file transfer, through S3, is not tested here.
    connection._client = Client(sessions)
    monkeypatch.setattr(connection, "_init_clients", lambda: None)
    yield connection
    connection.close()


def run(connection: Any, command: str) -> tuple[int, str]:
    """Exit code and output without the last newline, as text: versions of the collection differ on both."""
    code, output, _ = connection.exec_command(command)
    return code, to_text(output).replace("\r", "").rstrip("\n")


def test_connection_plugin_runs_commands(sessions: Any, connection: Any) -> None:
    connection._connect()
    assert run(connection, "echo hello") == (0, "hello")
    assert run(connection, "sh -c 'echo to-err >&2; exit 7'") == (7, "to-err")
    assert run(connection, "pwd") == (0, f"{sessions.home}")
    assert run(connection, f"printf '%s\\n' {'x' * 3000}") == (0, "x" * 3000)
    assert run(connection, "seq 1 50000") == (0, "\n".join(map(str, range(1, 50_001))))
    assert len(sessions.shells) == 1


def test_closed_connection_leaves_no_session_or_process(
    sessions: Any, connection: Any, eventually: Callable[[Callable[[], object]], None]
) -> None:
    connection._connect()
    process = connection.session_manager.session
    connection.close()
    assert process.poll() is not None
    eventually(lambda: sessions.server.sessions() == [])
    assert sessions.shells[0].wait(10) is not None


def test_cut_during_command_runs_it_once(sessions: Any, connection: Any) -> None:
    cuts: list[int] = []

    def cut() -> None:
        while not (sessions.home / "started").exists():
            time.sleep(0.01)
        cuts.append(sessions.server.cut("i-1"))
        (sessions.home / "cut").touch()

    connection._connect()
    cutter = threading.Thread(target=cut, daemon=True)
    cutter.start()
    command = "sh -c 'echo ran >> record; touch started; until test -e cut; do sleep 0.01; done; echo done'"
    assert run(connection, command) == (0, "done")
    cutter.join(10)
    assert cuts == [1]
    assert (sessions.home / "record").read_text() == "ran\n"


def test_partition_in_mid_line_blocks_until_the_plugin_ends(
    sessions: Any, connection: Any, eventually: Callable[[Callable[[], object]], None]
) -> None:
    """Why a run's watchdog ends sessions: the timeout of the stock connection does not apply here."""
    isolated = threading.Event()
    outcome: list[tuple[int, str]] = []

    connection.set_option("ssm_timeout", 10)
    connection._connect()
    sessions.server.isolate_in_mid_line("i-1", isolated.set)
    waiting = threading.Thread(target=lambda: outcome.append(run(connection, f"echo {'x' * 3000}")), daemon=True)
    waiting.start()
    assert isolated.wait(30)
    waiting.join(13)  # the timeout in whole seconds, and one poll of a second
    assert outcome == [], "the connection plugin reads with a timeout now: the watchdog need not end sessions"
    connection.session_manager.session.terminate()
    eventually(lambda: outcome)  # of its second attempt, in a new session
    assert outcome == [(0, "x" * 3000)]
    assert len(sessions.shells) == 2
