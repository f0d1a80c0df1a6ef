"""Authentication of requests."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from local_aws import identity, signature
from local_aws.errors import AwsError
from local_aws.requests import parse


def test_expired_session_is_refused() -> None:
    identity.iam().create_role("brief", json.dumps({"Version": "2012-10-17", "Statement": []}), "/", None, "", [], None)
    session = identity.assume_role("brief", "i-1", 900)
    date, moment = datetime.now(UTC).strftime("%Y%m%d %Y%m%dT%H%M%SZ").split()
    fields = f"Credential={session.access_key_id}/{date}/us-east-1/s3/aws4_request, SignedHeaders=host"
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/bucket",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_X_AMZ_DATE": moment,
        "HTTP_X_AMZ_SECURITY_TOKEN": session.session_token,
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 {fields}",
    }
    sign = signature.expected(parse(environ), session.secret_access_key)
    environ["HTTP_AUTHORIZATION"] += f", Signature={sign}"
    environ["HTTP_X_AMZ_DATE"] = moment
    try:
        principal = identity.authenticate(parse(environ), "local-operator")
        assert (principal.source, principal.role) == ("i-1", "brief")
        session.expiration = datetime.now(UTC) - timedelta(seconds=1)
        with pytest.raises(AwsError, match="ExpiredToken"):
            identity.authenticate(parse(environ), "local-operator")
    finally:
        identity.iam().delete_role("brief")
