"""One socket of a session, at the agent's end."""

from __future__ import annotations

import asyncio
import contextlib

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from local_aws.sessions.frames import Frame

CLOSE_PATIENCE = 2.0


class Link:
    """One socket of a session; frames are queued, so that a client that does not read blocks nothing."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._sender = asyncio.create_task(self._send())
        self.was_cut = False
        self.muted = False
        """Frames are dropped while the connection stays open."""
        self._last: bytes | None = None

    @property
    def idle(self) -> bool:
        """Whether the queue is empty."""
        return self._queue.empty()

    def put(self, frame: Frame) -> None:
        """Queue a frame."""
        if not self.muted and self._last is None:
            self._queue.put_nowait(frame.pack())

    def put_last(self, frame: Frame) -> None:
        """Queue a frame and drop everything after it."""
        self._last = frame.pack()
        self._queue.put_nowait(self._last)

    def drop(self) -> None:
        """Abort the connection without notice."""
        self._sender.cancel()
        self._connection.transport.abort()

    async def close(self) -> None:
        """Send what is queued, then close; abort if the client does not read."""
        self._queue.put_nowait(None)
        await asyncio.wait([self._sender], timeout=CLOSE_PATIENCE)
        self._sender.cancel()
        await self._connection.close()

    async def _send(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while (data := await self._queue.get()) is not None:
                if not self.muted:
                    await self._connection.send(data)
                self.muted = self.muted or data is self._last
