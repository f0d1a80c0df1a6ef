"""The binary message of a data channel: AWS calls it an AgentMessage.

Layout and numbers are those of the public client (github.com/aws/session-manager-plugin, ``src/message``)::

    0    4   header length, 116 (its own four bytes counted, the payload length not)
    4    32  message type, padded with blanks
    36   4   schema version, 1
    40   8   created, milliseconds since the epoch
    48   8   sequence number
    56   8   flags: 1 SYN, 2 FIN
    64   16  message id, a UUID whose two halves are swapped
    80   32  SHA-256 of the payload
    112  4   payload type
    116  4   payload length
    120  …   payload

All integers are big-endian. ``session-manager-plugin`` imports this once per Ansible task: imports are cheap ones only
(no ``dataclasses``, ``typing`` or ``uuid``).
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
from enum import IntEnum, StrEnum

HEADER = struct.Struct(">I32sIqqQ16s32sII")
HEADER_LENGTH = HEADER.size - 4
SCHEMA_VERSION = 1
FLAG_SYN = 1
FLAG_FIN = 2


class FrameError(ValueError):
    """Bytes are not a valid frame."""


class MessageType(StrEnum):
    """Type of a frame."""

    INPUT = "input_stream_data"
    OUTPUT = "output_stream_data"
    ACKNOWLEDGE = "acknowledge"
    CHANNEL_CLOSED = "channel_closed"
    START_PUBLICATION = "start_publication"
    PAUSE_PUBLICATION = "pause_publication"


class PayloadType(IntEnum):
    """Type of the payload of a stream message."""

    NONE = 0  # not a stream message
    OUTPUT = 1  # plain bytes, in both directions
    ERROR = 2
    SIZE = 3
    PARAMETER = 4
    HANDSHAKE_REQUEST = 5
    HANDSHAKE_RESPONSE = 6
    HANDSHAKE_COMPLETE = 7
    ENCRYPTION_CHALLENGE_REQUEST = 8
    ENCRYPTION_CHALLENGE_RESPONSE = 9
    FLAG = 10
    STDERR = 11
    EXIT_CODE = 12


class Flag(IntEnum):
    """The number in a payload of type FLAG, four bytes."""

    DISCONNECT_PORT = 1
    TERMINATE_SESSION = 2
    CONNECT_PORT_ERROR = 3


class Frame:
    """One immutable message."""

    __slots__ = ("created_ms", "flags", "message_id", "message_type", "payload", "payload_type", "sequence")

    def __init__(
        self,
        message_type: MessageType,
        payload: bytes,
        *,
        payload_type: int = PayloadType.NONE,
        sequence: int = 0,
        flags: int = 0,
        message_id: bytes | None = None,
        created_ms: int | None = None,
    ) -> None:
        """Create a frame.

        Args:
            message_type: Its type.
            payload: Its content.
            payload_type: A PayloadType, or an unknown number from the other side.
            sequence: Position in the stream, from 0; control messages have 0.
            flags: FLAG_SYN and FLAG_FIN, or-ed.
            message_id: UUID, 16 bytes in network order; random (version 4) if None.
            created_ms: Milliseconds since the epoch; now if None.
        """
        self.message_type = message_type
        self.payload = payload
        self.payload_type = payload_type
        self.sequence = sequence
        self.flags = flags
        self.message_id = message_id if message_id is not None else random_id()
        self.created_ms = created_ms if created_ms is not None else int(time.time() * 1000)

    def __eq__(self, other: object) -> bool:
        """Whether all fields are equal."""
        if not isinstance(other, Frame):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # compared by content, so not a key

    def __repr__(self) -> str:
        """Type, sequence number and size."""
        return f"Frame({self.message_type}, #{self.sequence}, type {self.payload_type}, {len(self.payload)} bytes)"

    def pack(self) -> bytes:
        """The frame on the wire."""
        head = HEADER.pack(
            HEADER_LENGTH,
            self.message_type.encode().ljust(32),
            SCHEMA_VERSION,
            self.created_ms,
            self.sequence,
            self.flags,
            self.message_id[8:] + self.message_id[:8],
            hashlib.sha256(self.payload).digest(),
            self.payload_type,
            len(self.payload),
        )
        return head + self.payload

    @classmethod
    def unpack(cls, data: bytes) -> Frame:
        """Read a frame off the wire.

        Raises:
            FrameError: Wrong length, unknown type or version, or wrong digest.
        """
        if len(data) < HEADER.size:
            raise FrameError(f"frame: expected at least {HEADER.size} bytes, got {len(data)}")
        head, kind, version, created, sequence, flags, swapped, digest, payload_type, length = HEADER.unpack_from(data)
        payload = bytes(data[HEADER.size :])
        for name, expected, found in (
            ("header length", HEADER_LENGTH, head),
            ("schema version", SCHEMA_VERSION, version),
            ("payload length", len(payload), length),
        ):
            if found != expected:
                raise FrameError(f"{name}: expected {expected}, got {found}")
        if hashlib.sha256(payload).digest() != digest:
            raise FrameError("the payload does not match its digest")
        try:
            message_type = MessageType(kind.rstrip(b"\0 ").decode("ascii"))
        except ValueError as error:
            raise FrameError(f"unknown message type {kind!r}") from error
        return cls(
            message_type,
            payload,
            payload_type=payload_type,
            sequence=sequence,
            flags=flags,
            message_id=swapped[8:] + swapped[:8],
            created_ms=created,
        )

    def json(self) -> dict[str, object]:
        """The payload as a JSON object.

        Raises:
            FrameError: It is not one.
        """
        try:
            value = json.loads(self.payload)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise FrameError(f"payload of {self!r}: expected a JSON object")
        return value


def random_id() -> bytes:
    """A random UUID, version 4 (RFC 9562), as 16 bytes in network order."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


def uuid_text(message_id: bytes) -> str:
    """A message id in the usual notation, ``8-4-4-4-12`` hexadecimal digits."""
    text = message_id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def acknowledgement(frame: Frame) -> Frame:
    """The acknowledgement of ``frame``."""
    content = {
        "AcknowledgedMessageType": str(frame.message_type),
        "AcknowledgedMessageId": uuid_text(frame.message_id),
        "AcknowledgedMessageSequenceNumber": frame.sequence,
        "IsSequentialMessage": True,  # constant in AWS's client too
    }
    return Frame(MessageType.ACKNOWLEDGE, json.dumps(content).encode(), flags=FLAG_SYN | FLAG_FIN)


def acknowledged_sequence(frame: Frame) -> int:
    """The sequence number in an ``acknowledge`` message.

    Raises:
        FrameError: It has none.
    """
    sequence = frame.json().get("AcknowledgedMessageSequenceNumber")
    if not isinstance(sequence, int):
        raise FrameError(f"AcknowledgedMessageSequenceNumber: expected a number, got {sequence!r}")
    return sequence
