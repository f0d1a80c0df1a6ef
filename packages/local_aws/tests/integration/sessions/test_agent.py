"""The agent's end, driven frame by frame over a socket."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from local_aws.sessions.agent import ShellProcess
from local_aws.sessions.frames import Flag, Frame, MessageType, PayloadType, acknowledged_sequence, acknowledgement
from local_aws.sessions.server import SessionServer, UnknownSession, UnsupportedDocument

Eventually = Callable[[Callable[[], object]], None]


class Talker:
    """A client that a test drives frame by frame."""

    def __init__(self, session: dict[str, str], token: str | None = None) -> None:
        self.stack = contextlib.ExitStack()
        self.socket = self.stack.enter_context(connect(session["StreamUrl"], compression=None, ping_interval=None))
        self.socket.send(json.dumps({"MessageSchemaVersion": "1.0", "TokenValue": token or session["TokenValue"]}))
        self.sequence = 0
        self.expected = 0

    def close(self) -> None:
        self.stack.close()

    def receive(self, wanted: MessageType, acknowledge: bool = True) -> Frame:
        """The next message of a type; others are acknowledged and dropped."""
        while True:
            data = self.socket.recv(timeout=20)
            assert isinstance(data, bytes)
            frame = Frame.unpack(data)
            if acknowledge and frame.message_type is MessageType.OUTPUT:
                with contextlib.suppress(ConnectionClosed):  # the last messages are read after the agent has closed
                    self.socket.send(acknowledgement(frame).pack())
            if frame.message_type is wanted:
                return frame

    def output(self) -> Frame:
        """The next new output message; the agent resends what is acknowledged late."""
        while True:
            frame = self.receive(MessageType.OUTPUT)
            if frame.sequence >= self.expected:
                self.expected = frame.sequence + 1
                return frame

    def input(self, payload: bytes, payload_type: int = PayloadType.OUTPUT, sequence: int | None = None) -> Frame:
        number = self.sequence if sequence is None else sequence
        frame = Frame(MessageType.INPUT, payload, payload_type=payload_type, sequence=number)
        self.sequence = max(self.sequence, number + 1)
        return frame

    def send(self, *frames: Frame) -> None:
        for frame in frames:
            self.socket.send(frame.pack())

    def shake_hands(self) -> Talker:
        request = self.output()
        assert request.payload_type == PayloadType.HANDSHAKE_REQUEST
        self.send(self.input(b'{"ClientVersion": "1.2.0.0", "Errors": []}', PayloadType.HANDSHAKE_RESPONSE))
        complete = self.output()
        assert complete.payload_type == PayloadType.HANDSHAKE_COMPLETE
        assert "HandshakeTimeToComplete" in complete.json()
        return self

    def read_until(self, text: bytes) -> bytes:
        output = b""
        while text not in output:
            output += self.output().payload
        return output


@pytest.fixture
def talk(sessions: Any) -> Iterator[Callable[..., Talker]]:
    """Starts hand-driven clients, by default in a new session."""
    talkers: list[Talker] = []

    def start(session: dict[str, str] | None = None, **options: str) -> Talker:
        talkers.append(Talker(session or sessions.server.start_session("i-1"), **options))
        return talkers[-1]

    yield start
    for talker in talkers:
        talker.close()


def test_agent_asks_for_a_shell_session_first(talk: Callable[..., Talker]) -> None:
    request = talk().receive(MessageType.OUTPUT)
    assert request.sequence == 0
    assert request.payload_type == PayloadType.HANDSHAKE_REQUEST
    actions = request.json()["RequestedClientActions"]
    assert actions == [
        {"ActionType": "SessionType", "ActionParameters": {"SessionType": "Standard_Stream", "Properties": None}}
    ]


def test_no_shell_runs_before_the_handshake(sessions: Any, talk: Callable[..., Talker]) -> None:
    talker = talk()
    talker.receive(MessageType.OUTPUT)
    assert sessions.shells == []
    talker.send(talker.input(b'{"Errors": []}', PayloadType.HANDSHAKE_RESPONSE))
    talker.read_until(b"$ ")
    assert [shell.instance_id for shell in sessions.shells] == ["i-1"]


def test_refused_handshake_gets_no_shell(sessions: Any, talk: Callable[..., Talker]) -> None:
    talker = talk()
    talker.receive(MessageType.OUTPUT)
    talker.send(talker.input(b'{"Errors": ["I cannot"]}', PayloadType.HANDSHAKE_RESPONSE))
    assert "I cannot" in str(talker.receive(MessageType.CHANNEL_CLOSED).json()["Output"])
    assert sessions.shells == []


def test_input_is_acknowledged_ordered_and_run_once(sessions: Any, talk: Callable[..., Talker]) -> None:
    talker = talk().shake_hands()
    parts = [talker.input(part) for part in (b"echo once >> ", b"record; ", b"echo re''ady\n")]
    talker.send(parts[2], parts[1], parts[1], parts[2], parts[0], parts[0], parts[2])
    acknowledged = [acknowledged_sequence(talker.receive(MessageType.ACKNOWLEDGE)) for _ in range(7)]
    assert acknowledged == [3, 2, 2, 3, 1, 1, 3]
    talker.send(talker.input(b"echo ov''er\n"))
    talker.read_until(b"over\r\n$ ")
    assert (sessions.home / "record").read_text() == "once\n"


def test_damaged_message_is_ignored_until_resent(talk: Callable[..., Talker]) -> None:
    talker = talk().shake_hands()
    good = talker.input(b"echo in''tact\n")
    damaged = bytearray(good.pack())
    damaged[-2] ^= 1
    talker.socket.send(bytes(damaged))
    talker.socket.send(b"no frame at all")
    talker.send(good)
    talker.read_until(b"intact\r\n$ ")


def test_output_is_resent_until_it_is_acknowledged(talk: Callable[..., Talker]) -> None:
    talker = talk()
    first, again = (talker.receive(MessageType.OUTPUT, acknowledge=False) for _ in range(2))
    assert first == again
    talker.shake_hands()


def test_paused_client_gets_no_output(talk: Callable[..., Talker]) -> None:
    talker = talk().shake_hands()
    talker.read_until(b"$ ")
    talker.send(Frame(MessageType.PAUSE_PUBLICATION, b"{}"), talker.input(b"stty -echo; echo mi''ssed\n"))
    talker.receive(MessageType.ACKNOWLEDGE)
    with pytest.raises(TimeoutError):
        talker.socket.recv(timeout=0.5)
    talker.send(Frame(MessageType.START_PUBLICATION, b"{}"))
    talker.read_until(b"missed\r\n")


def test_terminal_takes_the_size_of_the_clients(talk: Callable[..., Talker]) -> None:
    talker = talk().shake_hands()
    talker.send(talker.input(b'{"cols": 123, "rows": 45}', PayloadType.SIZE), talker.input(b"stty size\n"))
    talker.read_until(b"45 123\r\n")
    talker.send(talker.input(b'{"cols": -1, "rows": 1e9}', PayloadType.SIZE), talker.input(b"stty size\n"))
    talker.read_until(b"45 123\r\n")


def test_terminate_flag_ends_the_session_and_its_shell(
    sessions: Any, talk: Callable[..., Talker], eventually: Eventually
) -> None:
    talker = talk().shake_hands()
    talker.read_until(b"$ ")
    talker.send(talker.input(Flag.TERMINATE_SESSION.to_bytes(4, "big"), PayloadType.FLAG))
    closed = talker.receive(MessageType.CHANNEL_CLOSED).json()
    assert closed["Output"] == ""
    assert closed["MessageType"] == "channel_closed"
    eventually(lambda: sessions.server.sessions() == [])
    assert sessions.shells[0].wait(10) is not None


def test_all_output_comes_before_the_channel_closes(talk: Callable[..., Talker]) -> None:
    talker = talk().shake_hands()
    talker.send(talker.input(b"stty -echo; seq 1 20000; echo la''st; exit\n"))
    output = talker.read_until(b"last\r\n")
    assert output.endswith(b"".join(b"%d\r\n" % number for number in range(1, 20001)) + b"last\r\n")
    assert talker.receive(MessageType.CHANNEL_CLOSED).json()["Output"] == ""


def test_background_process_does_not_keep_a_session_open(
    sessions: Any, talk: Callable[..., Talker], eventually: Eventually
) -> None:
    talker = talk().shake_hands()
    talker.send(talker.input(b"(trap '' HUP; exec sleep 60) & echo child $!\n"), talker.input(b"exit\n"))
    talker.read_until(b"child ")
    talker.receive(MessageType.CHANNEL_CLOSED)
    eventually(lambda: sessions.server.sessions() == [])
    sessions.shells[0].kill()


def test_wrong_token_is_rejected_and_the_session_stays(sessions: Any, talk: Callable[..., Talker]) -> None:
    session = sessions.server.start_session("i-1")
    for opening in ("wrong", "\ud800"):
        with pytest.raises(ConnectionClosed) as refused:
            talk(session, token=opening).receive(MessageType.OUTPUT)
        assert refused.value.rcvd is not None
        assert refused.value.rcvd.code == 1008
    talk(session).shake_hands()


def test_opening_without_token_is_rejected(sessions: Any) -> None:
    url = sessions.server.start_session("i-1")["StreamUrl"]
    for opening in (b"\0\1", "no JSON", "[]", "{}"):
        with connect(url) as socket:
            socket.send(opening)
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=20)


def test_channel_without_session_is_rejected(sessions: Any, talk: Callable[..., Talker]) -> None:
    session = sessions.server.start_session("i-1")
    with pytest.raises(ConnectionClosed):
        talk({**session, "StreamUrl": session["StreamUrl"].replace("local-", "else-")}).receive(MessageType.OUTPUT)


def test_new_token_replaces_the_old_one(sessions: Any, talk: Callable[..., Talker]) -> None:
    session = sessions.server.start_session("i-1")
    first = talk(session).shake_hands()
    first.send(first.input(b"echo be''fore\n"))
    first.read_until(b"before\r\n$ ")
    renewed = sessions.server.resume_session(session["SessionId"])
    assert renewed["StreamUrl"] == session["StreamUrl"]
    with pytest.raises(ConnectionClosed):
        talk(session).receive(MessageType.OUTPUT)
    second = talk(renewed)
    second.sequence = first.sequence
    second.send(second.input(b"echo af''ter\n"))
    second.read_until(b"after\r\n")
    with pytest.raises(ConnectionClosed):
        first.receive(MessageType.CHANNEL_CLOSED)
    assert len(sessions.shells) == 1


def test_unacknowledged_output_is_kept_for_returning_client(
    sessions: Any, talk: Callable[..., Talker], eventually: Eventually
) -> None:
    session = sessions.server.start_session("i-1")
    first = talk(session).shake_hands()
    first.read_until(b"$ ")
    first.send(first.input(b"stty -echo; echo one; sleep 0.5; echo two; exit\n"))
    first.receive(MessageType.ACKNOWLEDGE)
    assert sessions.server.cut("i-1") == 1
    assert sessions.server.cut("i-1") == 0
    eventually(lambda: sessions.shells[0].wait(0) is not None)
    second = talk(sessions.server.resume_session(session["SessionId"]))
    second.read_until(b"two\r\n")
    second.receive(MessageType.CHANNEL_CLOSED)


def test_abandoned_session_ends_after_grace(start_sessions: Callable[..., Any], eventually: Eventually) -> None:
    sessions = start_sessions(grace=5)
    never_connected = sessions.server.start_session("i-1")["SessionId"]
    talker = Talker(sessions.server.start_session("i-1")).shake_hands()
    talker.read_until(b"$ ")
    talker.close()
    eventually(lambda: sessions.server.sessions() == [])
    assert sessions.shells[0].wait(10) is not None
    with pytest.raises(UnknownSession, match=never_connected):
        sessions.server.resume_session(never_connected)


def test_closing_an_instance_ends_only_its_sessions(sessions: Any, talk: Callable[..., Talker]) -> None:
    doomed = talk(sessions.server.start_session("i-1")).shake_hands()
    other = talk(sessions.server.start_session("i-2")).shake_hands()
    sessions.server.close_instance("i-1")
    assert doomed.receive(MessageType.CHANNEL_CLOSED).json()["Output"] == "i-1 is gone"
    other.send(other.input(b"echo al''ive\n"))
    other.read_until(b"alive\r\n")
    assert [session["instance_id"] for session in sessions.server.sessions()] == ["i-2"]


@pytest.mark.parametrize("error", [RuntimeError("it was stopped"), OSError(12, "no memory"), KeyError("i-1")])
def test_shell_start_failure_ends_session_with_reason(error: Exception) -> None:
    def open_shell(instance_id: str, terminal: int) -> ShellProcess:
        raise error

    server = SessionServer(open_shell)
    server.start()
    try:
        talker = Talker(server.start_session("i-1")).shake_hands()
        output = talker.receive(MessageType.CHANNEL_CLOSED).json()["Output"]
        assert output == f"cannot start a shell on i-1: {error}"
        talker.close()
    finally:
        server.stop()


def test_session_has_the_shape_of_aws(sessions: Any) -> None:
    session = sessions.server.start_session("i-1", "SSM-SessionManagerRunShell", {"x": ["y"]}, owner="alice@home/é")
    prefix, _, number = session["SessionId"].rpartition("-")
    assert prefix == "alice@home--"
    assert len(number) == 17
    assert int(number, 16) >= 0
    path = f"/v1/data-channel/{session['SessionId'].replace('@', '%40')}?role=publish_subscribe"
    assert session["StreamUrl"] == f"ws://127.0.0.1:{sessions.server.port}{path}"
    assert len(session["TokenValue"]) > 32
    Talker(session).shake_hands().close()


def test_live_sessions_are_listed(sessions: Any, talk: Callable[..., Talker], eventually: Eventually) -> None:
    session = sessions.server.start_session("i-7", owner="alice")
    (entry,) = sessions.server.sessions()
    assert entry.pop("started").endswith("+00:00")
    assert entry == {"id": session["SessionId"], "instance_id": "i-7", "owner": "alice", "state": "connecting"}
    talker = talk(session).shake_hands()
    assert sessions.server.sessions()[0]["state"] == "connected"
    talker.close()
    eventually(lambda: sessions.server.sessions()[0]["state"] == "disconnected")
    sessions.server.terminate_session(session["SessionId"])
    assert sessions.server.sessions() == []


def test_terminating_is_idempotent(sessions: Any, talk: Callable[..., Talker]) -> None:
    session = sessions.server.start_session("i-1")
    talker = talk(session).shake_hands()
    talker.read_until(b"$ ")
    for _ in range(2):
        assert sessions.server.terminate_session(session["SessionId"]) == {"SessionId": session["SessionId"]}
    assert sessions.shells[0].wait(10) is not None
    talker.receive(MessageType.CHANNEL_CLOSED)
    assert sessions.server.terminate_session("nobody-0") == {"SessionId": "nobody-0"}


def test_another_document_is_refused(sessions: Any) -> None:
    with pytest.raises(UnsupportedDocument, match="got AWS-StartPortForwardingSession"):
        sessions.server.start_session("i-1", "AWS-StartPortForwardingSession")


def test_stop_ends_every_shell_and_frees_the_port(sessions: Any, talk: Callable[..., Talker]) -> None:
    talkers = [talk().shake_hands() for _ in range(3)]
    for talker in talkers:
        talker.read_until(b"$ ")
    session = sessions.server.start_session("i-1")
    sessions.server.stop()
    assert all(shell.wait(10) is not None for shell in sessions.shells)
    with pytest.raises(ConnectionRefusedError):
        connect(session["StreamUrl"])
    sessions.server.stop()
    assert sessions.server.sessions() == []
    with pytest.raises(RuntimeError):
        sessions.server.start_session("i-1")
    sessions.server.start()
    assert talk().shake_hands()
