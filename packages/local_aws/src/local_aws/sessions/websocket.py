"""A WebSocket client (RFC 6455), as far as a data channel needs it.

The agent's end uses the package `websockets`; importing that takes longer than a whole session, and
``session-manager-plugin`` starts once per Ansible task.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import socket

ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MAX_MESSAGE = 16 * 1024 * 1024
READ_SIZE = 256 * 1024


class Disconnected(Exception):
    """The connection failed or was lost; the text says why."""


class MessageParser:
    """Parses chunks of bytes into messages; server frames are not masked."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._fragments = bytearray()
        self._opcode = CONTINUATION

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the messages that ``data`` completes, as (opcode, payload).

        Raises:
            Disconnected: The peer violates the protocol.
        """
        self._buffer += data
        messages: list[tuple[int, bytes]] = []
        while (frame := self._next_frame()) is not None:
            final, opcode, payload = frame
            if opcode >= CLOSE:  # control frames may stand between fragments
                messages.append((opcode, payload))
                continue
            if (opcode == CONTINUATION) == (self._opcode == CONTINUATION):
                raise Disconnected("the server sent message fragments out of order")
            self._opcode = opcode or self._opcode
            self._fragments += payload
            if len(self._fragments) > MAX_MESSAGE:
                raise Disconnected("the server sent a message of more than 16 MiB")
            if final:
                messages.append((self._opcode, bytes(self._fragments)))
                self._fragments.clear()
                self._opcode = CONTINUATION
        return messages

    def _next_frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        if buffer[0] & 0x70 or buffer[1] & 0x80:
            raise Disconnected("the server sent a frame with reserved bits or a mask")
        length, start = buffer[1], 2
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start], "big")
        if length > MAX_MESSAGE:
            raise Disconnected("the server sent a frame of more than 16 MiB")
        if len(buffer) < start + length:
            return None
        frame = bool(buffer[0] & 0x80), buffer[0] & 0x0F, bytes(buffer[start : start + length])
        del buffer[: start + length]
        return frame


def client_frame(opcode: int, payload: bytes) -> bytes:
    """One final, masked frame."""
    length = len(payload)
    if length < 126:
        head = bytes([0x80 | opcode, 0x80 | length])
    elif length < 0x10000:
        head = bytes([0x80 | opcode, 0x80 | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([0x80 | opcode, 0x80 | 127]) + length.to_bytes(8, "big")
    key = os.urandom(4)
    mask = int.from_bytes((key * (length // 4 + 1))[:length], "big")
    return head + key + (int.from_bytes(payload, "big") ^ mask).to_bytes(length, "big")


class WebSocket:
    """A connected, non-blocking socket: ``send`` queues, ``flush`` and ``receive`` do what is possible now."""

    def __init__(self, connection: socket.socket, early: bytes = b"") -> None:
        """Wrap a socket after the handshake; ``early`` is data that followed the handshake."""
        self._socket = connection
        self._socket.setblocking(False)
        self._parser = MessageParser()
        self._early = early
        self._outbox = bytearray()

    @classmethod
    def connect(cls, url: str, timeout: float) -> WebSocket:
        """Connect to ``ws://host[:port]/path``, without TLS.

        Raises:
            Disconnected: No answer within ``timeout`` seconds, or not a WebSocket.
        """
        authority, slash, path = url.removeprefix("ws://").partition("/")
        host, _, port = authority.rpartition(":") if ":" in authority else (authority, "", "80")
        try:
            connection = socket.create_connection((host, int(port)), timeout)
        except (OSError, ValueError) as error:
            raise Disconnected(f"cannot connect to ws://{authority}: {error}") from error
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return cls(connection, _shake_hands(connection, authority, slash + path or "/"))
        except OSError as error:
            connection.close()
            raise Disconnected(f"no WebSocket answers at ws://{authority}: {error}") from error
        except Disconnected:
            connection.close()
            raise

    @property
    def wants_write(self) -> bool:
        """Whether something is queued: poll for POLLOUT, then ``flush``."""
        return bool(self._outbox)

    def fileno(self) -> int:
        """The descriptor, for ``poll``."""
        return self._socket.fileno()

    def send(self, opcode: int, payload: bytes) -> None:
        """Queue a message."""
        self._outbox += client_frame(opcode, payload)

    def flush(self) -> None:
        """Write what the socket takes now.

        Raises:
            Disconnected: The connection is lost.
        """
        try:
            while self._outbox:
                del self._outbox[: self._socket.send(self._outbox)]
        except BlockingIOError:
            return
        except OSError as error:
            raise Disconnected(f"the connection broke: {error.strerror}") from error

    def receive(self) -> list[bytes]:
        """The binary messages received so far; pings are answered, texts ignored.

        Raises:
            Disconnected: The connection is lost, and no message is left.
        """
        data, self._early = self._early, b""
        ended = None
        try:
            received = self._socket.recv(READ_SIZE)
            data += received
            ended = None if received else "the connection was closed without notice"
        except BlockingIOError:
            pass
        except OSError as error:
            ended = f"the connection broke: {error.strerror}"
        messages = []
        for opcode, payload in self._parser.feed(data):
            if opcode == BINARY:
                messages.append(payload)
            elif opcode == PING:
                self.send(PONG, payload)
            elif opcode == CLOSE:
                ended = f"the server closed the connection{_close_reason(payload)}"
                self.send(CLOSE, payload[:2])
        if ended and not messages:  # otherwise the next call reports the end
            raise Disconnected(ended)
        return messages

    def close(self) -> None:
        """Send a close frame if the socket takes it, and close."""
        if self._socket.fileno() < 0:
            return
        self.send(CLOSE, (1000).to_bytes(2, "big"))
        try:
            self._socket.send(self._outbox)
        except OSError:
            pass  # the peer is gone or does not read
        finally:
            self._socket.close()


def _shake_hands(connection: socket.socket, authority: str, path: str) -> bytes:
    """Do the opening handshake (RFC 6455, section 4); return the bytes that followed the answer."""
    key = binascii.b2a_base64(os.urandom(16), newline=False)
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key.decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    connection.sendall(request.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = connection.recv(4096)
        if not data or len(answer) > 65536:
            raise Disconnected("the server ended the opening handshake")
        answer += data
    head, _, rest = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    if status.split(" ")[1:2] != ["101"]:
        raise Disconnected(f"the server refused the connection: {status}")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    expected = binascii.b2a_base64(hashlib.sha1(key + ACCEPT_GUID).digest(), newline=False)
    if headers.get("sec-websocket-accept", "").encode("latin-1") != expected:
        raise Disconnected("the server's answer does not match the handshake")
    return rest


def _close_reason(payload: bytes) -> str:
    if len(payload) < 2:
        return ""
    text = payload[2:].decode("utf-8", "replace")
    return f" ({int.from_bytes(payload[:2], 'big')}{', ' + text if text else ''})"
