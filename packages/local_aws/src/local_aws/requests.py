"""What one HTTP request asks of AWS: service, operation, IAM permission, resources.

Operations of REST services are found by their URI templates in botocore's own service models, so that no table
of paths is kept here.
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

# Signing name -> the name that IAM, the ledger and people use.
SERVICE_NAMES = {"monitoring": "cloudwatch", "email": "ses", "tagging": "tag"}
REST_SERVICES = {"s3", "scheduler"}

# Operations whose IAM permission is spelt differently (Service Authorization Reference, Amazon S3).
S3_PERMISSIONS = {
    "HeadObject": "GetObject",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListBuckets": "ListAllMyBuckets",
    "DeleteObjects": "DeleteObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
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
    """One request, understood as far as its headers and (small) body tell."""

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
        """Whether it only asks if it would be allowed (EC2)."""
        return str(self.parameters.get("DryRun", "")).lower() == "true"

    @property
    def bucket(self) -> str | None:
        """The S3 bucket of the request, if it has one."""
        return (self.path.lstrip("/").split("/", 1)[0] or None) if self.service == "s3" else None

    @property
    def resources(self) -> list[str]:
        """ARNs the operation acts on, ``*`` for one that acts on none; empty where they are not derived here."""
        return resources.of(self)

    @property
    def resource(self) -> str:
        """The resources as one text for the ledger; ``*`` where there are none."""
        return " ".join(self.resources) or "*"

    def request_tags(self) -> dict[str, str]:
        """Tags that the request would put on what it makes (EC2 ``TagSpecification``, CreateTags)."""
        tags: dict[str, str] = {}
        for name, value in self.parameters.items():
            match = re.match(r"^(?:TagSpecification\.\d+\.)?Tag\.(\d+)\.Key$", name)
            if match:
                tags[str(value)] = str(self.parameters.get(f"{name.removesuffix('.Key')}.Value", ""))
        return tags


# The request that this thread answers: moto's back ends are not given every parameter of it.
current: ContextVar[AwsRequest | None] = ContextVar("current", default=None)


def parameters_now() -> dict[str, Any]:
    """The parameters of the request being answered; empty where a back end is called without one."""
    request = current.get()
    return request.parameters if request else {}


def parse(environ: dict[str, Any]) -> AwsRequest:
    """Understand a WSGI request; the body of everything but an upload to S3 is read and put back.

    A request without a recognisable signature comes back with ``access_key_id`` None and service ``s3``, as
    anonymous S3 requests are the only unsigned ones AWS would consider.
    """
    headers = {
        name[5:].replace("_", "-").title(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    }
    if environ.get("CONTENT_TYPE"):
        headers["Content-Type"] = environ["CONTENT_TYPE"]
    if environ.get("CONTENT_LENGTH"):
        headers["Content-Length"] = environ["CONTENT_LENGTH"]
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
        request.action = _operations(request.service).match(request)
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
    """The JSON object in a body; empty where there is none (moto will say what is wrong with it)."""
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _cbor(body: bytes) -> dict[str, Any]:
    """The CBOR object in a body; empty where there is none that botocore's parser of answers can read."""
    parser = RpcV2CBORParser()
    try:
        found = parser.parse_data_item(parser.get_peekable_stream_from_bytes(body)) if body else {}
    except (ResponseParserError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _keys(body: bytes) -> list[str]:
    """Object keys named in the body of DeleteObjects."""
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
        """How specifically this operation fits a request of its method; -1 where it does not."""
        for name, value in self.query:  # first: for most operations this tells, and costs less than the pattern
            if name not in request.query or (value and request.query[name][0] != value):
                return -1
        if not self.pattern.fullmatch(request.path):
            return -1
        if any(name.title() not in request.headers for name in self.headers):
            return -1
        return len(self.query) + len(self.headers)


class _Operations:
    """The operations of one REST service, by URI template."""

    def __init__(self, service: str) -> None:
        model = botocore.session.get_session().get_service_model(service)
        self._by_method: dict[str, list[_Operation]] = {}
        for name in model.operation_names:
            operation = self._read(model.operation_model(name))
            self._by_method.setdefault(operation.method, []).append(operation)

    @staticmethod
    def _read(model: Any) -> _Operation:
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

    def match(self, request: AwsRequest) -> str:
        best, most = "Unknown", -1
        for operation in self._by_method.get(request.method, ()):
            score = operation.score(request)
            if score > most:  # of equals the first, as the model lists them
                best, most = operation.name, score
        return best


@functools.cache
def _operations(service: str) -> _Operations:
    return _Operations(service)
