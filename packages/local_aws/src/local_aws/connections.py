"""HTTP connections of the embedded AWS: kept open between requests, as AWS keeps them.

werkzeug closes every connection after one answer, because it cannot know what of a body is still unread. Here a small
body is read before the request is answered, so that nothing is unread; a large one, or one of unknown length, goes
werkzeug's way. Who reads or writes many small objects spends much of the time on connections otherwise.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from werkzeug.serving import WSGIRequestHandler

log = logging.getLogger("local_aws")

Headers = list[tuple[str, str]]

FAILED = "500 Internal Server Error"

IDLE_SECONDS = 120.0
"""A connection that says nothing for so long is closed, with the thread that waits for it."""

SMALL = 1 << 16
"""Bytes of a body that is taken, or sent with the headers, in one piece."""


class Handler(WSGIRequestHandler):
    """HTTP/1.1, silent: the ledger is the log."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    # Small answers on a kept connection would otherwise wait for the client's delayed acknowledgement.
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Not even compose the line."""

    def log(self, type: str, message: str, *args: Any) -> None:
        """Pass errors on, and nothing else."""
        if type == "error":
            log.error(message, *args)

    def log_error(self, format: str, *args: Any) -> None:
        """Leave out that an idle connection was closed."""
        if not any(isinstance(argument, TimeoutError) for argument in args):
            super().log_error(format, *args)

    def run_wsgi(self) -> None:
        """Answer one request, keeping the connection where that is safe."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal() or int(length) > SMALL:
            super().run_wsgi()
            return
        self._answer_and_keep(self.rfile.read(int(length)))

    def _answer_and_keep(self, sent: bytes) -> None:
        status, headers, body = FAILED, Headers(), list[bytes]()

        def start_response(line: str, fields: Headers, exc_info: Any = None, /) -> Callable[[bytes], None]:
            nonlocal status, headers
            status, headers = line, fields
            return body.append

        self.environ = self.make_environ()
        self.environ["wsgi.input"] = io.BytesIO(sent)
        try:
            answer = self.server.app(self.environ, start_response)
            try:
                body.extend(answer)
            finally:
                if hasattr(answer, "close"):
                    answer.close()
        except Exception:
            # The edge of the process, as in the gateway: the log gets the traceback, the caller an answer.
            log.exception("%s %s failed", self.command, self.path)
            status, headers, body = FAILED, [], []
        self._send(status, headers, b"".join(body))

    def _send(self, status: str, headers: Headers, body: bytes) -> None:
        code = int(status.split(" ", 1)[0])
        bodiless = self.command == "HEAD" or code in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        lines = [f"{self.protocol_version} {status}", f"Date: {self.date_time_string()}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if not bodiless and not any(name.lower() == "content-length" for name, _ in headers):
            lines.append(f"Content-Length: {len(body)}")
        if self.close_connection:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        if bodiless:
            self.wfile.write(head)
        elif len(body) <= SMALL:
            self.wfile.write(head + body)
        else:
            self.wfile.write(head)
            self.wfile.write(body)
