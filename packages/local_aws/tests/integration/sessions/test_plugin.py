"""``session-manager-plugin`` as a process, against a real server and real shells."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

import pytest

from local_aws.sessions.plugin import main

pytestmark = pytest.mark.slow

Connect = Callable[..., Any]
Eventually = Callable[[Callable[[], object]], None]


def test_command_runs_and_its_output_comes_back(sessions: Any, connect: Connect, plugin: list[str]) -> None:
    session = sessions.server.start_session("i-1")
    client = connect(session, plugin)
    client.wait_for_prompt()
    client.type("echo $((6 * 7)) in $PWD\n")
    client.wait_for(f"42 in {sessions.home}\r\n".encode())
    client.type("exit 3\n")
    # AWS's plugin ends with its input, so the input stays open until the plugin has ended.
    client.process.wait(timeout=30)
    assert client.finish() == 0
    assert client.output.startswith(f"\nStarting session with SessionId: {session['SessionId']}\n".encode())
    assert client.output.endswith(f"\n\nExiting session with sessionId: {session['SessionId']}.\n\n".encode())
    assert client.stderr == b""


def test_five_megabytes_of_output_arrive_whole(connect: Connect, plugin: list[str]) -> None:
    client = connect(plugin=plugin)
    client.wait_for_prompt()
    client.type("stty -echo -onlcr; PS1=\n")
    client.type("echo be''gin; seq 1 700000; echo e''nd\n")
    output = client.wait_for(b"\nend\n")
    assert len(output) > 4_700_000
    expected = "".join(f"{number}\n" for number in range(1, 700_001)).encode()
    assert output[output.index(b"begin\n") + 6 : output.index(b"\nend\n") + 1] == expected


def test_megabyte_of_input_arrives_whole(sessions: Any, connect: Connect, eventually: Eventually) -> None:
    client = connect()
    client.type("stty -echo; cat > received; echo do''ne\n")
    lines = "".join(f"line {number} {'x' * 40}\n" for number in range(20_000))
    client.type(lines + "\x04")
    client.wait_for(b"done")
    assert (sessions.home / "received").read_text() == lines


def test_end_of_input_ends_the_shell_after_last_command(sessions: Any, connect: Connect) -> None:
    client = connect()
    client.type("sleep 0.3; echo fin''ished")
    assert client.finish() == 0
    assert b"finished\r\n" in client.output
    assert b"Exiting session" in client.output
    assert sessions.shells[0].wait(0) == 0


def test_silent_shell_ends_after_end_of_input(
    sessions: Any, environment: dict[str, str], eventually: Eventually
) -> None:
    session = sessions.server.start_session("i-1")
    program = (
        "import sys; from local_aws.sessions.client import SessionClient;"
        "sys.exit(SessionClient(*sys.argv[1:], resume=lambda: '', eof_patience=0.5).run())"
    )
    argv = [sys.executable, "-c", program, session["SessionId"], session["StreamUrl"], session["TokenValue"]]
    done = subprocess.run(argv, input=b"sleep 600\n", capture_output=True, env=environment, timeout=30)
    assert done.returncode == 0, done.stderr
    assert b"Exiting session" in done.stdout
    assert sessions.shells[0].wait(10) is not None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_the_session_and_what_runs_in_it(
    sessions: Any, connect: Connect, eventually: Eventually, number: signal.Signals
) -> None:
    client = connect()
    client.type("echo star''ted; sleep 600\n")
    client.wait_for(b"started")
    client.process.send_signal(number)
    assert client.finish() == 128 + number
    assert sessions.shells[0].wait(10) is not None
    eventually(lambda: sessions.server.sessions() == [])


def test_session_ended_by_the_api_ends_the_plugin(sessions: Any, connect: Connect, plugin: list[str]) -> None:
    session = sessions.server.start_session("i-1")
    client = connect(session, plugin)
    client.wait_for_prompt()
    client.type("echo star''ted; sleep 600\n")
    client.wait_for(b"started")
    sessions.server.terminate_session(session["SessionId"])
    client.process.wait(timeout=30)
    assert client.finish() == 0
    assert b"Exiting session" in client.output
    assert sessions.shells[0].wait(10) is not None


def test_closed_instance_is_reported(sessions: Any, connect: Connect, plugin: list[str]) -> None:
    client = connect(sessions.server.start_session("i-1"), plugin)
    client.wait_for_prompt()
    client.type("echo star''ted\n")
    client.wait_for(b"started")
    sessions.server.close_instance("i-1")
    client.process.wait(timeout=30)
    assert client.finish() == 0
    assert b"i-1 is gone" in client.output


def test_session_cut_during_output_resumes_without_loss(sessions: Any, connect: Connect) -> None:
    # Not with AWS's plugin: if it cannot acknowledge a message, it prints that message again later.
    client = connect()
    client.type("stty -echo -onlcr; PS1=\n")
    client.type("echo ran >> record; echo be''gin; seq 1 700000; echo e''nd\n")
    for number in (b"100000", b"300000", b"500000"):
        client.wait_for(b"\n" + number + b"\n")
        sessions.server.cut("i-1")
    output = client.wait_for(b"\nend\n")
    expected = "".join(f"{number}\n" for number in range(1, 700_001)).encode()
    assert output[output.index(b"begin\n") + 6 : output.index(b"\nend\n") + 1] == expected
    assert (sessions.home / "record").read_text() == "ran\n"
    assert len(sessions.shells) == 1


def test_cut_session_resumes_with_signed_request(
    sessions: Any, connect: Connect, plugin: list[str], eventually: Eventually
) -> None:
    client = connect(sessions.server.start_session("i-1"), plugin)
    client.wait_for_prompt()
    client.type("echo ran >> record; read x; echo go''t $x\n")
    eventually((sessions.home / "record").exists)
    for _ in range(2):
        sessions.signatures.clear()
        assert sessions.server.cut("i-1") == 1
        # AWS's plugin gives up on input before it has reconnected.
        eventually(lambda: len(sessions.signatures) == 1)
        eventually(lambda: sessions.server.sessions()[0]["state"] == "connected")
        assert sessions.signatures[0].startswith("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE")
    client.type("this\n")
    client.wait_for(b"got this\r\n")
    assert (sessions.home / "record").read_text() == "ran\n"
    assert len(sessions.shells) == 1


def test_cut_at_any_moment_loses_nothing(sessions: Any, connect: Connect) -> None:
    client = connect()
    client.type("stty -echo -onlcr; PS1=\n")
    for number in range(8):
        client.type(f"echo {number} >> record; echo ro''und {number}\n")
        sessions.server.cut("i-1")
        client.type(f"echo {number}.5 >> record\n")
        client.wait_for(b"round %d\n" % number)
    client.type("exit\n")
    assert client.finish() == 0
    assert (sessions.home / "record").read_text() == "".join(f"{number}\n{number}.5\n" for number in range(8))


def test_unresumable_session_ends_in_one_line(sessions: Any, connect: Connect, eventually: Eventually) -> None:
    client = connect()
    client.type("echo star''ted\n")
    client.wait_for(b"started")
    sessions.server.stop()
    sessions.server.start()
    client.process.wait(timeout=30)
    # The old server closed its channels, which is a normal end; a cut session that the new one does not know is not.
    assert client.finish() == 0
    session = {"SessionId": "local-0", "TokenValue": "x", "StreamUrl": f"ws://127.0.0.1:{sessions.server.port}/"}
    lost = connect(session)
    assert lost.finish() == 1
    assert lost.stderr.count(b"\n") == 1
    assert lost.stderr.startswith(b"session-manager-plugin: session local-0 was cut and cannot be resumed: ")
    assert b"session local-0 does not exist" in lost.stderr


def test_cut_session_without_boto3_ends_in_one_line(
    sessions: Any, connect: Connect, environment: dict[str, str]
) -> None:
    broken = sessions.home / "modules"
    (broken / "boto3").mkdir(parents=True)
    (broken / "boto3" / "__init__.py").write_text("raise ImportError('No module named boto3')\n")
    environment["PYTHONPATH"] = os.pathsep.join([str(broken), environment["PYTHONPATH"]])
    client = connect()
    client.type("echo star''ted\n")
    client.wait_for(b"started")
    sessions.server.cut("i-1")
    client.process.wait(timeout=30)
    assert client.finish() == 1
    assert client.stderr.count(b"\n") == 1
    assert client.stderr.endswith(b" was cut and cannot be resumed: No module named boto3\n")


def test_wrong_token_is_exchanged_for_a_good_one(sessions: Any, connect: Connect) -> None:
    client = connect({**sessions.server.start_session("i-1"), "TokenValue": "expired"})
    client.type("echo good; exit\n")
    assert client.finish() == 0
    assert b"good\r\n" in client.output


def test_missing_agent_is_reported(sessions: Any, connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = connect({"SessionId": "a-0", "TokenValue": "x", "StreamUrl": f"ws://127.0.0.1:{port}/"})
    assert client.finish() == 1
    assert client.stderr.startswith(b"session-manager-plugin: session a-0 was cut")


def test_unread_output_does_not_block_input(sessions: Any, connect: Connect, eventually: Eventually) -> None:
    client = connect()
    client.type("stty -echo; PS1=; seq 1 900000\n")
    # More than a pipe holds: a plugin that waits for its output would never read it.
    for number in range(3000):
        client.type(f"echo {'y' * 60} {number} >> record\n")
    client.wait_for(b"\n899999\r\n900000\r\n")
    record = sessions.home / "record"
    eventually(lambda: record.exists() and len(record.read_text().splitlines()) == 3000)


def test_output_that_breaks_ends_the_session(sessions: Any, connect: Connect, eventually: Eventually) -> None:
    client = connect()
    client.wait_for(b"$ ")
    client.stdout.close()
    client.type("seq 1 100000\n")
    assert client.process.wait(timeout=30) == 1
    eventually(lambda: sessions.server.sessions() == [])


class TerminalClient:
    """A plugin on its own terminal, as for a user."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self.master, terminal = os.openpty()
        self.process = subprocess.Popen(
            argv,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(terminal)
        self.output = b""
        self.position = 0

    def wait_for(self, text: bytes) -> None:
        """Read until ``text`` appears after the text of the previous call."""
        deadline = time.monotonic() + 30
        while text not in self.output[self.position :]:
            assert select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))[0], self.output
            self.output += os.read(self.master, 65536)
        self.position = self.output.index(text, self.position) + len(text)

    def end(self) -> None:
        """Kill the plugin and close its terminal."""
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal_client(sessions: Any, environment: dict[str, str], plugin: list[str]) -> Any:
    client = TerminalClient(sessions.argv(plugin, sessions.server.start_session("i-1")), environment)
    yield client
    client.end()


