"""The WebSocket codec, against the one of the package websockets."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as ReferenceFrame
from websockets.frames import Opcode
from websockets.streams import StreamReader

from local_aws.sessions.websocket import BINARY, CLOSE, PING, TEXT, Disconnected, MessageParser, WebSocket, client_frame


@given(st.sampled_from([TEXT, BINARY, PING]), st.binary(max_size=70_000))
def test_reference_implementation_reads_our_frames(opcode: int, payload: bytes) -> None:
    payload = payload[:125] if opcode == PING else payload
    reader = StreamReader()
    reader.feed_data(client_frame(opcode, payload))
    parsing = ReferenceFrame.parse(reader.read_exact, mask=True, max_size=None)
    with pytest.raises(StopIteration) as finished:
        next(parsing)
    assert finished.value.value == ReferenceFrame(Opcode(opcode), payload)


@given(st.lists(st.binary(max_size=400), min_size=1, max_size=5), st.integers(1, 50))
def test_frames_are_read_in_any_chunk_size(payloads: list[bytes], size: int) -> None:
    wire = b"".join(ReferenceFrame(Opcode.BINARY, payload).serialize(mask=False) for payload in payloads)
    parser = MessageParser()
    messages = [message for start in range(0, len(wire), size) for message in parser.feed(wire[start : start + size])]
    assert messages == [(BINARY, payload) for payload in payloads]


def test_fragments_are_joined_around_a_ping() -> None:
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
def test_broken_protocol_ends_the_connection(wire: bytes) -> None:
    with pytest.raises(Disconnected):
        MessageParser().feed(wire)


def test_close_frame_gives_its_code_and_reason() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(ReferenceFrame(Opcode(CLOSE), (1008).to_bytes(2, "big") + b"not you").serialize(mask=False))
        with pytest.raises(Disconnected, match=r"1008, not you"):
            WebSocket(near).receive()
