"""Verification of Signature Version 4, in headers and in query strings ("presigned").

Source: AWS General Reference, "Signature Version 4 signing process": canonical request, string to sign, signing key.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from local_aws.errors import AwsError
from local_aws.requests import AwsRequest


def given(request: AwsRequest) -> str:
    """The signature of the request; empty without one."""
    return _parts(request).get("Signature", "")


def expected(request: AwsRequest, secret: str) -> str:
    """The signature (hex) of ``request`` under ``secret``."""
    parts = _parts(request)
    scope = parts.get("Credential", "").partition("/")[2]
    digest = hashlib.sha256(canonical_request(request, parts.get("SignedHeaders", "host")).encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", parts.get("Date", ""), scope, digest])
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def check_clock(request: AwsRequest, now: float | None = None) -> None:
    """Refuse a request that was not signed within 5 minutes of ``now`` (S3: 15), in seconds since the epoch.

    A presigned one has its own expiry.
    """
    if request.presigned:
        return
    now = time.time() if now is None else now
    minutes = 15 if request.service == "s3" else 5
    signed, earliest, latest = (_parts(request).get("Date", ""), _stamp(now - 60 * minutes), _stamp(now + 60 * minutes))
    if earliest <= signed <= latest:  # as text: the format sorts by time
        return
    if request.service == "s3":
        message = "The difference between the request time and the current time is too large."
        raise AwsError("RequestTimeTooSkewed", message, 403)
    if request.service == "ec2":
        raise AwsError("RequestExpired", "Request has expired.", 400)
    if signed < earliest:
        message = f"Signature expired: {signed} is now earlier than {earliest} ({_stamp(now)} - {minutes} min.)"
    else:
        message = f"Signature not yet current: {signed} is still later than {latest} ({_stamp(now)} + {minutes} min.)"
    if "json" in request.protocol:
        raise AwsError("InvalidSignatureException", message, 400 if request.protocol == "json" else 403)
    raise AwsError("SignatureDoesNotMatch", message, 403)


def expires(request: AwsRequest) -> datetime:
    """When a presigned request expires; AwsError if date or expiry is missing or invalid."""
    parts = _parts(request)
    try:
        signed = datetime.strptime(parts["Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return signed + timedelta(seconds=int(parts["Expires"]))
    except (KeyError, ValueError) as error:
        message = "X-Amz-Date and X-Amz-Expires must say when the request was signed and for how many seconds."
        raise AwsError("AuthorizationQueryParametersError", message, 400) from error


def canonical_request(request: AwsRequest, signed_headers: str) -> str:
    """The canonical request, as a text."""
    raw_path, _, raw_query = (request.raw_uri or request.path).partition("?")
    path = _encode(raw_path, "/-_.~")
    if request.service != "s3":
        path = quote(path, safe="/-_.~")  # every service but S3 encodes the path twice
    pairs = sorted(
        (_encode(name), _encode(value))
        for name, _, value in (part.partition("=") for part in raw_query.split("&") if part)
        if name != "X-Amz-Signature"
    )
    names = signed_headers.split(";")
    headers = [f"{name}:{' '.join(request.headers.get(name.title(), '').split())}" for name in names]
    query = "&".join(f"{name}={value}" for name, value in pairs)
    return "\n".join([request.method, path or "/", query, *headers, "", signed_headers, _payload(request)])


def _payload(request: AwsRequest) -> str:
    if request.body_digest is not None:
        return request.body_digest  # of the received body, not what a header claims
    if request.presigned:
        return request.query.get("X-Amz-Content-Sha256", ["UNSIGNED-PAYLOAD"])[0]
    return request.headers.get("X-Amz-Content-Sha256", "")


def _parts(request: AwsRequest) -> dict[str, str]:
    if request.presigned:
        return {name.removeprefix("X-Amz-"): values[0] for name, values in request.query.items()}
    fields = request.headers.get("Authorization", "").partition(" ")[2].split(",")
    parts = {name: value for name, _, value in (field.strip().partition("=") for field in fields)}
    return {**parts, "Date": request.headers.get("X-Amz-Date", "")}


def _stamp(moment: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))


def _encode(text: str, safe: str = "-_.~") -> str:
    return quote(unquote(text), safe=safe)
