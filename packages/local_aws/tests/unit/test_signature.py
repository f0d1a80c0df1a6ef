"""Verification of signatures that botocore makes."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local_aws import signature
from local_aws.errors import AwsError
from local_aws.requests import AwsRequest, parse

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
HOST = "http://127.0.0.1:4566"


def signed(method: str, path: str, signer: Any, service: str, body: bytes = b"", **headers: Any) -> dict[str, Any]:
    """The WSGI environment of a request signed by botocore."""
    request = AWSRequest(method, HOST + path, headers={**headers, "Host": "127.0.0.1:4566"}, data=body)
    signer(Credentials("AKIAEXAMPLE", SECRET, "a/token+"), service, "us-east-1").add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    made: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": parts.path,
        "QUERY_STRING": parts.query,
        "REQUEST_URI": parts.path + (f"?{parts.query}" if parts.query else ""),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    for name, value in prepared.headers.items():
        text = value.decode() if isinstance(value, bytes) else value
        made[f"HTTP_{name.upper().replace('-', '_')}"] = text
    return made


def verifies(environ: dict[str, Any], secret: str = SECRET) -> bool:
    request = parse({**environ, "wsgi.input": io.BytesIO(environ["wsgi.input"].getvalue())})
    return bool(signature.given(request)) and signature.expected(request, secret) == signature.given(request)


PATHS = ["/", "/bucket/plain", "/bucket/a%20b", "/bucket/a%2Bb", "/bucket/%C3%BC", "/b/k?list-type=2&prefix=a%2Fb&x"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("signer", [S3SigV4Auth, S3SigV4QueryAuth])
def test_botocore_signatures_for_s3_verify(path: str, signer: Any) -> None:
    environ = signed("GET", path, signer, "s3")
    assert verifies(environ)
    assert not verifies(environ, SECRET.lower())


@pytest.mark.parametrize("signer", [SigV4Auth, SigV4QueryAuth])
@pytest.mark.parametrize("path", ["/", "/schedules/a%20b", "/schedules/x?groupName=g&q=a%20b"])
def test_botocore_signatures_for_other_services_verify(signer: Any, path: str) -> None:
    environ = signed("GET", path, signer, "scheduler")
    assert verifies(environ)
    assert not verifies(environ, "other")


@pytest.mark.parametrize(
    "change",
    [
        {"REQUEST_METHOD": "DELETE"},
        {"REQUEST_URI": "/schedules/other?groupName=g"},
        {"REQUEST_URI": "/schedules/name?groupName=h"},
        {"HTTP_HOST": "example.org"},
        {"HTTP_X_AMZ_DATE": "20200101T000000Z"},
        {"HTTP_X_AMZ_SECURITY_TOKEN": "another"},
        {"wsgi.input": io.BytesIO(b'{"b": 1}')},
    ],
    ids=lambda change: next(iter(change)),
)
def test_changes_after_signing_are_detected(change: dict[str, Any]) -> None:
    environ = signed("POST", "/schedules/name?groupName=g", SigV4Auth, "scheduler", b'{"a": 1}')
    assert verifies(environ)
    assert not verifies({**environ, **change})


def test_header_blanks_fold_as_in_botocore() -> None:
    headers: dict[str, Any] = {"X-Amz-Meta-Note": "  two   words "}
    environ = signed("GET", "/bucket/k", S3SigV4Auth, "s3", **headers)
    assert "x-amz-meta-note" in environ["HTTP_AUTHORIZATION"]
    assert verifies(environ)


def test_unsigned_request_has_no_signature() -> None:
    request = AwsRequest("GET", "/", {}, {}, "s3", "us-east-1", "GetObject", "rest-xml", None, False)
    assert signature.given(request) == ""
    assert signature.expected(request, SECRET) != ""


def presigned(**query: str) -> AwsRequest:
    listed = {name.replace("_", "-"): [value] for name, value in query.items()}
    return AwsRequest("GET", "/b/k", listed, {}, "s3", "us-east-1", "GetObject", "rest-xml", "A", True)


def test_presigned_request_expires_after_its_seconds() -> None:
    ends = signature.expires(presigned(X_Amz_Date="20260101T000000Z", X_Amz_Expires="90"))
    assert ends == datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=90)


@pytest.mark.parametrize(
    "query", [{}, {"X_Amz_Date": "20260101T000000Z"}, {"X_Amz_Date": "today", "X_Amz_Expires": "9"}]
)
def test_presigned_request_needs_date_and_expiry(query: dict[str, str]) -> None:
    with pytest.raises(AwsError, match="AuthorizationQueryParametersError"):
        signature.expires(presigned(**query))