def test_terminal_gets_keys_size_and_interrupts(terminal_client: Any) -> None:
    client = terminal_client
    client.wait_for(b"$ ")
    termios.tcsetwinsize(client.master, (33, 111))
    # AWS's plugin checks the size twice a second, so this polls.
    os.write(client.master, b"until stty size | grep '33 111'; do sleep 0.1; done; cat\n")
    client.wait_for(b"33 111\r")
    os.write(client.master, b"hello\n")
    for _ in ("the echo", "the answer"):
        client.wait_for(b"hello")
    os.write(client.master, b"\x03")
    client.wait_for(b"$ ")
    os.write(client.master, b"echo st''ill here\n")
    client.wait_for(b"still here")
    assert client.output.count(b"echo st''ill here") == 1, "input is not echoed exactly once, by the far end"


# The kernel may deliver a signal to any thread, which does not interrupt a waiting main thread; a signal just before
# the wait has the same effect.
ANOTHER_THREAD_TAKES_SIGNALS = """
import signal, sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
from local_aws.sessions.plugin import main
sys.exit(main())
"""


def test_interrupt_taken_by_another_thread_is_forwarded(sessions: Any, environment: dict[str, str]) -> None:
    plugin = [sys.executable, "-c", ANOTHER_THREAD_TAKES_SIGNALS]
    client = TerminalClient(sessions.argv(plugin, sessions.server.start_session("i-1")), environment)
    try:
        client.wait_for(b"$ ")
        os.write(client.master, b"cat\nhello\n")
        for _ in ("the echo", "the answer"):
            client.wait_for(b"hello")
        time.sleep(1)  # let everything else that would end the wait arrive
        os.write(client.master, b"\x03")
        client.wait_for(b"$ ")
    finally:
        client.end()


