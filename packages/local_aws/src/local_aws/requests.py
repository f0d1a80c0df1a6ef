"""Parses an HTTP request into its AWS service, operation, IAM permission and resources.

Operations of REST services are matched by the URI templates of botocore's service models.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import re
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.etree import ElementTree

import botocore.session
from botocore.parsers import ResponseParserError, RpcV2CBORParser

from local_aws import resources

# Signing name -> the name in IAM and in the ledger.
SERVICE_NAMES = {"monitoring": "cloudwatch", "email": "ses", "tagging": "tag"}
REST_SERVICES = {"s3", "scheduler"}

# Operations whose IAM action has another name (Service Authorization Reference, Amazon S3).
S3_PERMISSIONS = {
    "HeadObject": "GetObject",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListBuckets": "ListAllMyBuckets",
    "DeleteObjects": "DeleteObject",
    **dict.fromkeys(("CopyObject", "UploadPart", "UploadPartCopy"), "PutObject"),
    **dict.fromkeys(("CreateMultipartUpload", "CompleteMultipartUpload"), "PutObject"),
    "ListParts": "ListMultipartUploadParts",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
}
CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/(\d{8})/([^/,\s]+)/([^/,\s]+)/aws4_request")


@dataclass
class AwsRequest:
    """A parsed request; bodies of S3 uploads stay unread."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    service: str
    region: str
    action: str
    protocol: str
    access_key_id: str | None
    presigned: bool
    parameters: dict[str, Any] = field(default_factory=dict)
    raw_uri: str = ""
    body_digest: str | None = None

    @property
    def permission(self) -> str:
        """The IAM action the operation needs, for example ``s3:PutObject``."""
        name = S3_PERMISSIONS.get(self.action, self.action) if self.service == "s3" else self.action
        return f"{self.service}:{name}"

    @property
    def dry_run(self) -> bool:
        """Whether it is a dry run (EC2)."""
        return str(self.parameters.get("DryRun", "")).lower() == "true"

    @property
    def bucket(self) -> str | None:
        """The S3 bucket of the request; None without one."""
        return (self.path.lstrip("/").split("/", 1)[0] or None) if self.service == "s3" else None

    @property
    def resources(self) -> list[str]:
        """ARNs that the operation acts on, ``*`` if it has no resource types; empty if they are not derived."""
        return resources.of(self)

    @property
    def resource(self) -> str:
        """The resources as one text for the ledger; ``*`` without any."""
        return " ".join(self.resources) or "*"

    def request_tags(self) -> dict[str, str]:
        """Tags in the request (EC2 ``TagSpecification``, CreateTags)."""
        tags: dict[str, str] = {}
        for name, value in self.parameters.items():
            match = re.match(r"^(?:TagSpecification\.\d+\.)?Tag\.(\d+)\.Key$", name)
            if match:
                tags[str(value)] = str(self.parameters.get(f"{name.removesuffix('.Key')}.Value", ""))
        return tags


# The request that this thread answers: moto does not pass every parameter to its back ends.
current: ContextVar[AwsRequest | None] = ContextVar("current", default=None)


def parameters_now() -> dict[str, Any]:
    """The parameters of the request being answered; empty outside a request."""
    request = current.get()
    return request.parameters if request else {}


def parse(environ: dict[str, Any]) -> AwsRequest:
    """Parse a WSGI request; its body is read and put back, except that of an S3 upload.

    A request without a signature gets ``access_key_id`` None and service ``s3``, the only service to which AWS accepts
    anonymous requests.
    """
    headers = {
        name[5:].replace("_", "-").title(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    }
    for name in ("Content-Type", "Content-Length"):
        if value := environ.get(name.upper().replace("-", "_")):
            headers[name] = value
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    presigned = "X-Amz-Credential" in query
    credential = CREDENTIAL.search(
        f"Credential={query['X-Amz-Credential'][0]}" if presigned else headers.get("Authorization", "")
    )
    key, region, signing = (credential[1], credential[3], credential[4]) if credential else (None, "us-east-1", "s3")
    raw_uri = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "")
    request = AwsRequest(
        method=environ["REQUEST_METHOD"],
        path=unquote(raw_uri.partition("?")[0]) if raw_uri.startswith("/") else environ.get("PATH_INFO", "/"),
        query=query,
        headers=headers,
        service=SERVICE_NAMES.get(signing, signing),
        region=region,
        action="Unknown",
        protocol="rest-xml",
        access_key_id=key,
        presigned=presigned,
        raw_uri=raw_uri,
    )
    if request.service != "s3":
        body = _body(environ)
        request.body_digest = hashlib.sha256(body).hexdigest()
    if request.service not in REST_SERVICES:
        _parse_rpc(request, body)
    else:
        request.protocol = "rest-xml" if request.service == "s3" else "rest-json"
        request.action = _match(request)
        if request.action == "DeleteObjects":
            request.parameters = {"Keys": _keys(_body(environ))}
        elif request.service != "s3":
            request.parameters = _json(body)
    return request


