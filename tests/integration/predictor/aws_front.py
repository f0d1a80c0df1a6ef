"""Program: an instance's metadata service (IMDSv2), and a proxy to an S3 that records requests and refuses writes.

Usage: aws_front.py <port of the S3> <log> [--credentials-seconds N] [--clock SECONDS] [--deny-list]. Prints its port.
Each line of the log is one request in JSON. `--clock` shifts the date of the answers, `--deny-list` refuses listings.
"""

from __future__ import annotations

import argparse
import http.client
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "metadata-token"
ACCESS_KEY = "ASIAFROMMETADATA"
ROLES = "/latest/meta-data/iam/security-credentials"
PARSER = argparse.ArgumentParser()
PARSER.add_argument("port", type=int)
PARSER.add_argument("log", type=Path)
PARSER.add_argument("--credentials-seconds", type=int, default=5 * 3600)
PARSER.add_argument("--clock", type=int, default=0)
PARSER.add_argument("--deny-list", action="store_true")
OPTIONS = PARSER.parse_args()
LOCK = threading.Lock()


class Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/latest/api/token":
            self._answer(200, TOKEN.encode(), {"x-aws-ec2-metadata-token-ttl-seconds": "21600"})
        else:
            self._record()
            self._answer(403, b"")

    do_POST = do_DELETE = do_PUT

    def do_GET(self) -> None:
        if self.path.startswith("/latest/"):
            self._metadata()
        else:
            self._record()
            if OPTIONS.deny_list and "list-type=2" in self.path:
                self._answer(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
            else:
                self._forward()

    do_HEAD = do_GET

    def _metadata(self) -> None:
        path = self.path.rstrip("/")
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self._answer(401, b"")
        elif path == ROLES:
            self._answer(200, b"trainer")
        elif path == f"{ROLES}/trainer":
            now = datetime.now(UTC)
            times = {"LastUpdated": now, "Expiration": now + timedelta(seconds=OPTIONS.credentials_seconds)}
            body = {
                "Code": "Success",
                "Type": "AWS-HMAC",
                "AccessKeyId": ACCESS_KEY,
                "SecretAccessKey": "secret",
                "Token": "session-token",
                **{name: value.strftime("%Y-%m-%dT%H:%M:%SZ") for name, value in times.items()},
            }
            self._answer(200, json.dumps(body).encode())
        else:
            self._answer(404, b"")

    def _record(self) -> None:
        signed = self.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
        line = {
            "method": self.command,
            "path": self.path,
            "agent": self.headers.get("User-Agent", ""),
            "access_key": signed,
            "session_token": bool(self.headers.get("X-Amz-Security-Token")),
        }
        with LOCK, OPTIONS.log.open("a") as log:
            log.write(json.dumps(line) + "\n")

    def _forward(self) -> None:
        upstream = http.client.HTTPConnection("127.0.0.1", OPTIONS.port, timeout=30)
        upstream.request(self.command, self.path, headers=dict(self.headers.items()))
        answer = upstream.getresponse()
        kept = {
            name: value
            for name, value in answer.getheaders()
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server")
        }
        body = answer.read()
        length = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self._answer(answer.status, body, kept, length)
        upstream.close()

    def _answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, length: str | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date of an answer."""
        return super().date_time_string((time.time() if timestamp is None else timestamp) + OPTIONS.clock)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    print(server.server_port, flush=True)
    server.serve_forever()
