"""The dialogue of the stock connection plugin: its own classes, our server, both session-manager-plugins."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.plugin_utils.ssm.sessionmanager import SSMSessionManager
from ansible_collections.amazon.aws.plugins.plugin_utils.ssm.terminalmanager import TerminalManager


class Client:
    """As much of boto3's SSM client as the connection plugin uses."""

    def __init__(self, sessions: Any) -> None:
        self._server = sessions.server
        self.meta = SimpleNamespace(endpoint_url=sessions.endpoint)

    def start_session(self, Target: str, Parameters: dict[str, Any]) -> dict[str, str]:
        answer: dict[str, str] = self._server.start_session(Target, None, Parameters)
        return answer

    def terminate_session(self, SessionId: str) -> dict[str, str]:
        answer: dict[str, str] = self._server.terminate_session(SessionId)
        return answer


class Connection:
    """The parts of ``aws_ssm.Connection`` around one session, put together from the collection's classes."""

    is_windows = False
    MARK_LENGTH = 26

    def __init__(self, sessions: Any, plugin: str) -> None:
        self.session_manager = SSMSessionManager(Client(sessions), "i-1", 60, self.verbosity_display)
        self.session_manager.start_session(
            executable=plugin, document_name=None, region_name="us-east-1", profile_name=""
        )
        self.terminal_manager = TerminalManager(self)
        self.terminal_manager.prepare_terminal()

    def verbosity_display(self, level: int, message: str) -> None:
        """Show nothing."""

    def run(self, command: str) -> tuple[int, str]:
        """Run a command the way ``exec_command`` does; return its exit code and output."""
        wrapped = self.terminal_manager.wrap_command(command, "START", "FINISH").encode()
        for start in range(0, len(wrapped), 1024):
            self.session_manager.stdin_write(wrapped[start : start + 1024])
        lines: list[str] = []
        for readable in self.session_manager.poll("EXEC", command):
            if readable:
                lines.append(self.session_manager.stdout_readline().decode())
                if "FINISH" in lines[-1]:
                    break
        output = "".join(lines)
        found = re.search(r"START\r*\n(.*)\r*\n(\d+)\r*\nFINISH", output, re.DOTALL)
        assert found, output
        return int(found[2]), found[1].replace("\r", "")


@pytest.fixture
def executable(plugin: list[str], environment: dict[str, str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """One file to execute, as the connection plugin wants it; it inherits this process's environment."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    script = tmp_path / "session-manager-plugin"
    script.write_text(f'#!/bin/sh\nexec {" ".join(plugin)} "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def open_connection(sessions: Any, executable: str) -> Iterator[Callable[[], Connection]]:
    connections: list[Connection] = []

    def start() -> Connection:
        connections.append(Connection(sessions, executable))
        return connections[-1]

    yield start
    for connection in connections:
        if connection.session_manager.session.poll() is None:
            connection.session_manager.terminate()


def test_the_connection_plugin_prepares_its_terminal_and_runs_commands(
    sessions: Any, open_connection: Callable[[], Connection]
) -> None:
    connection = open_connection()
    assert connection.run("echo hello") == (0, "hello\n")
    assert connection.run("sh -c 'echo to-err >&2; exit 7'") == (7, "to-err\n")
    assert connection.run("pwd") == (0, f"{sessions.home}\n")
    assert connection.run(f"printf %s {'x' * 3000}") == (0, "x" * 3000)
    code, output = connection.run("seq 1 50000")
    assert (code, output) == (0, "".join(f"{number}\n" for number in range(1, 50_001)))


def test_a_connection_that_is_closed_leaves_no_session_and_no_process(
    sessions: Any, open_connection: Callable[[], Connection], eventually: Callable[[Callable[[], object]], None]
) -> None:
    connection = open_connection()
    connection.run("true")
    connection.session_manager.terminate()
    assert connection.session_manager.session.poll() is not None
    eventually(lambda: sessions.server.sessions() == [])
    assert sessions.shells[0].wait(10) is not None


def test_a_cut_in_the_middle_of_a_command_runs_it_once_and_gives_its_output(
    sessions: Any, open_connection: Callable[[], Connection]
) -> None:
    connection = open_connection()
    server = sessions.server
    command = "sh -c 'echo ran >> record; touch started; while [ ! -e cut ]; do sleep 0.01; done; echo done'"
    poll = connection.session_manager.poll

    def poll_and_cut(label: str, wrapped: str) -> Iterator[bool]:
        for readable in poll(label, wrapped):
            if (sessions.home / "started").exists() and not (sessions.home / "cut").exists():
                assert server.cut("i-1") == 1
                (sessions.home / "cut").touch()
            yield readable

    connection.session_manager.poll = poll_and_cut
    assert connection.run(command) == (0, "done\n")
    assert (sessions.home / "record").read_text() == "ran\n"