def _body(environ: dict[str, Any]) -> bytes:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes = environ["wsgi.input"].read(length) if length else b""
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _json(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; empty for anything else (moto reports the error)."""
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _cbor(body: bytes) -> dict[str, Any]:
    """The CBOR object in a body; empty if botocore's response parser cannot read it."""
    parser = RpcV2CBORParser()
    try:
        found = parser.parse_data_item(parser.get_peekable_stream_from_bytes(body)) if body else {}
    except (ResponseParserError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _keys(body: bytes) -> list[str]:
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return []
    return [element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == "Key"]


def _parse_rpc(request: AwsRequest, body: bytes) -> None:
    target = request.headers.get("X-Amz-Target")
    operation = re.match(r"^/service/[^/]+/operation/(\w+)$", request.path)
    if target:
        request.protocol, request.action = "json", target.rpartition(".")[2]
        request.parameters = _json(body)
    elif operation:
        request.protocol, request.action = "smithy-rpc-v2-cbor", operation[1]
        request.parameters = _cbor(body)
    else:
        form = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True) or request.query
        request.parameters = {name: values[0] for name, values in form.items()}
        request.action = str(request.parameters.get("Action", "Unknown"))
        request.protocol = "ec2" if request.service == "ec2" else "query"


@dataclass(frozen=True)
class _Operation:
    name: str
    method: str
    pattern: re.Pattern[str]
    query: tuple[tuple[str, str], ...]
    headers: tuple[str, ...]

    def score(self, request: AwsRequest) -> int:
        """How specifically this operation matches a request of its method; -1 if it does not."""
        for name, value in self.query:  # first: this excludes most operations and costs less than the pattern
            if name not in request.query or (value and request.query[name][0] != value):
                return -1
        if not self.pattern.fullmatch(request.path):
            return -1
        if any(name.title() not in request.headers for name in self.headers):
            return -1
        return len(self.query) + len(self.headers)


def _operation(model: Any) -> _Operation:
    path, _, literals = model.http["requestUri"].partition("?")
    pattern = re.sub(r"\\\{\w+\\\+\\\}", ".+", re.escape(path))
    pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", pattern)
    query = [(name, values[0]) for name, values in parse_qs(literals, keep_blank_values=True).items()]
    headers = []
    shape = model.input_shape
    for name in shape.required_members if shape else ():
        place = shape.members[name].serialization
        if place.get("location") == "querystring":
            query.append((place["name"], ""))
        elif place.get("location") == "header":
            headers.append(place["name"])
    return _Operation(model.name, model.http["method"], re.compile(pattern + "/?"), tuple(query), tuple(headers))


@functools.cache
def _operations(service: str) -> dict[str, list[_Operation]]:
    """The operations of a service by HTTP method."""
    model = botocore.session.get_session().get_service_model(service)
    found: dict[str, list[_Operation]] = {}
    for name in model.operation_names:
        operation = _operation(model.operation_model(name))
        found.setdefault(operation.method, []).append(operation)
    return found


def _match(request: AwsRequest) -> str:
    best, most = "Unknown", -1
    for operation in _operations(request.service).get(request.method, ()):
        score = operation.score(request)
        if score > most:  # of equal scores the first in the model wins
            best, most = operation.name, score
    return best
