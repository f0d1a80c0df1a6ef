"""The gateway: parses, authenticates, authorises, answers and logs every request.

Registered handlers answer operations that moto lacks, such as SSM sessions; moto answers all others.
"""

from __future__ import annotations

import functools
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Request, Response

from local_aws import errors
from local_aws.authorisation import TagLookup, authorise
from local_aws.errors import AwsError
from local_aws.faults import Fault, Faults
from local_aws.identity import Principal, authenticate
from local_aws.ledger import Ledger
from local_aws.requests import AwsRequest, current, parse
from local_aws.state import Reservation

log = logging.getLogger(__name__)

Handler = Callable[[AwsRequest, Principal], dict[str, Any]]
ADMIN_PREFIX = "/_local_aws/"


class _Moto(DomainDispatcherApplication):
    """Moto's dispatcher with a cache: it scans its own folder twice per request to map a host to a back end."""

    @functools.lru_cache(maxsize=256)  # noqa: B019  # one instance per process
    def get_backend_for_host(self, host: str | None) -> Any:
        return super().get_backend_for_host(host)


class Gateway:
    """The WSGI application of the embedded AWS."""

    def __init__(
        self,
        reservation: Reservation,
        ledger: Ledger,
        faults: Faults,
        admin: Callable[[Request], Response],
        tags_of: TagLookup,
    ) -> None:
        """Create the application; ``admin`` answers the control requests of ``python -m local_aws``."""
        self._reservation = reservation
        self._ledger = ledger
        self._faults = faults
        self._admin = admin
        self._tags_of = tags_of
        self._moto = _Moto(create_backend_app)
        self._handlers: dict[tuple[str, str], Handler] = {}
        self._conditional = [threading.Lock() for _ in range(64)]
        self.last_request = time.monotonic()

    def handle(self, service: str, action: str, handler: Handler) -> None:
        """Answer ``service:action`` with ``handler``, whose return value is sent as JSON 1.1."""
        self._handlers[service, action] = handler

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one WSGI request."""
        if environ.get("PATH_INFO", "").startswith(ADMIN_PREFIX):
            return self._control(Request(environ))(environ, start_response)
        self.last_request = time.monotonic()
        return _Exchange(self, environ, start_response).run()

    def _alone(self, environ: Mapping[str, Any]) -> AbstractContextManager[object]:
        """A lock for conditional writes to a key: moto compares first and writes later."""
        if environ["REQUEST_METHOD"] != "PUT" or not environ.keys() & {"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"}:
            return nullcontext()
        return self._conditional[hash(environ["PATH_INFO"]) % len(self._conditional)]

    def _control(self, request: Request) -> Response:
        if request.headers.get("X-Admin-Token") != self._reservation.admin_token:
            return Response("wrong admin token\n", 403)
        return self._admin(request)


class _Exchange:
    def __init__(self, gateway: Gateway, environ: dict[str, Any], start_response: Any) -> None:
        self._gateway = gateway
        self._environ = environ
        self._start_response = start_response
        self._request = parse(environ)
        self._principal: Principal | None = None
        self._allowed = False
        self._started = time.monotonic()

    def run(self) -> Iterable[bytes]:
        try:
            self._inject_faults()
            self._principal = authenticate(self._request, self._gateway._reservation.operator.user)
            authorise(self._request, self._principal, self._gateway._tags_of)
            self._allowed = True
            handler = self._gateway._handlers.get((self._request.service, self._request.action))
            if handler is None:
                return self._pass_to_moto()
            body = json.dumps(handler(self._request, self._principal))
            self._lose_answer()
            return self._answer(Response(body, 200, mimetype="application/x-amz-json-1.1"), None)
        except AwsError as error:
            return self._answer(errors.respond(error, self._request.protocol), error.code)
        except Exception:
            # The caller gets an AWS error that it can parse, the log the traceback.
            log.exception("%s:%s failed", self._request.service, self._request.action)
            text = f"{self._request.action} failed in the embedded AWS; see server.log"
            failure = AwsError("InternalFailure", text, 500)
            return self._answer(errors.respond(failure, self._request.protocol), failure.code)

    def _inject_faults(self) -> None:
        request, faults = self._request, self._gateway._faults
        facts = {"service": request.service, "action": request.action}
        slow = faults.take("latency", **facts)
        if slow:
            time.sleep(slow.parameters.get("milliseconds", 100.0) / 1000)
        if faults.take("throttle", **facts):
            raise errors.throttled(request.service, request.protocol)
        broken = faults.take("error", late=False, **facts)
        if broken:
            raise _injected(broken)

    def _lose_answer(self) -> None:
        """Raise instead of answering a request that took effect, if a fault says so."""
        request = self._request
        lost = self._gateway._faults.take("error", late=True, service=request.service, action=request.action)
        if lost:
            raise _injected(lost)

    def _pass_to_moto(self) -> Iterable[bytes]:
        head: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(line: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            head.append((line, headers))

        current.set(self._request)
        # Logged once the answer is known: a ledger line says what happened.
        with self._gateway._alone(self._environ):
            answer: Iterable[bytes] = self._gateway._moto(self._environ, start_response)
        code = int(head[-1][0].split()[0])
        if code < 400:
            self._lose_answer()
        self._start_response(*head[-1])
        if code < 400:
            self._record(code, None)
            return answer
        body = b"".join(answer)
        self._record(code, _error_code(body))
        return [body]

    def _answer(self, response: Response, code: str | None) -> Iterable[bytes]:
        self._record(response.status_code, code)
        if self._request.service == "s3" and not self._allowed:
            self._drain()
        return response(self._environ, self._start_response)

    def _drain(self) -> None:
        """Read the rest of an upload, so that its sender sees the answer and not a broken pipe."""
        stream, left = self._environ["wsgi.input"], int(self._environ.get("CONTENT_LENGTH") or 0)
        while left > 0 and (chunk := stream.read(min(left, 1 << 16))):
            left -= len(chunk)

    def _record(self, status: int, code: str | None) -> None:
        caller = (self._principal.arn, self._principal.source) if self._principal else ("anonymous", "unknown")
        self._gateway._ledger.record_request(self._request, caller, self._started, self._allowed, status, code)


def _injected(fault: Fault) -> AwsError:
    return AwsError(
        fault.parameters.get("code", "InternalError"),
        fault.parameters.get("message", "We encountered an internal error. Please try again."),
        fault.parameters.get("status", 500),
    )


def _error_code(body: bytes) -> str | None:
    found = re.search(rb'<Code>([\w.]+)</Code>|"__type":\s*"(?:[\w.]+#)?(\w+)"', body)
    return (found[1] or found[2]).decode() if found else None
