"""Connections are kept, except after a large body, and every request on one is authorised."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local_aws.ledger import timestamp

KEY = "some/key"


@pytest.fixture
def connection(server: Any) -> Iterator[http.client.HTTPConnection]:
    """A connection that does not reopen."""
    made = http.client.HTTPConnection("127.0.0.1", server.reservation.port, timeout=30)
    made.connect()
    made.auto_open = 0
    yield made
    made.close()


@pytest.fixture
def filled(server: Any, bucket: str) -> str:
    server.client("s3").put_object(Bucket=bucket, Key=KEY, Body=b"content")
    return bucket


def ask(
    connection: http.client.HTTPConnection,
    server: Any,
    path: str,
    method: str = "GET",
    body: bytes = b"",
    **headers: str,
) -> tuple[int, bytes]:
    """Status and body of a signed request on the connection."""
    operator = server.reservation.operator
    request = AWSRequest(method, f"{server.reservation.endpoint}{path}", data=body, headers=headers)
    credentials = Credentials(operator.access_key_id, operator.secret_access_key)
    S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(request)
    connection.request(method, path, body=body or None, headers=dict(request.headers.items()))
    answer = connection.getresponse()
    return answer.status, answer.read()


def closed(connection: http.client.HTTPConnection) -> bool:
    """Whether the server has closed it."""
    if connection.sock is None:
        return True
    connection.sock.settimeout(0.2)
    try:
        return connection.sock.recv(1, socket.MSG_PEEK) == b""
    except TimeoutError:
        return False


def test_reads_share_a_connection(server: Any, filled: str, connection: http.client.HTTPConnection) -> None:
    since, path = timestamp(), f"/{filled}/{KEY}"
    assert ask(connection, server, path) == (200, b"content")
    assert ask(connection, server, path, "HEAD") == (200, b"")
    assert ask(connection, server, f"/{filled}/nothing")[0] == 404
    assert b"<Key>some/key</Key>" in ask(connection, server, f"/{filled}?list-type=2")[1]
    assert ask(connection, server, path, Range="bytes=1-3") == (206, b"ont")
    assert ask(connection, server, path, "HEAD") == (200, b"")
    assert not closed(connection)
    lines = server.ledger("--since", since, "--bucket", filled)
    actions = ["GetObject", "HeadObject", "GetObject", "ListObjectsV2", "GetObject", "HeadObject"]
    assert [line["action"] for line in lines] == actions
    assert [line["status"] for line in lines] == [200, 200, 404, 200, 206, 200]


def test_large_object_arrives_whole_on_kept_connection(
    server: Any, bucket: str, connection: http.client.HTTPConnection
) -> None:
    content = bytes(range(256)) * 8192
    server.client("s3").put_object(Bucket=bucket, Key=KEY, Body=content)
    for _ in range(2):
        assert ask(connection, server, f"/{bucket}/{KEY}") == (200, content)


def test_kept_connection_still_needs_signatures(
    server: Any, filled: str, connection: http.client.HTTPConnection
) -> None:
    path = f"/{filled}/{KEY}"
    assert ask(connection, server, path)[0] == 200
    connection.request("GET", path)
    answer = connection.getresponse()
    assert (answer.status, b"AccessDenied" in answer.read()) == (403, True)
    assert ask(connection, server, path) == (200, b"content")


def test_fault_hits_a_kept_connection_too(
    server: Any, filled: str, connection: http.client.HTTPConnection, faults: Callable[..., Any]
) -> None:
    assert ask(connection, server, f"/{filled}/{KEY}")[0] == 200
    faults("throttle", "service=s3", "action=GetObject", "count=1")
    assert [ask(connection, server, f"/{filled}/{KEY}")[0] for _ in range(2)] == [503, 200]


def test_writes_share_a_connection_too(server: Any, filled: str, connection: http.client.HTTPConnection) -> None:
    path = f"/{filled}/{KEY}"
    assert ask(connection, server, path, "PUT", b"new")[0] == 200
    assert ask(connection, server, path) == (200, b"new")
    assert ask(connection, server, path, "GET", b"an unexpected body") == (200, b"new")
    assert ask(connection, server, path, "PUT", b"")[0] == 200
    assert ask(connection, server, path) == (200, b"")
    assert ask(connection, server, path, "DELETE") == (204, b"")
    assert ask(connection, server, path)[0] == 404
    assert not closed(connection)


def test_expect_continue_is_answered(server: Any, filled: str) -> None:
    with socket.create_connection(("127.0.0.1", server.reservation.port), timeout=30) as plain:
        plain.sendall(
            f"PUT /{filled}/k HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert plain.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        plain.sendall(b"abc")
        assert plain.recv(1 << 16).startswith(b"HTTP/1.1 403 ")


def test_connection_is_closed_after_a_large_body(
    server: Any, filled: str, connection: http.client.HTTPConnection
) -> None:
    assert ask(connection, server, f"/{filled}/{KEY}", "PUT", bytes(1 << 20))[0] == 200
    assert closed(connection)


def test_connection_close_is_honoured(server: Any, filled: str) -> None:
    with socket.create_connection(("127.0.0.1", server.reservation.port), timeout=30) as plain:
        plain.sendall(f"GET /{filled}/{KEY} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: plain.recv(1 << 16), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 ") and b"Connection: close" in head
    assert f"Content-Length: {len(body)}".encode() in head
