"""The floor: a minimal client that GETs given keys.

Requests are signed before the clock starts. Then a few threads with one connection each send the next request as soon
as the last response arrived; they check only its status and length.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class BareError(Exception):
    """An unexpected response of S3."""


def fetch(bucket: str, keys: Sequence[str], threads: int) -> float:
    """Get every key of a bucket once, with some concurrent requests; the account comes from the environment.

    Returns:
        Seconds from the first connection to the last response.

    Raises:
        BareError: A response is not 200.
    """
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    where = urlsplit(endpoint)
    requests = iter([_signed(endpoint, f"/{bucket}/{quote(key, safe='/-_.~')}") for key in keys])
    started = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        # All threads share one iterator, so that none is idle while requests remain.
        workers = [pool.submit(_work, (str(where.hostname), where.port or 80), requests) for _ in range(threads)]
        done = sum(worker.result() for worker in workers)
    seconds = time.monotonic() - started
    if done != len(keys):
        raise BareError(f"got {done} of {len(keys)} keys")
    return seconds


def _signed(endpoint: str, path: str) -> bytes:
    request = AWSRequest("GET", endpoint + path)
    credentials = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    S3SigV4Auth(credentials, "s3", os.environ["AWS_REGION"]).add_auth(request)
    headers = {"Host": urlsplit(endpoint).netloc, **dict(request.headers.items())}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


def _work(address: tuple[str, int], requests: Iterator[bytes]) -> int:
    done = 0
    with socket.create_connection(address, timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            connection.sendall(request)
            _read(connection)
            done += 1
    return done


def _read(connection: socket.socket) -> None:
    """Read one response from the connection."""
    got = b""
    while (end := got.find(b"\r\n\r\n")) < 0:
        got += _receive(connection)
    if not got.startswith(b"HTTP/1.1 200 ") or not (length := _LENGTH.search(got, 0, end)):
        raise BareError(f"unexpected response: {got[:60]!r}")
    missing = end + 4 + int(length[1]) - len(got)
    while missing > 0:
        missing -= len(_receive(connection))


def _receive(connection: socket.socket) -> bytes:
    part = connection.recv(1 << 16)
    if not part:
        raise BareError("S3 closed the connection")
    return part
