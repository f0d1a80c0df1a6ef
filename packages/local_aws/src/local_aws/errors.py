"""AWS errors in every wire protocol."""

from __future__ import annotations

import json
import secrets
from html import escape

from werkzeug.wrappers import Response


class AwsError(Exception):
    """An error answer: AWS error code such as ``AccessDenied``, message, and HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def respond(error: AwsError, protocol: str) -> Response:
    """Encode ``error`` for ``protocol`` (``ec2``, ``query``, ``json``, ``rest-json``, ``rest-xml``, CBOR)."""
    identifier = secrets.token_hex(8)
    code, message = escape(error.code), escape(error.message)
    headers = {"x-amzn-RequestId": identifier}
    if protocol in ("json", "rest-json"):
        body = json.dumps({"__type": error.code, "message": error.message, "Message": error.message})
        headers["x-amzn-errortype"] = error.code
        return Response(body, error.status, headers, mimetype="application/x-amz-json-1.1")
    if protocol == "smithy-rpc-v2-cbor":
        headers["smithy-protocol"] = "rpc-v2-cbor"
        payload = b"\xa2" + b"".join(map(_cbor_text, ("__type", error.code, "message", error.message)))
        return Response(payload, error.status, headers, mimetype="application/cbor")
    detail = f"<Code>{code}</Code><Message>{message}</Message>"
    if protocol == "ec2":
        body = f"<Response><Errors><Error>{detail}</Error></Errors><RequestID>{identifier}</RequestID></Response>"
    elif protocol == "query":
        detail = f"<Error><Type>Sender</Type>{detail}</Error><RequestId>{identifier}</RequestId>"
        body = f"<ErrorResponse>{detail}</ErrorResponse>"
    else:
        body = f"<Error>{detail}<RequestId>{identifier}</RequestId></Error>"
    return Response('<?xml version="1.0" encoding="UTF-8"?>\n' + body, error.status, headers, mimetype="text/xml")


def access_denied(principal: str, permission: str, resource: str, protocol: str) -> AwsError:
    """The error of a request that no policy allows, worded as AWS words it."""
    where = f" on resource: {resource}" if resource != "*" else ""
    message = f"User: {principal} is not authorized to perform: {permission}{where}"
    code = {"ec2": "UnauthorizedOperation", "json": "AccessDeniedException", "rest-json": "AccessDeniedException"}
    status = 400 if protocol == "json" else 403
    return AwsError(code.get(protocol, "AccessDenied"), message, status)


def throttled(service: str, protocol: str) -> AwsError:
    """The throttling error of a service."""
    if protocol == "ec2":
        return AwsError("RequestLimitExceeded", "Request limit exceeded.", 503)
    if service == "s3":
        return AwsError("SlowDown", "Please reduce your request rate.", 503)
    return AwsError("ThrottlingException" if "json" in protocol else "Throttling", "Rate exceeded", 400)


def _cbor_text(text: str) -> bytes:
    """Encode a CBOR text string (RFC 8949, major type 3) of up to 65,535 bytes."""
    data = text.encode()[:65535]
    if len(data) < 24:
        return bytes([0x60 | len(data)]) + data
    if len(data) < 256:
        return bytes([0x78, len(data)]) + data
    return b"\x79" + len(data).to_bytes(2, "big") + data
