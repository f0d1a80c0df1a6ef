from __future__ import annotations

import hashlib
import json
import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_aws.sessions.frames import (
    Frame,
    FrameError,
    MessageType,
    PayloadType,
    acknowledged_sequence,
    acknowledgement,
    random_id,
    uuid_text,
)

frames = st.builds(
    Frame,
    st.sampled_from(MessageType),
    st.binary(max_size=3000),
    payload_type=st.integers(0, 2**32 - 1),
    sequence=st.integers(0, 2**63 - 1),
    flags=st.integers(0, 3),
    message_id=st.binary(min_size=16, max_size=16),
    created_ms=st.integers(0, 2**63 - 1),
)


@given(frames)
def test_frame_survives_the_wire(frame: Frame) -> None:
    assert Frame.unpack(frame.pack()) == frame


def test_frame_has_the_layout_of_the_protocol() -> None:
    identifier = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    frame = Frame(
        MessageType.INPUT,
        b"ls\n",
        payload_type=PayloadType.OUTPUT,
        sequence=7,
        message_id=identifier.bytes,
        created_ms=5,
    )
    wire = frame.pack()
    assert wire[0:4] == struct.pack(">I", 116)
    assert wire[4:36] == b"input_stream_data".ljust(32)
    assert wire[36:64] == struct.pack(">IQqQ", 1, 5, 7, 0)
    assert wire[64:80] == bytes.fromhex("8899aabbccddeeff0011223344556677")
    assert wire[80:112] == hashlib.sha256(b"ls\n").digest()
    assert wire[112:] == struct.pack(">II", 1, 3) + b"ls\n"


@given(frames, st.data())
def test_damaged_payload_is_refused(frame: Frame, data: st.DataObject) -> None:
    wire = bytearray(frame.pack() + b"!")
    wire[116:120] = struct.pack(">I", len(frame.payload) + 1)
    with pytest.raises(FrameError, match="digest"):
        Frame.unpack(bytes(wire))
    if frame.payload:
        wire = bytearray(frame.pack())
        wire[120 + data.draw(st.integers(0, len(frame.payload) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        with pytest.raises(FrameError, match="digest"):
            Frame.unpack(bytes(wire))


@given(st.binary(max_size=400))
def test_arbitrary_bytes_raise_frame_error(data: bytes) -> None:
    with pytest.raises(FrameError):
        Frame.unpack(data)


def test_frame_errors_name_the_problem() -> None:
    wire = Frame(MessageType.OUTPUT, b"x").pack()
    for position, value, complaint in (
        (0, struct.pack(">I", 99), "header length: expected 116, got 99"),
        (4, b"gossip".ljust(32), "unknown message type"),
        (4, b"\xff" * 32, "unknown message type"),
        (36, struct.pack(">I", 2), "schema version: expected 1, got 2"),
        (116, struct.pack(">I", 9), "payload length: expected 1, got 9"),
    ):
        with pytest.raises(FrameError, match=complaint):
            Frame.unpack(wire[:position] + value + wire[position + len(value) :])


def test_type_padded_with_zeros_is_read_too() -> None:
    wire = bytearray(Frame(MessageType.ACKNOWLEDGE, b"{}").pack())
    wire[4:36] = b"acknowledge".ljust(32, b"\0")
    assert Frame.unpack(bytes(wire)).message_type is MessageType.ACKNOWLEDGE


def test_acknowledgement_names_its_message() -> None:
    frame = Frame(MessageType.OUTPUT, b"x", sequence=41)
    answer = Frame.unpack(acknowledgement(frame).pack())
    assert answer.message_type is MessageType.ACKNOWLEDGE
    assert answer.flags == 3
    assert acknowledged_sequence(answer) == 41
    assert json.loads(answer.payload) == {
        "AcknowledgedMessageType": "output_stream_data",
        "AcknowledgedMessageId": str(uuid.UUID(bytes=frame.message_id)),
        "AcknowledgedMessageSequenceNumber": 41,
        "IsSequentialMessage": True,
    }


@pytest.mark.parametrize("payload", [b"", b"nonsense", b"[]", b"{}", b'{"AcknowledgedMessageSequenceNumber": "1"}'])
def test_acknowledgement_without_sequence_is_refused(payload: bytes) -> None:
    with pytest.raises(FrameError):
        acknowledged_sequence(Frame(MessageType.ACKNOWLEDGE, payload))


def test_message_id_is_a_random_uuid() -> None:
    first, second = random_id(), random_id()
    assert first != second
    assert uuid_text(first) == str(uuid.UUID(bytes=first))
    assert uuid.UUID(bytes=first).version == 4
    assert uuid.UUID(bytes=first).variant == uuid.RFC_4122
