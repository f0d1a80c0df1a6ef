from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_aws.sessions.websocket import BINARY, CLOSE, PING, TEXT, Disconnected, MessageParser, WebSocket, client_frame
from websockets.frames import Frame as ReferenceFrame
from websockets.frames import Opcode
from websockets.streams import StreamReader
from websockets.sync.server import ServerConnection, serve


@given(st.sampled_from([TEXT, BINARY, PING]), st.binary(max_size=70_000))
def test_the_reference_implementation_reads_our_frames(opcode: int, payload: bytes) -> None:
    payload = payload[:125] if opcode == PING else payload
    reader = StreamReader()
    reader.feed_data(client_frame(opcode, payload))
    parsing = ReferenceFrame.parse(reader.read_exact, mask=True, max_size=None)
    with pytest.raises(StopIteration) as finished:
        next(parsing)
    assert finished.value.value == ReferenceFrame(Opcode(opcode), payload)


@given(st.lists(st.binary(max_size=400), min_size=1, max_size=5), st.integers(1, 50))
def test_frames_are_read_whatever_pieces_they_come_in(payloads: list[bytes], size: int) -> None:
    wire = b"".join(ReferenceFrame(Opcode.BINARY, payload).serialize(mask=False) for payload in payloads)
    parser = MessageParser()
    messages = [message for start in range(0, len(wire), size) for message in parser.feed(wire[start : start + size])]
    assert messages == [(BINARY, payload) for payload in payloads]


def test_a_fragmented_message_is_put_together_with_a_ping_in_between() -> None:
    wire = (
        ReferenceFrame(Opcode.BINARY, b"one ", fin=False).serialize(mask=False)
        + ReferenceFrame(Opcode.PING, b"?").serialize(mask=False)
        + ReferenceFrame(Opcode.CONT, b"two").serialize(mask=False)
    )
    assert MessageParser().feed(wire) == [(PING, b"?"), (BINARY, b"one two")]


@pytest.mark.parametrize(
    "wire",
    [
        ReferenceFrame(Opcode.CONT, b"x").serialize(mask=False),
        ReferenceFrame(Opcode.BINARY, b"x", fin=False).serialize(mask=False) * 2,
        ReferenceFrame(Opcode.BINARY, b"x").serialize(mask=True),
        b"\xc2\x01x",
        b"\x82\x7f" + (1 << 40).to_bytes(8, "big"),
    ],
    ids=["lone continuation", "nested start", "masked", "reserved bit", "too large"],
)
def test_a_broken_protocol_ends_the_connection(wire: bytes) -> None:
    with pytest.raises(Disconnected):
        MessageParser().feed(wire)


@pytest.fixture
def serve_with() -> Iterator[Callable[[Callable[[ServerConnection], None]], str]]:
    with contextlib.ExitStack() as stack:

        def start(handler: Callable[[ServerConnection], None]) -> str:
            server = stack.enter_context(serve(handler, "127.0.0.1", 0, compression=None))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"ws://127.0.0.1:{server.socket.getsockname()[1]}/some/path?x=1"

        yield start


def receive(connection: WebSocket, count: int) -> list[bytes]:
    messages = connection.receive()  # what came right behind the handshake wakes no select
    while len(messages) < count:
        connection.flush()
        select.select([connection], [connection] if connection.wants_write else [], [], 10)
        messages += connection.receive()
    connection.flush()
    return messages


def test_messages_go_both_ways_through_a_real_server(
    serve_with: Callable[[Callable[[ServerConnection], None]], str],
) -> None:
    paths = []

    def echo(connection: ServerConnection) -> None:
        assert connection.request is not None
        paths.append(connection.request.path)
        assert connection.ping("are you there?").wait(10)
        for message in connection:
            connection.send(message)

    connection = WebSocket.connect(serve_with(echo), 10)
    large = bytes(range(256)) * 4000
    connection.send(BINARY, b"small")
    connection.send(BINARY, large)
    assert receive(connection, 2) == [b"small", large]
    connection.close()
    connection.close()
    assert paths == ["/some/path?x=1"]


def test_the_end_of_a_connection_says_why_and_comes_after_its_messages(
    serve_with: Callable[[Callable[[ServerConnection], None]], str],
) -> None:
    def refuse(connection: ServerConnection) -> None:
        connection.send(b"last words")
        connection.close(1008, "not you")

    connection = WebSocket.connect(serve_with(refuse), 10)
    assert receive(connection, 1) == [b"last words"]
    with pytest.raises(Disconnected):
        receive(connection, 1)
    connection.close()


def test_a_close_frame_gives_its_code_and_reason() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(ReferenceFrame(Opcode(CLOSE), (1008).to_bytes(2, "big") + b"not you").serialize(mask=False))
        with pytest.raises(Disconnected, match=r"1008, not you"):
            WebSocket(near).receive()


def test_a_server_that_is_none_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(Disconnected, match=r"refused the connection: HTTP/1\.1 200 OK"):
            WebSocket.connect(f"ws://127.0.0.1:{port}/", 10)
        thread.join()
    with pytest.raises(Disconnected, match="cannot connect"):
        WebSocket.connect(f"ws://127.0.0.1:{port}/", 10)
