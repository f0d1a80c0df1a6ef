from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from websockets.sync.server import ServerConnection, serve

from local_aws.sessions.websocket import BINARY, Disconnected, WebSocket


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
    messages = connection.receive()  # select does not report data that came with the handshake
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


def test_close_is_reported_after_the_last_message(
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


def test_non_websocket_server_is_rejected() -> None:
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
