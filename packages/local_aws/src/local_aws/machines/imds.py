"""The instance metadata service of one machine, on a loopback port.

Clients find it by ``AWS_EC2_METADATA_SERVICE_ENDPOINT`` instead of 169.254.169.254. Paths, tokens and documents as in
the EC2 user guide ("Instance metadata categories", "Use IMDSv2", "Spot Instance interruption notices").
"""

from __future__ import annotations

import datetime as dt
import hmac
import json
import re
import secrets
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol, TypeAlias

MAX_TTL_SECONDS = 21600
_TTL = "X-aws-ec2-metadata-token-ttl-seconds"
_TOKEN = "X-aws-ec2-metadata-token"
_VERSION = re.compile(r"latest|1\.0|\d{4}-\d{2}-\d{2}")

Tree: TypeAlias = "dict[str, Tree | str | bytes | Callable[[], str]]"


@dataclass(frozen=True)
class InstanceFacts:
    """The metadata of an instance.

    Attributes:
        life_cycle: ``spot`` or ``on-demand``.
        launched_at: Time of launch (aware).
        http_tokens: ``required`` (IMDSv2 only) or ``optional``.
        http_endpoint: ``enabled`` or ``disabled``.
        role: Name of the role in the instance profile; None without a profile.
        user_data: Decoded; None without user data.
        tags: Instance tags if the launch enabled them in metadata, else None.
    """

    instance_id: str
    ami_id: str
    instance_type: str
    life_cycle: str
    private_ip: str
    hostname: str
    availability_zone: str
    region: str
    account_id: str
    launched_at: dt.datetime
    http_tokens: str = "required"
    http_endpoint: str = "enabled"
    role: str | None = None
    profile_arn: str | None = None
    profile_id: str | None = None
    user_data: bytes | None = None
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Credentials:
    """Keys of the instance's role. ``issued_at`` and ``expires_at`` are aware."""

    access_key_id: str
    secret_access_key: str
    token: str
    issued_at: dt.datetime
    expires_at: dt.datetime


@dataclass(frozen=True)
class Notices:
    """Notices of EC2: a spot interruption (action and time) and a rebalance recommendation; None without one."""

    interruption_action: str = "terminate"
    interruption_at: dt.datetime | None = None
    rebalance_at: dt.datetime | None = None


class MetadataProvider(Protocol):
    """The source of the service's answers; called in its threads."""

    def facts(self) -> InstanceFacts:
        """The instance as it is now."""

    def credentials(self) -> Credentials | None:
        """Current keys of the instance's role; None without a role."""

    def notices(self) -> Notices:
        """The current notices."""


class MetadataServer:
    """One instance's metadata service; listens from construction to ``close``."""

    def __init__(self, provider: MetadataProvider, port: int = 0) -> None:
        """Listen on 127.0.0.1; ``port`` 0 takes a free port."""
        self.provider = provider
        self._tokens: dict[str, float] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.service = self
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="imds", daemon=True).start()
        self.port = int(self._server.server_address[1])
        self.endpoint = f"http://127.0.0.1:{self.port}"
        """Value for ``AWS_EC2_METADATA_SERVICE_ENDPOINT``."""

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def issue_token(self, ttl: int) -> str:
        """Create a session token that is valid for ``ttl`` seconds."""
        token = secrets.token_urlsafe(42)
        now = time.monotonic()
        with self._lock:
            self._tokens = {each: end for each, end in self._tokens.items() if end > now}
            self._tokens[token] = now + ttl
        return token

    def knows_token(self, token: str) -> bool:
        """Whether ``token`` was issued here and has not expired."""
        now = time.monotonic()
        with self._lock:
            known = list(self._tokens.items())
        return any(hmac.compare_digest(each.encode(), token.encode()) and end > now for each, end in known)


