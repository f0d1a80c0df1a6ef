"""HTTP connections that stay open between requests, as those of AWS do.

werkzeug closes every connection after one answer, because part of the body may be unread. This handler reads a small
body before it answers; a body that is large or of unknown length is left to werkzeug. Otherwise a client of many small
objects spends much of its time on connecting.
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
"""Seconds after which an idle connection is closed and its thread ends."""

SMALL = 1 << 16
"""Largest body, in bytes, that is read, or sent with the headers, at once."""


class Handler(WSGIRequestHandler):
    """HTTP/1.1, silent: the ledger is the log."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    # Small answers on a kept connection would otherwise wait for the client's delayed acknowledgement.
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""

    def log(self, type: str, message: str, *args: Any) -> None:
        """Log errors only."""
        if type == "error":
            log.error(message, *args)

    def log_error(self, format: str, *args: Any) -> None:
        """Log errors except timeouts of idle connections."""
        if not any(isinstance(argument, TimeoutError) for argument in args):
            super().log_error(format, *args)

    def run_wsgi(self) -> None:
        """Answer one request, and keep the connection if that is safe."""
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
            # As in the gateway: the log gets the traceback, the caller an answer.
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
        head, sent = "\r\n".join([*lines, "", ""]).encode("latin-1"), b"" if bodiless else body
        if len(sent) <= SMALL:
            self.wfile.write(head + sent)
        else:
            self.wfile.write(head)
            self.wfile.write(sent)
