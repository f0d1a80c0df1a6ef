"""A session server whose machines are shells on this host, and the plugins that connect to it."""

from __future__ import annotations

import contextlib
import fcntl
import http.server
import json
import os
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import local_aws
from local_aws.sessions.server import SessionServer, UnknownSession

PATIENCE = 30.0
OURS = [sys.executable, "-m", "local_aws.sessions.plugin"]
THEIRS = os.environ.get("SESSION_MANAGER_PLUGIN")  # AWS's own binary, not in the repository


class LocalShell:
    """A shell on this host, instead of a machine's."""

    def __init__(self, instance_id: str, terminal: int, home: Path) -> None:
        self.instance_id = instance_id
        self._process = subprocess.Popen(
            ["sh"],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            cwd=home,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "PS1": "$ ", "TERM": "dumb"},
            start_new_session=True,
            preexec_fn=self._prepare,
        )

    @staticmethod
    def _prepare() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        # As a login does: tests in the background (nohup, some CI) ignore it, and children inherit that.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def wait(self, timeout: float | None) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        return None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


class Sessions:
    """A running server, the shells it has opened, and an SSM endpoint in front of it."""

    def __init__(self, home: Path, grace: float = 60.0) -> None:
        self.home = home
        self.shells: list[LocalShell] = []
        self.server = SessionServer(self._open, grace=grace)
        self.signatures: list[str] = []  # the Authorization headers of the API requests
        self.endpoint = ""

    def _open(self, instance_id: str, terminal: int) -> LocalShell:
        shell = LocalShell(instance_id, terminal, self.home)
        self.shells.append(shell)
        return shell

    def argv(self, plugin: list[str], session: dict[str, str]) -> list[str]:
        request = json.dumps({"Target": "i-1"})
        return [*plugin, json.dumps(session), "us-east-1", "StartSession", "", request, self.endpoint]


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Answers ResumeSession and TerminateSession."""

    sessions: Sessions

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.sessions.signatures.append(self.headers.get("Authorization", ""))
        action = self.headers["X-Amz-Target"].rpartition(".")[2]
        methods = {
            "ResumeSession": self.sessions.server.resume_session,
            "TerminateSession": self.sessions.server.terminate_session,
        }
        try:
            status, answer = 200, methods[action](content["SessionId"])
        except UnknownSession as error:
            status, answer = 400, {"__type": "DoesNotExistException", "message": str(error)}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def start_sessions(tmp_path: Path) -> Iterator[Callable[..., Sessions]]:
    """Starts session servers; it stops them and their shells afterwards."""
    with contextlib.ExitStack() as stack:

        def start(grace: float = 60.0) -> Sessions:
            sessions = Sessions(tmp_path, grace)
            sessions.server.start()
            stack.callback(sessions.server.stop)
            handler = type("Handler", (Endpoint,), {"sessions": sessions})
            endpoint = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
            threading.Thread(target=endpoint.serve_forever, args=(0.02,), daemon=True).start()
            stack.callback(endpoint.server_close)
            stack.callback(endpoint.shutdown)
            sessions.endpoint = f"http://127.0.0.1:{endpoint.server_address[1]}"
            return sessions

        yield start


@pytest.fixture
def sessions(start_sessions: Callable[..., Sessions]) -> Sessions:
    return start_sessions()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a plugin: keys, without the user's AWS configuration."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(Path(local_aws.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class Client:
    """A plugin and its standard streams."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.stdin = process.stdin
        self.stdout = process.stdout
        self.output = b""

    def type(self, text: str) -> None:
        self.stdin.write(text.encode())
        self.stdin.flush()

    def wait_for(self, text: bytes) -> bytes:
        """Read until ``text`` appears; return all output so far."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.output:
            ready, _, _ = select.select([self.stdout], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self.stdout.fileno(), 1 << 20) if ready else b""
            assert data, f"{text!r} was not printed, but: {self.output[-2000:]!r}; {self.errors()!r}"
            self.output += data
        return self.output

    def errors(self) -> bytes:
        """Standard error of the plugin, which this kills."""
        self.process.kill()
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def wait_for_prompt(self) -> None:
        """Wait until it is safe to type.

        AWS's plugin sends the window size in a separate goroutine, with a sequence number that its keyboard goroutine
        may use at the same time; then one of the messages is lost, as on AWS.
        """
        self.wait_for(b"$ ")

    def finish(self) -> int:
        """Read the rest of the output and return the exit code."""
        rest, errors = self.process.communicate(timeout=PATIENCE)
        self.output += rest
        self.stderr = errors
        return self.process.returncode


@pytest.fixture
def connect(sessions: Sessions, environment: dict[str, str]) -> Iterator[Callable[..., Client]]:
    """Starts plugins, by default ours; it kills them afterwards."""
    clients: list[Client] = []

    def start(session: dict[str, str] | None = None, plugin: list[str] = OURS, server: Sessions = sessions) -> Client:
        argv = server.argv(plugin, session or server.server.start_session("i-1"))
        pipe = subprocess.PIPE
        clients.append(Client(subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)))
        return clients[-1]

    yield start
    for client in clients:
        client.process.kill()
        with contextlib.suppress(ValueError, BrokenPipeError):
            client.process.communicate()


@pytest.fixture(params=["ours", "aws"])
def plugin(request: pytest.FixtureRequest) -> list[str]:
    """Each plugin; AWS's if SESSION_MANAGER_PLUGIN names its binary."""
    if request.param == "ours":
        return OURS
    if not THEIRS:
        pytest.skip("SESSION_MANAGER_PLUGIN does not name AWS's session-manager-plugin")
    return [THEIRS]


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Waits until a condition holds."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "the condition never holds"
            time.sleep(0.01)

    return wait