def tree(facts: InstanceFacts, credentials: Callable[[], Credentials | None], notices: Notices) -> Tree:
    """Everything below ``/latest``; a leaf is text, bytes, or a function that returns text on demand."""
    data: Tree = {
        "ami-id": facts.ami_id,
        "hostname": facts.hostname,
        "instance-action": "none",
        "instance-id": facts.instance_id,
        "instance-life-cycle": facts.life_cycle,
        "instance-type": facts.instance_type,
        "local-hostname": facts.hostname,
        "local-ipv4": facts.private_ip,
        "placement": {"availability-zone": facts.availability_zone, "region": facts.region},
        "services": {"domain": "amazonaws.com", "partition": "aws"},
    }
    if facts.role is not None:
        profile = {"InstanceProfileArn": facts.profile_arn, "InstanceProfileId": facts.profile_id}
        info = _json(Code="Success", LastUpdated=_stamp(facts.launched_at), **profile)
        data["iam"] = {"info": info, "security-credentials": {facts.role: lambda: _credentials(credentials())}}
    if notices.interruption_at is not None:
        at = _stamp(notices.interruption_at)
        spot: Tree = {"instance-action": json.dumps({"action": notices.interruption_action, "time": at})}
        if notices.interruption_action == "terminate":
            spot["termination-time"] = at
        data["spot"] = spot
    if notices.rebalance_at is not None:
        notice = json.dumps({"noticeTime": _stamp(notices.rebalance_at)})
        data["events"] = {"recommendations": {"rebalance": notice}}
    if facts.tags is not None:
        data["tags"] = {"instance": dict(facts.tags)}
    top: Tree = {"dynamic": {"instance-identity": {"document": _identity(facts)}}, "meta-data": data}
    if facts.user_data is not None:
        top["user-data"] = facts.user_data
    return top


def look_up(top: Tree, path: str) -> bytes | None:
    """The leaf or folder listing at ``path`` (relative to ``/latest``, with or without trailing slash), or None."""
    node: Tree | str | bytes | Callable[[], str] = top
    for part in (part for part in path.split("/") if part):
        if not isinstance(node, dict) or part not in node:
            return None
        node = node[part]
    if isinstance(node, dict):
        return "\n".join(f"{name}/" if isinstance(node[name], dict) else name for name in sorted(node)).encode()
    if isinstance(node, bytes):
        return node
    return (node if isinstance(node, str) else node()).encode()


def _credentials(keys: Credentials | None) -> str:
    if keys is None:
        return _json(Code="AssumeRoleUnauthorizedAccess", Message="EC2 cannot assume the role of this profile.")
    return _json(
        Code="Success",
        LastUpdated=_stamp(keys.issued_at),
        Type="AWS-HMAC",
        AccessKeyId=keys.access_key_id,
        SecretAccessKey=keys.secret_access_key,
        Token=keys.token,
        Expiration=_stamp(keys.expires_at),
    )


def _identity(facts: InstanceFacts) -> str:
    return _json(
        accountId=facts.account_id,
        architecture="x86_64",
        availabilityZone=facts.availability_zone,
        imageId=facts.ami_id,
        instanceId=facts.instance_id,
        instanceType=facts.instance_type,
        pendingTime=_stamp(facts.launched_at),
        privateIp=facts.private_ip,
        region=facts.region,
        version="2017-09-30",
    )


def _json(**fields: str | None) -> str:
    return json.dumps(fields, indent=2)


def _stamp(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    service: MetadataServer

    def server_bind(self) -> None:
        # HTTPServer's resolves the name of 127.0.0.1, which may take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "EC2ws", ""
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_PUT(self) -> None:
        path = self.path.split("?", 1)[0]
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.service.provider.facts().http_endpoint != "enabled" or self.headers.get("X-Forwarded-For"):
            self._answer(403, b"Forbidden")  # a forwarded request comes from an open proxy
        elif path != "/latest/api/token":
            self._answer(404, b"Not Found")
        else:
            text = self.headers.get(_TTL, "")
            if not text.isdigit() or not 1 <= int(text) <= MAX_TTL_SECONDS:
                self._answer(400, b"Bad Request")
                return
            self._answer(200, self.server.service.issue_token(int(text)).encode(), {_TTL: text})

    def do_GET(self) -> None:
        service = self.server.service
        facts = service.provider.facts()
        token = self.headers.get(_TOKEN)
        if facts.http_endpoint != "enabled":
            self._answer(403, b"Forbidden")
        elif (token is None and facts.http_tokens == "required") or (token and not service.knows_token(token)):
            self._answer(401, b"Unauthorized")
        else:
            version, _, rest = self.path.split("?", 1)[0].lstrip("/").partition("/")
            found: bytes | None = b"latest"
            if version:
                top = tree(facts, service.provider.credentials, service.provider.notices())
                found = look_up(top, rest) if _VERSION.fullmatch(version) else None
            self._answer(404, b"Not Found") if found is None else self._answer(200, found)

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
