"""The agent's end of a data channel: a shell on a pty, behind an ordered, reliable stream.

A session outlives its sockets: it keeps unacknowledged output and its shell keeps running until the client returns with
a new token (ResumeSession) or the grace period ends. Everything runs on one asyncio loop, except calls that may block
(starting, killing and awaiting a shell), which run in threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from local_aws.sessions import frames
from local_aws.sessions.frames import Flag, Frame, FrameError, MessageType, PayloadType
from local_aws.sessions.link import Link
from local_aws.sessions.stream import ReceiveStream, SendStream
from local_aws.sessions.terminal import Terminal

AGENT_VERSION = "3.3.0.0"  # supports every feature that clients check for
SESSION_TYPE = "Standard_Stream"
INPUT_LIMIT = 16 * 1024 * 1024  # more than AWS's client keeps for resending; beyond it nothing is acknowledged
LONG_PIECE = 128  # bytes: output of a command, not a prompt or a marker
DRAIN_PATIENCE = 2.0  # seconds without acknowledgement after which the end does not wait for a client

log = logging.getLogger("local_aws.sessions")


class ShellProcess(Protocol):
    """A running shell."""

    def wait(self, timeout: float | None) -> int | None:
        """Exit code; None after ``timeout`` seconds. Called in a thread of its own."""

    def kill(self) -> None:
        """Kill the shell and every process in its session; no error if it has ended."""


# Called in a thread with an instance id and the slave of a pty. Starts an interactive shell on its own copy of the
# slave, as standard streams and controlling terminal; the caller closes its copy afterwards.
ShellOpener = Callable[[str, int], ShellProcess]


class State(StrEnum):
    """State of a session."""

    CONNECTING = "connecting"  # no client has connected yet
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"  # the client lost its socket and may reconnect
    ENDED = "ended"  # the rest of its output may still be in delivery


class AgentSession:
    """One session; its methods run on the loop's thread."""

    def __init__(
        self,
        session_id: str,
        instance_id: str,
        owner: str,
        open_shell: ShellOpener,
        grace: float,
        on_closed: Callable[[AgentSession], None],
    ) -> None:
        """Wait for a client, ``grace`` seconds at most; call ``on_closed`` once everything is closed."""
        self.id = session_id
        self.instance_id = instance_id
        self.owner = owner
        self.started = datetime.now(UTC)
        self.state = State.CONNECTING
        self.token = new_token()
        self._open_shell = open_shell
        self._grace = grace
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._output = SendStream(MessageType.OUTPUT)
        self._input = ReceiveStream()
        self._terminal = Terminal(self._send_output)
        self._shell: ShellProcess | None = None
        self._opened: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._paused = False
        self._isolated = False  # the network between service and machine is gone for good
        self._on_torn: Callable[[], None] | None = None
        self._changed = asyncio.Event()  # set by acknowledgements, new and lost sockets, and terminate()
        self._in_haste = False
        self._ending: asyncio.Task[None] | None = None
        self._termination: asyncio.Task[None] | None = None  # a reference, against garbage collection
        self._resend_timer: asyncio.TimerHandle | None = None
        self._grace_timer: asyncio.TimerHandle | None = None
        self._created = self._loop.time()
        self._start_grace()

    def describe(self) -> dict[str, Any]:
        """The session as ``sessions()`` lists it; ``started`` is ISO 8601, UTC."""
        return {
            "id": self.id,
            "instance_id": self.instance_id,
            "owner": self.owner,
            "started": self.started.isoformat(timespec="seconds"),
            "state": str(self.state),
        }

    async def serve(self, connection: ServerConnection) -> None:
        """Serve an authenticated client until its socket is gone; drop an older socket."""
        link, former = Link(connection), self._link
        link.muted = self._isolated
        self._link = link
        if former is not None:
            former.drop()
        self._stop_grace()
        for frame in self._output.replay(self._loop.time()):
            link.put(frame)
        self._watch_resends()
        self._changed.set()
        if self.state is State.CONNECTING:
            self._send(PayloadType.HANDSHAKE_REQUEST, _handshake_request())
        if self._ending is None:
            self.state = State.CONNECTED
        try:
            async for message in connection:
                if isinstance(message, bytes):
                    self._receive(message)
        except ConnectionClosed:
            pass  # cut, or a killed client: it may reconnect
        finally:
            self._detach(link)

    def cut(self) -> bool:
        """Drop the client's socket without notice; return whether there was one."""
        if self._link is None:
            return False
        self._link.was_cut = True
        self._link.drop()
        return True

    def isolate(self) -> None:
        """Stop all frames in both directions; the client's socket stays open and the shell keeps running."""
        if self._link is not None and not self._isolated:
            self._link.muted = True
        self._isolated = True

    def isolate_in_mid_line(self, on_torn: Callable[[], None]) -> None:
        """Isolate in the middle of the next long piece of output, without a newline; then call ``on_torn``."""
        self._on_torn = on_torn

    async def terminate(self, output: str = "", *, machine_gone: bool = False) -> None:
        """Kill the shell, close the channel with the message ``output``, and return when that is done.

        An isolated machine is unreachable: this closes the client's socket, and the shell ends with the machine.
        """
        if self._isolated and not machine_gone:
            self.cut()
            return
        self._in_haste = True
        self._changed.set()
        self._end(output)
        if self._ending is not None:
            await self._ending

    def _end(self, output: str) -> None:
        if self._ending is None:
            self.state = State.ENDED
            self._ending = asyncio.create_task(self._deliver_and_close(output))

    async def _deliver_and_close(self, output: str) -> None:
        closed = Frame(MessageType.CHANNEL_CLOSED, _closed_content(self.id, output))
        while True:
            await self._delivered()
            await self._kill()
            link = self._link
            if link is not None:
                link.put(closed)
                await link.close()
                if self._in_haste or not link.was_cut:
                    break
            elif self._in_haste or not await self._change(self._grace):
                break
        self._stop_grace()
        if self._resend_timer is not None:
            self._resend_timer.cancel()
        if self._opened is not None:
            await self._opened  # it uses the pty's descriptor until then
        self._terminal.close()
        self._on_closed(self)

    async def _delivered(self) -> None:
        """Wait until a client that is connected and answers has all output."""
        while self._output.pending and self._link is not None and not self._in_haste:
            if not await self._change(DRAIN_PATIENCE):
                return

    async def _change(self, timeout: float) -> bool:
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), timeout)
        except TimeoutError:
            return False
        return True

    def _receive(self, message: bytes) -> None:
        if self._isolated:
            return
        try:
            frame = Frame.unpack(message)
            if frame.message_type is MessageType.ACKNOWLEDGE:
                if self._output.acknowledge(frames.acknowledged_sequence(frame), self._loop.time()):
                    self._changed.set()
                    self._adjust_reading()
            elif frame.message_type is MessageType.INPUT:
                self._receive_input(frame)
            elif frame.message_type in (MessageType.PAUSE_PUBLICATION, MessageType.START_PUBLICATION):
                self._paused = frame.message_type is MessageType.PAUSE_PUBLICATION
                self._adjust_reading()
        except FrameError as error:
            log.warning("session %s: ignored a damaged message: %s", self.id, error)

    def _receive_input(self, frame: Frame) -> None:
        if self._terminal.backlog > INPUT_LIMIT:
            return
        acknowledge, ready = self._input.receive(frame)
        if acknowledge and self._link is not None:
            self._link.put(frames.acknowledgement(frame))
        for item in ready:
            self._handle(item)

    def _handle(self, frame: Frame) -> None:
        if frame.payload_type == PayloadType.OUTPUT:
            self._terminal.write(frame.payload)
        elif frame.payload_type == PayloadType.SIZE:
            rows, columns = frame.json().get("rows"), frame.json().get("cols")
            if isinstance(rows, int) and isinstance(columns, int) and 0 < rows < 65536 and 0 < columns < 65536:
                self._terminal.resize(rows, columns)
        elif frame.payload_type == PayloadType.HANDSHAKE_RESPONSE and self._opened is None:
            errors = frame.json().get("Errors")
            if errors:
                self._end(f"the client rejected the handshake: {errors}")
            else:
                self._opened = asyncio.create_task(self._begin())
        elif frame.payload_type == PayloadType.FLAG and frame.payload == Flag.TERMINATE_SESSION.to_bytes(4, "big"):
            self._termination = asyncio.create_task(self.terminate())

    async def _begin(self) -> None:
        took = self._loop.time() - self._created
        content = {"HandshakeTimeToComplete": int(took * 1e9), "CustomerMessage": ""}  # Go's Duration: nanoseconds
        self._send(PayloadType.HANDSHAKE_COMPLETE, json.dumps(content).encode())
        try:
            shell = await asyncio.to_thread(self._open_shell, self.instance_id, self._terminal.slave)
        except Exception as error:  # any error of the caller's opener ends this session, not the loop
            log.info("session %s: no shell", self.id, exc_info=True)
            self._end(f"cannot start a shell on {self.instance_id}: {error}")
            return
        finally:
            self._terminal.close_slave()
        self._shell = shell
        threading.Thread(target=self._wait, args=(shell,), name=f"shell of {self.id}", daemon=True).start()
        if self._ending is not None:
            await self._kill()
            return
        self._adjust_reading()

    def _wait(self, shell: ShellProcess) -> None:
        try:
            shell.wait(None)
        finally:
            with contextlib.suppress(RuntimeError):  # the server was stopped, and its loop closed
                self._loop.call_soon_threadsafe(self._exited)

    def _exited(self) -> None:
        self._shell = None
        if self._ending is None:
            self._terminal.set_reading(False)
            if self._isolated:
                return
            for data in self._terminal.leftover():
                self._send(PayloadType.OUTPUT, data)
            self._end("")

    async def _kill(self) -> None:
        if self._shell is not None:
            try:
                await asyncio.to_thread(self._shell.kill)
            except Exception:  # an error of the caller's shell must not keep the session open
                log.warning("session %s: cannot kill its shell", self.id, exc_info=True)

    def _send_output(self, data: bytes) -> None:
        if self._on_torn is not None and self._link is not None and len(data) >= LONG_PIECE:
            self._tear(self._link, data[: len(data) // 2].rstrip(b"\r\n"), self._on_torn)
            return
        self._send(PayloadType.OUTPUT, data)
        self._adjust_reading()

    def _tear(self, link: Link, data: bytes, on_torn: Callable[[], None]) -> None:
        self._isolated, self._on_torn = True, None
        link.put_last(self._output.send(PayloadType.OUTPUT, data, self._loop.time()))
        on_torn()

    def _send(self, payload_type: PayloadType, payload: bytes) -> None:
        frame = self._output.send(payload_type, payload, self._loop.time())
        if self._link is not None:
            self._link.put(frame)
            self._watch_resends()

    def _adjust_reading(self) -> None:
        """Read the pty only while the client keeps up; a full pty blocks the shell."""
        if self._shell is not None and self._ending is None:
            self._terminal.set_reading(self._output.has_room and not self._paused)

    def _watch_resends(self) -> None:
        deadline = self._output.deadline()
        if self._resend_timer is None and deadline is not None and self._link is not None:
            # At least 50 ms from now: a full socket needs time to drain.
            when = max(deadline, self._loop.time() + 0.05)
            self._resend_timer = self._loop.call_at(when, self._resend)

    def _resend(self) -> None:
        self._resend_timer = None
        if self._link is not None and self._link.idle:
            for frame in self._output.due(self._loop.time()):
                self._link.put(frame)
        self._watch_resends()

    def _detach(self, link: Link) -> None:
        link.drop()
        if self._link is link:
            self._link = None
            self._changed.set()
            if self._ending is None:
                self.state = State.DISCONNECTED
                self._start_grace()

    def _start_grace(self) -> None:
        self._grace_timer = self._loop.call_later(self._grace, self._grace_is_over)

    def _grace_is_over(self) -> None:
        self._termination = asyncio.create_task(self.terminate("no client reconnected in time"))

    def _stop_grace(self) -> None:
        if self._grace_timer is not None:
            self._grace_timer.cancel()
            self._grace_timer = None


def new_token() -> str:
    """A random token that opens a data channel."""
    return secrets.token_urlsafe(48)


def _handshake_request() -> bytes:
    parameters = {"SessionType": SESSION_TYPE, "Properties": None}
    actions = [{"ActionType": "SessionType", "ActionParameters": parameters}]
    return json.dumps({"AgentVersion": AGENT_VERSION, "RequestedClientActions": actions}).encode()


def _closed_content(session_id: str, output: str) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    content = {
        "MessageId": frames.uuid_text(frames.random_id()),
        "CreatedDate": now,
        "DestinationId": session_id,
        "SessionId": session_id,
        "MessageType": str(MessageType.CHANNEL_CLOSED),
        "SchemaVersion": 1,
        "Output": output,
    }
    return json.dumps(content).encode()
