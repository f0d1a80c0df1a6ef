"""The ledger of a running server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.ledger import timestamp

FIELDS = {"time", "id", "principal", "source", "service", "action", "permission", "resource", "write", "allowed"}
FIELDS |= {"status", "error", "presigned", "seconds"}


def test_every_request_has_one_line_with_every_field(server: Any, bucket: str, iam_user: Callable[..., Any]) -> None:
    since = timestamp()
    server.client("s3").put_object(Bucket=bucket, Key="k", Body=b"v")
    with pytest.raises(ClientError):
        iam_user()("s3").put_object(Bucket=bucket, Key="k", Body=b"w")
    first, second = server.ledger("--since", since, "--bucket", bucket)
    assert set(first) == set(second) == FIELDS
    assert (first["source"], first["allowed"], first["status"], first["error"]) == ("operator", True, 200, None)
    assert (second["source"], second["allowed"], second["status"], second["error"]) == (
        "control-node",
        False,
        403,
        "AccessDenied",
    )
    assert first["principal"].endswith(":user/local-operator") and second["id"] > first["id"]
    assert [line["action"] for line in server.ledger("--since", since, "--denied")] == ["PutObject"]
    totals = json.loads(server.out("log", "--since", since, "--bucket", bucket, "--count"))
    assert totals == {"requests": 2, "writes": 1, "denied_writes": 1, "calls": {"s3.PutObject": 2}}
    text = server.out("log", "--since", since, "--bucket", bucket)
    assert "DENIED" in text and text.count("s3:PutObject") == 2
