"""A stand-in for the controller's API on loopback: the part of /api/v2 that the modules of awx.awx 24.6.1 use.

It responds as AWX does and validates every request with `shapes.py` and `rules.py`. It is stricter than AWX, to expose
mistakes: it refuses unknown fields and changed read-only ones, which AWX ignores, and incomplete credentials.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from tools.awx_check import surveys
from tools.awx_check.shapes import Refused, resources, unions
from tools.awx_check.store import ROOT, Missing, Store

VERSION = "24.6.1"
PAGE_SIZE = 25
MOST_PER_PAGE = 200
READ_ONLY = ("GET", "HEAD", "OPTIONS")
#: Requests that only a system administrator may send.
ADMINISTRATORS = (("POST", "organizations"), ("POST", "credential_types"), ("PATCH", "credential_types"))


@dataclass(frozen=True)
class Request:
    """One request and the status of its response."""

    method: str
    path: str
    payload: Any
    status: int

    @property
    def writes(self) -> bool:
        """Whether the method may change data."""
        return self.method not in READ_ONLY


class NotAllowed(Exception):
    """AWX responds with 405, or the stand-in does not support the method."""


class Controller:
    """The stand-in; it listens within `with Controller(project) as controller:`.

    Attributes:
        store: Its objects.
        token: The token that requests must carry.
        requests: Every request so far.
    """

    def __init__(self, project: Path, page_size: int = PAGE_SIZE, superuser: bool = True) -> None:
        """Bind a free port on loopback.

        Args:
            project: The checkout of every project; see `Store`.
            page_size: Default number of objects on a page.
            superuser: Whether the token belongs to a system administrator.
        """
        self.store = Store(project)
        self.token = secrets.token_hex(15)
        self.requests: list[Request] = []
        self._page_size, self._superuser = page_size, superuser
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"controller": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def writes(self) -> list[Request]:
        """The requests that would change something."""
        return [one for one in self.requests if one.writes]

    def __enter__(self) -> Controller:
        """Start serving."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, target: str, payload: Any, token: str | None) -> tuple[int, Any]:
        """Respond to one request.

        Args:
            method: GET, POST, PATCH or DELETE.
            target: Path and query.
            payload: The parsed JSON body.
            token: The request's token.

        Returns:
            HTTP status and body.
        """
        with self._lock:
            status, body = self._answer(method, target, payload, token)
            self.requests.append(Request(method, target, payload, status))
            return status, body

    def _answer(self, method: str, target: str, payload: Any, token: str | None) -> tuple[int, Any]:
        url = urlsplit(target)
        parts = [unquote(part) for part in url.path.removeprefix(ROOT).strip("/").split("/")]
        if not url.path.startswith(f"{ROOT}/"):
            return HTTPStatus.NOT_FOUND, {"detail": "The requested resource could not be found."}
        if parts == ["ping"]:
            return HTTPStatus.OK, {"version": VERSION, "ha": False}
        if token != self.token:
            return HTTPStatus.UNAUTHORIZED, {"detail": "Authentication credentials were not provided."}
        try:
            return self._route(method, parts, dict(parse_qsl(url.query, keep_blank_values=True)), payload, url.path)
        except Refused as error:
            return HTTPStatus.BAD_REQUEST, error.errors
        except Missing:
            return HTTPStatus.NOT_FOUND, {"detail": "Not found."}
        except NotAllowed:
            return HTTPStatus.METHOD_NOT_ALLOWED, {"detail": f'Method "{method}" not allowed.'}

    def _route(
        self, method: str, parts: list[str], query: Mapping[str, str], payload: Any, path: str
    ) -> tuple[int, Any]:
        name, *rest = parts
        if method == "GET" and parts == ["config"]:
            return HTTPStatus.OK, {"version": VERSION, "license_info": {"license_type": "open"}, "time_zone": "UTC"}
        if method == "GET" and parts == ["me"]:
            user = {"id": 1, "type": "user", "username": "admin", "is_superuser": self._superuser}
            return HTTPStatus.OK, self._page([user], query, path)
        if method == "GET" and name == "project_updates" and rest and rest[0].isdigit():
            return HTTPStatus.OK, self.store.project_update(int(rest[0]))
        if method == "GET" and name == "inventory_updates" and rest and rest[0].isdigit():
            return HTTPStatus.OK, self.store.inventory_update(int(rest[0]))
        if name not in resources() and name not in unions():
            raise Missing
        if not self._superuser and (method, name) in ADMINISTRATORS:
            return HTTPStatus.FORBIDDEN, {"detail": "You do not have permission to perform this action."}
        if not rest:
            return self._collection(method, name, query, payload, path)
        number = int(rest[0]) if rest[0].isdigit() else self.store.named(name, rest[0])["id"]
        if len(rest) == 1:
            return self._object(method, name, number, payload)
        if name in unions() or len(rest) > 2:
            raise Missing
        return self._below(method, name, number, rest[1], query, payload, path)

    def _collection(self, method: str, name: str, query: Mapping[str, str], payload: Any, path: str) -> tuple[int, Any]:
        if method == "GET":
            found = [self.store.shown(name, one) for one in self.store.all(name)]
            return HTTPStatus.OK, self._page(_filtered(name, found, query), query, path)
        if method == "POST" and name in resources():
            return HTTPStatus.CREATED, self.store.shown(name, self.store.create(name, payload))
        raise NotAllowed

    def _object(self, method: str, name: str, number: int, payload: Any) -> tuple[int, Any]:
        if method == "GET":
            return HTTPStatus.OK, self.store.shown(name, self.store.need(name, number))
        if method == "PATCH" and name in resources():
            return HTTPStatus.OK, self.store.shown(name, self.store.update(name, number, payload))
        raise NotAllowed

    def _below(
        self, method: str, name: str, number: int, below: str, query: Mapping[str, str], payload: Any, path: str
    ) -> tuple[int, Any]:
        resource, owner = resources()[name], self.store.need(name, number)
        if below in resource.associations:
            if method == "GET":
                to = resource.associations[below]
                found = [self.store.shown(to, one) for one in self.store.associated(name, number, below)]
                return HTTPStatus.OK, self._page(found, query, path)
            if method == "POST":
                self.store.associate(name, number, below, payload)
                return HTTPStatus.NO_CONTENT, None
            raise NotAllowed
        if name in ("projects", "inventory_sources") and below == "update" and method == "POST":
            return HTTPStatus.ACCEPTED, self.store.start_update(name, number)
        if below == "survey_spec" and below in resource.links:
            return self._survey(method, owner, payload)
        if below == "workflow_nodes" and below in resource.links and method == "GET":
            nodes = [
                one for one in self.store.all("workflow_job_template_nodes") if one["workflow_job_template"] == number
            ]
            shown = [self.store.shown("workflow_job_template_nodes", one) for one in nodes]
            return HTTPStatus.OK, self._page(shown, query, path)
        raise Missing

    def _survey(self, method: str, owner: Mapping[str, Any], payload: Any) -> tuple[int, Any]:
        if method == "GET":
            return HTTPStatus.OK, surveys.shown(self.store.survey(owner))
        if method in ("POST", "DELETE"):
            self.store.set_survey(owner, payload if method == "POST" else {})
            return HTTPStatus.OK, {}
        raise NotAllowed

    def _page(self, found: list[dict[str, Any]], query: Mapping[str, str], path: str) -> dict[str, Any]:
        """One page of a list in AWX's format."""
        numbers = [query.get("page_size", str(self._page_size)), query.get("page", "1")]
        if not all(number.isdigit() and int(number) for number in numbers):
            raise Missing
        size, page = min(int(numbers[0]), MOST_PER_PAGE), int(numbers[1])
        last = max(1, -(-len(found) // size))
        if page > last:
            raise Missing

        def link(number: int) -> str | None:
            return f"{path}?{urlencode({**query, 'page': number})}" if 1 <= number <= last else None

        results = found[(page - 1) * size : page * size]
        return {"count": len(found), "next": link(page + 1), "previous": link(page - 1), "results": results}


def _filtered(name: str, found: list[dict[str, Any]], query: Mapping[str, str]) -> list[dict[str, Any]]:
    """The objects that match every `field=value` of a query and at least one `or__field=value`.

    Raises:
        Refused: A field does not exist.
    """
    known = {"id", "type", *(field for one in unions().get(name, [name]) for field in resources()[one].fields)}
    wanted = [(key, value) for key, value in query.items() if key not in ("page", "page_size", "order_by")]
    for key, _ in wanted:
        if key.removeprefix("or__") not in known:
            raise Refused({"detail": [f"{name} has no field named '{key}'"]})

    def holds(one: Mapping[str, Any], key: str, value: str) -> bool:
        return str(one.get(key.removeprefix("or__"))) == value

    every = [pair for pair in wanted if not pair[0].startswith("or__")]
    some = [pair for pair in wanted if pair[0].startswith("or__")]
    return [
        one
        for one in found
        if all(holds(one, *pair) for pair in every) and (not some or any(holds(one, *pair) for pair in some))
    ]


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    controller: Controller
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        try:
            payload = json.loads(body) if body else None
        except ValueError:
            status, answer = HTTPStatus.BAD_REQUEST.value, {"detail": "JSON parse error"}
        else:
            status, answer = self.controller.answer(
                self.command, self.path, payload, token if scheme == "Bearer" else None
            )
        content = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-API-Product-Name", "AWX")
        self.send_header("X-API-Product-Version", VERSION)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: `Controller.requests` has every request."""


def pages(controller: Controller, resource: str, /, **query: str) -> Iterator[dict[str, Any]]:
    """Every object of a list, read page by page as a client does."""
    target: str | None = f"{ROOT}/{resource}/?{urlencode(query)}"
    while target:
        status, body = controller.answer("GET", target, None, controller.token)
        if status != HTTPStatus.OK:
            raise AssertionError(f"GET {target}: {status} {body}")
        yield from body["results"]
        target = body["next"]