def test_start_up_of_the_plugin_stays_cheap(environment: dict[str, str]) -> None:
    root = environment["PYTHONPATH"].split(os.pathsep)[0]
    program = "import local_aws.sessions.plugin; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {root!r}); {program}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    heavy = {"boto3", "botocore", "websockets", "asyncio", "dataclasses", "ssl", "urllib", "inspect", "subprocess"}
    assert heavy.isdisjoint(loaded)
    assert "local_aws.sessions.client" in loaded


def test_version_and_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "1.2.0.0\n"
    assert main([]) == 0
    assert "session-manager-plugin <StartSession response>" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["{}", "us-east-1"], "expected <StartSession response>"),
        (["{}", "us-east-1", "StopSession"], "expected <StartSession response>"),
        (["no json", "us-east-1", "StartSession"], "expected JSON with SessionId"),
        (["[]", "us-east-1", "StartSession"], "expected JSON with SessionId"),
        (['{"SessionId": "a"}', "us-east-1", "StartSession"], "KeyError('StreamUrl')"),
        (
            ['{"SessionId": "a", "StreamUrl": "wss://ssmmessages", "TokenValue": "t"}', "us-east-1", "StartSession"],
            "for a real account install AWS's own",
        ),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_response_is_read_from_the_environment(sessions: Any, environment: dict[str, str]) -> None:
    name = "AWS_SSM_START_SESSION_RESPONSE_0"
    session = sessions.server.start_session("i-1")
    argv = [sys.executable, "-m", "local_aws.sessions.plugin", name, "us-east-1", "StartSession"]
    environment[name] = json.dumps(session)
    done = subprocess.run(argv, input=b"exit\n", capture_output=True, env=environment, timeout=30)
    assert done.returncode == 0
    assert f"Exiting session with sessionId: {session['SessionId']}." in done.stdout.decode()
