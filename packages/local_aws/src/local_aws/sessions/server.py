"""Session Manager's data channels: creates sessions and tokens, and serves their WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import re
import secrets
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from local_aws.sessions.agent import AgentSession, ShellOpener, State, new_token

SHELL_DOCUMENT = "SSM-SessionManagerRunShell"
CHANNEL_PATH = "/v1/data-channel/"
OPEN_PATIENCE = 10.0  # seconds for a client's first message, the token
CALL_PATIENCE = 30.0
GRACE = 60.0
MAX_FRAME = 1024 * 1024
POLICY_VIOLATION = 1008  # close code, RFC 6455 section 7.4.1

log = logging.getLogger("local_aws.sessions")
Result = TypeVar("Result")


class UnknownSession(Exception):
    """The session does not exist or has ended."""


class UnsupportedDocument(Exception):
    """The requested session document is not supported."""


class SessionServer:
    """All sessions of the embedded AWS; thread-safe."""

    def __init__(self, open_shell: ShellOpener, host: str = "127.0.0.1", *, grace: float = GRACE) -> None:
        """Prepare; ``start`` listens. ``grace``: seconds that a session without a socket waits for its client."""
        self._open_shell = open_shell
        self._host = host
        self._grace = grace
        self._sessions: dict[str, AgentSession] = {}  # touched on the loop only
        self._mid_line: dict[str, Callable[[], None]] = {}  # likewise: instances to isolate in mid-line
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.port = 0
        """The TCP port; 0 while the server is stopped."""

    def start(self) -> None:
        """Listen on a free port, in a thread; OSError without one, RuntimeError if it is running already."""
        if self._thread is not None:
            raise RuntimeError("the session server is running already")
        loop = asyncio.new_event_loop()
        self._loop = loop
        self._thread = threading.Thread(target=loop.run_forever, name="ssm-sessions", daemon=True)
        self._thread.start()
        try:
            self._server = self._call(self._listen())
        except OSError:
            self._end_loop()
            raise
        self.port = int(self._server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        """End all sessions and their shells, and stop listening; no error if it is not running."""
        if self._thread is None:
            return
        try:
            self._call(self._shut_down())
        finally:
            self._end_loop()

    def start_session(
        self,
        instance_id: str,
        document_name: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        *,
        owner: str = "local",
    ) -> dict[str, str]:
        """Create a session, whose shell starts when a client has connected; return the API's answer.

        ``parameters`` are ignored, as the shell document has none; ``owner`` is the first part of the session id.

        Raises:
            UnsupportedDocument: Another document than ``SSM-SessionManagerRunShell``.
            OSError: The system has no pty left.
        """
        if document_name not in (None, SHELL_DOCUMENT):
            raise UnsupportedDocument(f"session document: expected {SHELL_DOCUMENT}, got {document_name}")
        name = re.sub(r"[^\w+=,.@-]", "-", owner, flags=re.ASCII) or "local"
        return self._call(self._create(f"{name}-{secrets.token_hex(9)[:17]}", instance_id, owner))

    def resume_session(self, session_id: str) -> dict[str, str]:
        """Replace the token of a session; UnknownSession if it does not exist or has ended."""
        return self._call(self._renew(session_id))

    def terminate_session(self, session_id: str) -> dict[str, str]:
        """End a session and kill its shell; as on AWS no error if it has ended."""
        self._call(self._terminate(lambda session: session.id == session_id, ""))
        return {"SessionId": session_id}

    def close_instance(self, instance_id: str) -> None:
        """End all sessions of a terminated instance."""
        found = (lambda session: session.instance_id == instance_id), f"{instance_id} is gone"
        self._call(self._terminate(*found, machine_gone=True))

    def isolate(self, instance_id: str) -> None:
        """Stop all frames of an instance's sessions; their sockets stay open."""

        async def isolate() -> None:
            for session in self._of(instance_id):
                session.isolate()

        self._call(isolate())

    def isolate_in_mid_line(self, instance_id: str, on_isolated: Callable[[], None]) -> None:
        """Isolate an instance in the next long output of a session; then call ``on_isolated``, in a thread."""

        def torn() -> None:
            if self._mid_line.pop(instance_id, None) is not None:
                on_isolated()
            for session in self._of(instance_id):
                session.isolate()

        async def prepare() -> None:
            self._mid_line[instance_id] = torn
            for session in self._of(instance_id):
                session.isolate_in_mid_line(torn)

        self._call(prepare())

    def cut(self, target: str) -> int:
        """Drop the sockets of an instance or a session without notice; return their number."""

        async def cut() -> int:
            chosen = [item for item in self._sessions.values() if target in (item.id, item.instance_id)]
            return sum(session.cut() for session in chosen)

        return self._call(cut())

    def sessions(self) -> list[dict[str, Any]]:
        """The live sessions: ``id``, ``instance_id``, ``owner``, ``started`` (ISO 8601) and ``state``."""

        async def listing() -> list[dict[str, Any]]:
            return [session.describe() for session in self._sessions.values() if session.state is not State.ENDED]

        return self._call(listing()) if self._thread is not None else []

    async def _listen(self) -> Server:
        # No keep-alive pings: loopback reports a dead peer anyway, and a stopped one (Ctrl-Z) must not be dropped.
        return await serve(
            self._handle,
            self._host,
            0,
            compression=None,
            ping_interval=None,
            open_timeout=OPEN_PATIENCE,
            close_timeout=2,
            max_size=MAX_FRAME,
            logger=log,
        )

    async def _create(self, session_id: str, instance_id: str, owner: str) -> dict[str, str]:
        def forget(ended: AgentSession) -> None:
            self._sessions.pop(ended.id, None)

        session = AgentSession(session_id, instance_id, owner, self._open_shell, self._grace, forget)
        self._sessions[session_id] = session
        if instance_id in self._mid_line:
            session.isolate_in_mid_line(self._mid_line[instance_id])
        return self._answer(session)

    def _of(self, instance_id: str) -> list[AgentSession]:
        return [session for session in self._sessions.values() if session.instance_id == instance_id]

    async def _renew(self, session_id: str) -> dict[str, str]:
        session = self._sessions.get(session_id)
        if session is None:
            raise UnknownSession(f"session {session_id} does not exist or has ended")
        session.token = new_token()
        return self._answer(session)

    def _answer(self, session: AgentSession) -> dict[str, str]:
        path = f"{CHANNEL_PATH}{quote(session.id, safe='')}?role=publish_subscribe"
        return {
            "SessionId": session.id,
            "TokenValue": session.token,
            "StreamUrl": f"ws://{self._host}:{self.port}{path}",
        }

    async def _terminate(
        self, chosen: Callable[[AgentSession], bool], output: str, *, machine_gone: bool = False
    ) -> None:
        found = [session for session in list(self._sessions.values()) if chosen(session)]
        ending = [session.terminate(output, machine_gone=machine_gone) for session in found]
        await asyncio.gather(*ending)

    async def _handle(self, connection: ServerConnection) -> None:
        path = urlsplit(connection.request.path).path if connection.request is not None else ""
        try:
            opening = await asyncio.wait_for(connection.recv(), OPEN_PATIENCE)
        except (TimeoutError, ConnectionClosed):
            return
        session_id = unquote(path.removeprefix(CHANNEL_PATH)) if path.startswith(CHANNEL_PATH) else ""
        session = self._sessions.get(session_id)
        if session is None or not hmac.compare_digest(_token(opening), session.token.encode()):
            log.warning("rejected a client with a wrong token or an unknown session on %s", path)
            await connection.close(POLICY_VIOLATION, "the session is unknown or the token is not valid")
            return
        await session.serve(connection)

    async def _shut_down(self) -> None:
        await self._terminate(lambda _: True, "the embedded AWS was stopped", machine_gone=True)
        self._server.close()
        await self._server.wait_closed()

    def _end_loop(self) -> None:
        assert self._loop is not None and self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_PATIENCE)
        self._loop.close()
        self._loop = self._thread = None
        self.port = 0

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine on the loop, from another thread, and wait for its result."""
        if self._loop is None:
            work.close()
            raise RuntimeError("the session server is not running")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_PATIENCE)


def _token(opening: str | bytes) -> bytes:
    with contextlib.suppress(ValueError):
        content = json.loads(opening)
        if isinstance(content, dict):
            return str(content.get("TokenValue", "")).encode(errors="replace")
    return b""
