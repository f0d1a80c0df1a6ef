"""The client's end of a data channel: standard input to the shell, its output to standard output.

One ``poll`` loop; only standard output has a thread (see ``output``). Every Ansible task imports it, so imports are few
and rare ones (terminal modes) are local.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator

from local_aws.sessions import frames
from local_aws.sessions.frames import Flag, Frame, FrameError, MessageType, PayloadType
from local_aws.sessions.output import OutputWriter
from local_aws.sessions.stream import ReceiveStream, SendStream
from local_aws.sessions.websocket import BINARY, TEXT, Disconnected, WebSocket

CLIENT_VERSION = "1.2.0.0"  # AWS's client whose behaviour this follows
INPUT_SIZE = 1024  # bytes of standard input in a message, as in AWS's client
SHELL_TYPES = ("Standard_Stream", "InteractiveCommands", "NonInteractiveCommands")
SUCCESS, UNSUPPORTED = 1, 3  # action status in a handshake response
CONNECT_PATIENCE = 10.0
HANDSHAKE_PATIENCE = 30.0
RESUME_ATTEMPTS = 6  # waits of 0.1, 0.2 … 1.6 s between them: AWS's client has 5 retries, doubled
QUIT_PATIENCE = 1.0  # seconds for the agent's answer to a terminate flag
EOF_PATIENCE = 10.0  # seconds of silence after the end of standard input that end the session
OUTPUT_LIMIT = 1024 * 1024  # unwritten output beyond which no message is acknowledged
# Ctrl-D ends the input of a terminal. After an unfinished line the first one only submits that line, and a foreground
# command may consume one: the shell gets the last.
END_OF_INPUT = b"\x04\x04\x04"
KEYS = {signal.SIGINT: b"\x03", signal.SIGQUIT: b"\x1c", signal.SIGTSTP: b"\x1a"}


class SessionLost(Exception):
    """The session is lost; the text is one line for the user."""


class _Interrupted(BaseException):  # not an Exception: botocore wraps those
    """A signal arrived during a blocking call outside the loop."""


class SessionClient:
    """One session, from its connection to its end."""

    def __init__(
        self,
        session_id: str,
        stream_url: str,
        token: str,
        resume: Callable[[], str],
        stdin: int = 0,
        stdout: int = 1,
        eof_patience: float = EOF_PATIENCE,
    ) -> None:
        """Prepare a session; ``run`` connects.

        Args:
            session_id: Its id.
            stream_url: Address of the data channel.
            token: Opens the channel.
            resume: Returns a new token after a lost socket, or raises SessionLost.
            stdin: Descriptor for input.
            stdout: Descriptor for output.
            eof_patience: See EOF_PATIENCE.
        """
        self._session_id = session_id
        self._url = stream_url
        self._token = token
        self._resume = resume
        self._stdin = stdin
        self._eof_patience = eof_patience
        self._terminal = os.isatty(stdin)
        # As aws_ssm runs it: a pty that is no longer read at the end, so waiting for it would hang both.
        self._output_patience = 2.0 if os.isatty(stdout) and not self._terminal else None
        self._stdout = stdout
        self._client_id = frames.uuid_text(frames.random_id())
        self._sent = SendStream(MessageType.INPUT)
        self._received = ReceiveStream()
        self._held: list[Frame] = []  # acknowledgements delayed while standard output is behind
        self._socket: WebSocket | None = None
        self._poll = select.poll()
        self._ready = False  # the handshake is done
        self._ended = False  # the channel was closed
        self._eof_at: float | None = None
        self._quit_at: float | None = None
        self._signals: deque[int] = deque()
        self._interruptible = False
        self._exit_code = 0

    def run(self) -> int:
        """Run the session to its end.

        Returns:
            0 when the session has ended, 128 + n when signal n ended it.

        Raises:
            SessionLost: The connection is lost for good, or the handshake failed.
        """
        wake_read, self._wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._output = OutputWriter(self._stdout, self._wake)
        try:
            with self._signal_handlers(), self._terminal_mode():
                self._output.write(f"\nStarting session with SessionId: {self._session_id}\n".encode())
                self._poll.register(wake_read, select.POLLIN)
                with contextlib.suppress(_Interrupted), self._interrupts():
                    self._connect_or_resume()
                self._loop(wake_read)
        finally:
            if self._socket is not None:
                self._socket.close()
            self._output.close(QUIT_PATIENCE if self._quit_at is not None else self._output_patience)
        return self._exit_code

    def _loop(self, wake_read: int) -> None:
        handshake_by = time.monotonic() + HANDSHAKE_PATIENCE
        while not self._ended:
            events = dict(self._poll.poll(self._wait_ms()))
            now = time.monotonic()
            if wake_read in events:
                _drain(wake_read)
            self._handle_signals(now)
            try:
                self._exchange(events, now)
            except Disconnected as error:
                if self._quit_at is not None:
                    return
                with contextlib.suppress(_Interrupted), self._interrupts():
                    self._reconnect(str(error))
            if self._output.broken and self._quit_at is None:
                self._quit(now, 1)
            if self._quit_at is not None and now >= self._quit_at:
                return
            if not self._ready and now > handshake_by:
                raise SessionLost(f"the agent did not answer within {HANDSHAKE_PATIENCE:.0f} s")
            self._end_after_silence(now)

    def _exchange(self, events: dict[int, int], now: float) -> None:
        socket = self._connected()
        if socket.fileno() in events:
            for message in socket.receive():
                self._receive(message, now)
        if self._stdin in events and self._reads_input():
            self._read_input(now)
        for frame in self._sent.due(now):
            socket.send(BINARY, frame.pack())
        if self._held and self._output.backlog < OUTPUT_LIMIT:
            for acknowledgement in self._held:
                socket.send(BINARY, acknowledgement.pack())
            self._held.clear()
        socket.flush()
        self._poll.register(socket.fileno(), select.POLLIN | (select.POLLOUT if socket.wants_write else 0))
        if self._reads_input():
            self._poll.register(self._stdin, select.POLLIN)
        else:
            with contextlib.suppress(KeyError):
                self._poll.unregister(self._stdin)

    def _connected(self) -> WebSocket:
        if self._socket is None:
            raise Disconnected("not connected")
        return self._socket

    def _reads_input(self) -> bool:
        return self._ready and self._eof_at is None and self._quit_at is None and self._sent.has_room

    def _wait_ms(self) -> int | None:
        """Timeout for ``poll``, in milliseconds, rounded up; None for no timeout."""
        deadlines = [when for when in (self._sent.deadline(), self._quit_at) if when is not None]
        if not self._ready or self._eof_at is not None:
            deadlines.append(time.monotonic() + 0.5)
        if not deadlines:
            return None
        return max(0, int((min(deadlines) - time.monotonic()) * 1000) + 1)

    def _receive(self, message: bytes, now: float) -> None:
        try:
            frame = Frame.unpack(message)
            if frame.message_type is MessageType.ACKNOWLEDGE:
                self._sent.acknowledge(frames.acknowledged_sequence(frame), now)
            elif frame.message_type is MessageType.CHANNEL_CLOSED:
                self._output.write(_farewell(self._session_id, frame.json().get("Output")))
                self._ended = True
            elif frame.message_type is MessageType.OUTPUT:
                acknowledge, ready = self._received.receive(frame)
                if acknowledge:
                    self._held.append(frames.acknowledgement(frame))
                for item in ready:
                    self._handle(item, now)
        except FrameError:
            return  # damaged: without an acknowledgement it is sent again

    def _handle(self, frame: Frame, now: float) -> None:
        if frame.payload_type in (PayloadType.OUTPUT, PayloadType.ERROR, PayloadType.STDERR):
            self._output.write(frame.payload)
            if self._eof_at is not None:
                self._eof_at = now
        elif frame.payload_type == PayloadType.HANDSHAKE_REQUEST:
            self._send(PayloadType.HANDSHAKE_RESPONSE, _handshake_response(frame), now)
        elif frame.payload_type == PayloadType.HANDSHAKE_COMPLETE:
            message = frame.json().get("CustomerMessage")
            self._output.write(f"{message}\n".encode() if message else b"")
            self._ready = True
            self._send_size(now)

    def _read_input(self, now: float) -> None:
        try:
            data = os.read(self._stdin, INPUT_SIZE)
        except OSError:
            data = b""  # closed, or its terminal is gone
        if data:
            self._send(PayloadType.OUTPUT, data, now)
        else:
            self._eof_at = now
            self._send(PayloadType.OUTPUT, END_OF_INPUT, now)

    def _send(self, payload_type: PayloadType, payload: bytes, now: float) -> None:
        frame = self._sent.send(payload_type, payload, now)
        if self._socket is not None:
            self._socket.send(BINARY, frame.pack())

    def _send_size(self, now: float) -> None:
        with contextlib.suppress(OSError):
            columns, rows = os.get_terminal_size(self._stdout)
            if columns and rows:
                self._send(PayloadType.SIZE, json.dumps({"cols": columns, "rows": rows}).encode(), now)

    def _quit(self, now: float, exit_code: int) -> None:
        self._exit_code = exit_code
        self._quit_at = now + QUIT_PATIENCE
        self._send(PayloadType.FLAG, Flag.TERMINATE_SESSION.to_bytes(4, "big"), now)

    def _end_after_silence(self, now: float) -> None:
        """End a session whose shell ignores the end of its input; AWS's client does not wait at all."""
        if self._eof_at is not None and self._quit_at is None and now - self._eof_at > self._eof_patience:
            self._quit(now, 0)

    def _connect_or_resume(self) -> None:
        try:
            self._connect()
        except Disconnected as error:
            self._reconnect(str(error))

    def _connect(self) -> None:
        self._socket = WebSocket.connect(self._url, CONNECT_PATIENCE)
        opening = {
            "MessageSchemaVersion": "1.0",
            "RequestId": frames.uuid_text(frames.random_id()),
            "TokenValue": self._token,
            "ClientId": self._client_id,
            "ClientVersion": CLIENT_VERSION,
        }
        self._socket.send(TEXT, json.dumps(opening).encode())
        now = time.monotonic()
        for frame in self._sent.replay(now):
            self._socket.send(BINARY, frame.pack())
        self._exchange({self._socket.fileno(): select.POLLIN}, now)

    def _reconnect(self, reason: str) -> None:
        for attempt in range(RESUME_ATTEMPTS):
            self._drop_socket()
            if attempt:
                time.sleep(0.1 * 2 ** (attempt - 1))
            self._token = self._resume()
            try:
                self._connect()
                return
            except Disconnected as error:
                reason = str(error)
        raise SessionLost(f"session {self._session_id} was lost: {reason}")

    def _drop_socket(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(KeyError):
                self._poll.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # the pipe is full: the loop is being woken already
            os.write(self._wake_write, b"w")

    def _on_signal(self, number: int, _: object) -> None:
        self._signals.append(number)
        self._wake()
        if self._interruptible and number != signal.SIGWINCH:
            raise _Interrupted

    def _handle_signals(self, now: float) -> None:
        while self._signals:
            number = self._signals.popleft()
            if number == signal.SIGWINCH:
                if self._ready:
                    self._send_size(now)
            elif self._terminal and number in KEYS:
                self._send(PayloadType.OUTPUT, KEYS[signal.Signals(number)], now)
            elif self._quit_at is None:
                self._quit(now, 128 + number)

    @contextlib.contextmanager
    def _signal_handlers(self) -> Iterator[None]:
        wanted = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH]
        wanted += [signal.SIGQUIT, signal.SIGTSTP] if self._terminal else []
        # Python runs a handler only between two bytecode instructions: a signal just before ``poll``, or in another
        # thread, would wait for the next event. The wake-up descriptor interrupts ``poll`` at once.
        former_descriptor = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        former = {number: signal.signal(number, self._on_signal) for number in wanted}
        try:
            yield
        finally:
            signal.set_wakeup_fd(former_descriptor)
            for number, handler in former.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def _interrupts(self) -> Iterator[None]:
        """Let a signal interrupt a blocking call; the loop then finds it in the queue."""
        self._interruptible = True
        try:
            if any(number != signal.SIGWINCH for number in self._signals):
                raise _Interrupted
            yield
        finally:
            self._interruptible = False

    @contextlib.contextmanager
    def _terminal_mode(self) -> Iterator[None]:
        if not self._terminal:
            yield
            return
        import termios
        import tty

        former = termios.tcgetattr(self._stdin)
        try:
            tty.setcbreak(self._stdin)
            yield
        finally:
            termios.tcsetattr(self._stdin, termios.TCSADRAIN, former)


def _handshake_response(request: Frame) -> bytes:
    done: list[dict[str, object]] = []
    errors: list[str] = []
    actions = request.json().get("RequestedClientActions")
    for action in actions if isinstance(actions, list) else []:
        kind, parameters = action.get("ActionType"), action.get("ActionParameters") or {}
        wanted = parameters.get("SessionType")
        fault = ""
        if kind != "SessionType":
            fault = f"Unsupported action {kind}"
        elif wanted not in SHELL_TYPES:
            fault = f"Unknown session type {wanted}"
        errors += [fault] if fault else []
        status = UNSUPPORTED if fault else SUCCESS
        done.append({"ActionType": kind, "ActionStatus": status, "ActionResult": None, "Error": fault})
    return json.dumps({"ClientVersion": CLIENT_VERSION, "ProcessedClientActions": done, "Errors": errors}).encode()


def _farewell(session_id: str, output: object) -> bytes:
    """The last line of output, with the agent's reason for an abnormal end."""
    text = f"SessionId: {session_id} : {output}" if output else f"Exiting session with sessionId: {session_id}."
    return f"\n\n{text}\n\n".encode()


def _drain(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass
