"""Run as a program: an instance's metadata service (IMDSv2), and in front of an S3 a recorder that lets only reads by.

Usage: aws_front.py <port of the S3> <log>. Prints its own port. Each line of the log is one request in JSON.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "metadata-token"
ACCESS_KEY = "ASIAFROMMETADATA"
ROLES = "/latest/meta-data/iam/security-credentials"
S3_PORT = int(sys.argv[1])
LOG = Path(sys.argv[2])
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
            times = {"LastUpdated": now, "Expiration": now + timedelta(hours=5)}
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
        with LOCK, LOG.open("a") as log:
            log.write(json.dumps(line) + "\n")

    def _forward(self) -> None:
        upstream = http.client.HTTPConnection("127.0.0.1", S3_PORT, timeout=30)
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

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: standard output carries the port."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    print(server.server_port, flush=True)
    server.serve_forever()
