"""The agent's end of a data channel: a shell on a pty, behind an ordered, reliable stream.

A session outlives its sockets. Output that the client has not acknowledged is kept, and the shell goes on, until the
client is back with a new token (ResumeSession) or the grace period is over. Everything here runs on one asyncio loop;
only the calls that may block (starting and killing a shell, waiting for it) run in threads.
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

from local_aws.sessions.frames import (
    Flag,
    Frame,
    FrameError,
    MessageType,
    PayloadType,
    acknowledged_sequence,
    acknowledgement,
    random_id,
    uuid_text,
)
from local_aws.sessions.link import Link
from local_aws.sessions.stream import ReceiveStream, SendStream
from local_aws.sessions.terminal import Terminal

AGENT_VERSION = "3.3.0.0"  # new enough for every feature that clients ask a version for
SESSION_TYPE = "Standard_Stream"
INPUT_LIMIT = 16 * 1024 * 1024  # more than AWS's client holds for resending; beyond it nothing is acknowledged
LONG_PIECE = 128  # bytes of output: no prompt and no marker, but what a command says
DRAIN_PATIENCE = 2.0  # seconds without any acknowledgement after which a client is not waited for at the end

log = logging.getLogger("local_aws.sessions")


class MachineGone(Exception):
    """The machine a shell is wanted on does not run; the text is one line for the person at the other end."""


class ShellProcess(Protocol):
    """A running shell."""

    def wait(self, timeout: float | None) -> int | None:
        """Exit code; None if ``timeout`` seconds passed first. Called from a thread of its own."""

    def kill(self) -> None:
        """Kill the shell and what runs in its session; no error if it is gone."""


# Called in a thread with an instance id and the slave of a pty. Starts an interactive shell with that as its standard
# streams and controlling terminal, on the process's own copy (the caller closes its one when this returns).
ShellOpener = Callable[[str, int], ShellProcess]


class State(StrEnum):
    """Where a session is in its life."""

    CONNECTING = "connecting"  # no client has come yet
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"  # the client lost its socket and may come back
    ENDED = "ended"  # at most the rest of its output is being delivered


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
        """Wait for a client.

        Args:
            session_id: Its id.
            instance_id: Where the shell will run.
            owner: Who started it.
            open_shell: Starts the shell once the client has shaken hands.
            grace: Seconds that the session lives without a socket.
            on_closed: Called when the session is over and everything of it is closed.
        """
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
        self._isolated = False  # the network between the service and the machine is gone, for ever
        self._on_torn: Callable[[], None] | None = None
        self._changed = asyncio.Event()  # an acknowledgement, a socket more or less, or haste
        self._in_haste = False
        self._ending: asyncio.Task[None] | None = None
        self._termination: asyncio.Task[None] | None = None  # only held so that it is not collected
        self._resend_timer: asyncio.TimerHandle | None = None
        self._grace_timer: asyncio.TimerHandle | None = None
        self._created = self._loop.time()
        self._start_grace()

    def describe(self) -> dict[str, Any]:
        """What ``sessions()`` lists; ``started`` is ISO 8601, UTC."""
        return {
            "id": self.id,
            "instance_id": self.instance_id,
            "owner": self.owner,
            "started": self.started.isoformat(timespec="seconds"),
            "state": str(self.state),
        }

    async def serve(self, connection: ServerConnection) -> None:
        """Talk to an authenticated client until its socket is gone; an older socket gives way to it."""
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
            pass  # cut, or a client that was killed: it may come back
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
        """Let no frame pass any more, in either direction; the client's socket stays, and the shell goes on."""
        if self._link is not None and not self._isolated:
            self._link.muted = True
        self._isolated = True

    def isolate_in_mid_line(self, on_torn: Callable[[], None]) -> None:
        """Be isolated when half of the next long piece of output has passed, without an end of line behind it.

        Args:
            on_torn: Called when that is done.
        """
        self._on_torn = on_torn

    async def terminate(self, output: str = "", *, machine_gone: bool = False) -> None:
        """End at once: kill the shell, tell the client, close. Returns when that is done.

        An isolated machine cannot be told: its client's socket is closed, its shell ends with the machine.
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
        """Start the end; ``output`` is what the client prints of it, empty for the normal case."""
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
            await self._opened  # it uses the pty's file descriptor until then
        self._terminal.close()
        self._on_closed(self)

    async def _delivered(self) -> None:
        """Wait until the client has all output, but not for one that is not there or does not answer."""
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
                if self._output.acknowledge(acknowledged_sequence(frame), self._loop.time()):
                    self._changed.set()
                    self._adjust_reading()
            elif frame.message_type is MessageType.INPUT:
                self._receive_input(frame)
            elif frame.message_type in (MessageType.PAUSE_PUBLICATION, MessageType.START_PUBLICATION):
                self._paused = frame.message_type is MessageType.PAUSE_PUBLICATION
                self._adjust_reading()
        except FrameError as error:
            log.warning("session %s: a damaged message was left out: %s", self.id, error)

    def _receive_input(self, frame: Frame) -> None:
        if self._terminal.backlog > INPUT_LIMIT:
            return
        acknowledge, ready = self._input.receive(frame)
        if acknowledge and self._link is not None:
            self._link.put(acknowledgement(frame))
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
                self._end(f"the client refused the handshake: {errors}")
            else:
                self._opened = asyncio.create_task(self._begin())
        elif frame.payload_type == PayloadType.FLAG and frame.payload == Flag.TERMINATE_SESSION.to_bytes(4, "big"):
            self._termination = asyncio.create_task(self.terminate())

    async def _begin(self) -> None:
        """Complete the handshake and start the shell."""
        took = self._loop.time() - self._created
        content = {"HandshakeTimeToComplete": int(took * 1e9), "CustomerMessage": ""}  # Go's Duration: nanoseconds
        self._send(PayloadType.HANDSHAKE_COMPLETE, json.dumps(content).encode())
        try:
            shell = await asyncio.to_thread(self._open_shell, self.instance_id, self._terminal.slave)
        except Exception as error:  # the opener is the caller's: whatever it raises ends this session, not the loop
            log.info("session %s: no shell", self.id, exc_info=True)
            self._end(f"no shell could be started on {self.instance_id}: {error}")
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
        """Wait, in a thread, for the shell's end."""
        try:
            shell.wait(None)
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server was stopped
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
            except Exception:  # the shell is the caller's too; the session ends in any case
                log.warning("session %s: its shell could not be killed", self.id, exc_info=True)

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
        """Read the pty only while the client keeps up; a shell with a full pty waits by itself."""
        if self._shell is not None and self._ending is None:
            self._terminal.set_reading(self._output.has_room and not self._paused)

    def _watch_resends(self) -> None:
        deadline = self._output.deadline()
        if self._resend_timer is None and deadline is not None and self._link is not None:
            # Not earlier than in 50 ms: a socket that is full now will not be empty at once.
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
        self._termination = asyncio.create_task(self.terminate("no client came back in time"))

    def _stop_grace(self) -> None:
        if self._grace_timer is not None:
            self._grace_timer.cancel()
            self._grace_timer = None


def new_token() -> str:
    """A token that lets one client open the data channel."""
    return secrets.token_urlsafe(48)


def _handshake_request() -> bytes:
    parameters = {"SessionType": SESSION_TYPE, "Properties": None}
    actions = [{"ActionType": "SessionType", "ActionParameters": parameters}]
    return json.dumps({"AgentVersion": AGENT_VERSION, "RequestedClientActions": actions}).encode()


def _closed_content(session_id: str, output: str) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    content = {
        "MessageId": uuid_text(random_id()),
        "CreatedDate": now,
        "DestinationId": session_id,
        "SessionId": session_id,
        "MessageType": str(MessageType.CHANNEL_CLOSED),
        "SchemaVersion": 1,
        "Output": output,
    }
    return json.dumps(content).encode()
