"""Messages with file descriptors over a connected unix stream socket.

One frame is a 4-byte big-endian length and a JSON object; descriptors ride on the length (``SCM_RIGHTS``, unix(7)).
A stream, not ``SOCK_SEQPACKET``: a command line and its environment may be larger than a socket buffer.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

MAX_BYTES = 16 * 1024 * 1024
MAX_DESCRIPTORS = 8
_LENGTH = struct.Struct("!I")


class FrameError(OSError):
    """The peer violates the protocol, or hung up in the middle of a frame."""


def send(sock: socket.socket, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one frame with copies of ``descriptors``; lone surrogates (undecodable arguments) survive."""
    body = json.dumps(message).encode()
    socket.send_fds(sock, [_LENGTH.pack(len(body))], list(descriptors))
    sock.sendall(body)


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Receive a message and its descriptors (close-on-exec, the caller's to close); None at the end of the stream.

    Raises:
        FrameError: The stream ended inside a frame, or is invalid; no descriptor stays open.
    """
    descriptors: list[int] = []
    try:
        head = b""
        while len(head) < _LENGTH.size:
            # Never read past the head: descriptors of the next frame would be lost.
            part, got, flags, _ = socket.recv_fds(sock, _LENGTH.size - len(head), MAX_DESCRIPTORS)
            descriptors += got
            for descriptor in got:
                os.set_inheritable(descriptor, False)  # recv_fds drops its flags argument, so no MSG_CMSG_CLOEXEC
            if flags & socket.MSG_CTRUNC:
                raise FrameError("too many descriptors in one frame")
            if not part:
                if head:
                    raise FrameError("the stream ended inside a frame")
                return None
            head += part
        (length,) = _LENGTH.unpack(head)
        if length > MAX_BYTES:
            raise FrameError(f"a frame of {length} bytes is over the limit of {MAX_BYTES}")
        body = bytearray()
        while len(body) < length:
            part = sock.recv(min(length - len(body), 1 << 16))
            if not part:
                raise FrameError("the stream ended inside a frame")
            body += part
        message = json.loads(body)
        if not isinstance(message, dict):
            raise FrameError("frame: expected a JSON object")
    except (OSError, ValueError) as error:
        for descriptor in descriptors:
            os.close(descriptor)
        raise error if isinstance(error, OSError) else FrameError(f"frame: expected JSON: {error}") from error
    return message, descriptors


def receive_or_none(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """As ``receive``, but None also when the peer is gone or sends an invalid frame."""
    with contextlib.suppress(OSError):
        return receive(sock)
    return None
