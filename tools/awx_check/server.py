"""A stand-in for the controller's API on loopback: the part of /api/v2 that the modules of awx.awx 24.6.1 use.

It responds as AWX does and validates every request with `shapes.py` and `rules.py`. It is stricter than AWX, to expose
mistakes: it refuses unknown fields and changed read-only ones, which AWX ignores, and incomplete credentials.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, abort, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import make_server

from tools.awx_check import surveys
from tools.awx_check.shapes import Refused, resources, unions
from tools.awx_check.store import ROOT, Store

VERSION = "24.6.1"
PAGE_SIZE = 25
MOST_PER_PAGE = 200
READ_ONLY = ("GET", "HEAD", "OPTIONS")
#: Requests that only a system administrator may send.
ADMINISTRATORS = (("POST", "organizations"), ("POST", "credential_types"), ("PATCH", "credential_types"))

# `Controller.requests` has every request; the server would also print each.
logging.getLogger("werkzeug").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Request:
    """One request and the status of its response."""

    method: str
    path: str
    payload: Any
    status: int


class Controller:
    """The stand-in; it listens within `with Controller(project) as controller:`.

    Attributes:
        store: Its objects.
        token: The token that requests must carry.
        requests: Every request so far.
        app: The API.
    """

    def __init__(self, project: Path, page_size: int = PAGE_SIZE, superuser: bool = True) -> None:
        """Bind a free port on loopback; `superuser`: the token belongs to a system administrator."""
        self.store = Store(project)
        self.token = secrets.token_hex(15)
        self.requests: list[Request] = []
        self._page_size, self._superuser = page_size, superuser
        self.app = self._application()
        self._server = make_server("127.0.0.1", 0, self.app)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def writes(self) -> list[Request]:
        """The requests that would change something."""
        return [one for one in self.requests if one.method not in READ_ONLY]

    def __enter__(self) -> Controller:
        """Start serving."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, target: str, payload: Any, token: str | None) -> tuple[int, Any]:
        """Respond to a request for a path and query without the server; returns HTTP status and body."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        response = self.app.test_client().open(target, method=method, json=payload, headers=headers)
        return response.status_code, response.get_json()

    def _application(self) -> Flask:
        app = Flask(__name__)
        app.testing = True  # errors of the stand-in itself are raised
        kind, listed = (f"<any({','.join(names)}):name>" for names in (resources(), [*resources(), *unions()]))
        for method, path, view in (
            ("GET", "ping", lambda: {"version": VERSION, "ha": False}),
            (
                "GET",
                "config",
                lambda: {"version": VERSION, "license_info": {"license_type": "open"}, "time_zone": "UTC"},
            ),
            ("GET", "me", self._me),
            ("GET", "<any(project_updates,inventory_updates):name>/<int:number>", self.store.finished_update),
            ("GET", listed, self._list),
            ("POST", kind, self._create),
            ("GET", f"{listed}/<key>", self._show),
            ("PATCH", f"{kind}/<key>", self._change),
            ("POST", f"{kind}/<key>/update", self._start_update),
            ("GET", f"{kind}/<key>/survey_spec", self._survey),
            ("POST", f"{kind}/<key>/survey_spec", self._set_survey),
            ("DELETE", f"{kind}/<key>/survey_spec", self._set_survey),
            ("GET", "workflow_job_templates/<key>/workflow_nodes", self._nodes),
            ("GET", f"{kind}/<key>/<below>", self._associated),
            ("POST", f"{kind}/<key>/<below>", self._associate),
        ):
            app.add_url_rule(f"{ROOT}/{path}/", f"{method} {path}", view, methods=[method])
        app.before_request(self._authorise)
        app.after_request(self._record)
        app.register_error_handler(HTTPException, _problem)
        app.register_error_handler(Refused, lambda error: (error.errors, 400))
        return app

    def _authorise(self) -> None:
        is_open = request.path == f"{ROOT}/ping/" or not request.path.startswith(f"{ROOT}/")
        if not is_open and request.headers.get("Authorization") != f"Bearer {self.token}":
            abort(401)
        if not self._superuser and (request.method, (request.view_args or {}).get("name")) in ADMINISTRATORS:
            abort(403)

    def _record(self, response: Response) -> Response:
        payload = request.get_json(force=True, silent=True)
        self.requests.append(Request(request.method, request.full_path.rstrip("?"), payload, response.status_code))
        response.headers.update({"X-API-Product-Name": "AWX", "X-API-Product-Version": VERSION})
        return response

    def _me(self) -> dict[str, Any]:
        return self._page([{"id": 1, "type": "user", "username": "admin", "is_superuser": self._superuser}])

    def _list(self, name: str) -> dict[str, Any]:
        return self._page(_filtered(name, [self.store.shown(name, one) for one in self.store.all(name)]))

    def _create(self, name: str) -> tuple[dict[str, Any], int]:
        return self.store.shown(name, self.store.create(name, _payload())), 201

    def _show(self, name: str, key: str) -> dict[str, Any]:
        return self.store.shown(name, self.store.at(name, key))

    def _change(self, name: str, key: str) -> dict[str, Any]:
        return self.store.shown(name, self.store.update(name, self.store.at(name, key)["id"], _payload()))

    def _start_update(self, name: str, key: str) -> tuple[dict[str, Any], int]:
        return self.store.start_update(name, self._linked(name, key, "update")["id"]), 202

    def _survey(self, name: str, key: str) -> dict[str, Any]:
        return surveys.shown(self.store.survey(self._linked(name, key, "survey_spec")))

    def _set_survey(self, name: str, key: str) -> dict[str, Any]:
        template = self._linked(name, key, "survey_spec")
        self.store.set_survey(template, _payload() if request.method == "POST" else {})
        return {}

    def _linked(self, name: str, key: str, link: str) -> dict[str, Any]:
        """An object of a resource with a link."""
        return self.store.at(name, key) if link in resources()[name].links else abort(404)

    def _nodes(self, key: str) -> dict[str, Any]:
        name, number = "workflow_job_template_nodes", self.store.at("workflow_job_templates", key)["id"]
        nodes = [one for one in self.store.all(name) if one["workflow_job_template"] == number]
        return self._page([self.store.shown(name, one) for one in nodes])

    def _associated(self, name: str, key: str, below: str) -> dict[str, Any]:
        to = resources()[name].associations.get(below) or abort(404)
        found = self.store.associated(name, self.store.at(name, key)["id"], below)
        return self._page([self.store.shown(to, one) for one in found])

    def _associate(self, name: str, key: str, below: str) -> tuple[str, int]:
        if below not in resources()[name].associations:
            abort(404)
        self.store.associate(name, self.store.at(name, key)["id"], below, _payload())
        return "", 204

    def _page(self, found: list[dict[str, Any]]) -> dict[str, Any]:
        """One page of a list in AWX's format."""
        query = request.args.to_dict()
        numbers = [query.get("page_size", str(self._page_size)), query.get("page", "1")]
        if not all(number.isdigit() and int(number) for number in numbers):
            abort(404)
        size, page = min(int(numbers[0]), MOST_PER_PAGE), int(numbers[1])
        last = max(1, -(-len(found) // size))
        if page > last:
            abort(404)

        def link(number: int) -> str | None:
            return f"{request.path}?{urlencode({**query, 'page': number})}" if 1 <= number <= last else None

        results = found[(page - 1) * size : page * size]
        return {"count": len(found), "next": link(page + 1), "previous": link(page - 1), "results": results}


def _payload() -> Any:
    return request.get_json(force=True) if request.data else None


def _problem(error: HTTPException) -> tuple[dict[str, str], int]:
    """The body of an error in AWX's words."""
    code = error.code or 500
    details = {
        400: "JSON parse error",
        401: "Authentication credentials were not provided.",
        403: "You do not have permission to perform this action.",
        404: "Not found." if request.path.startswith(f"{ROOT}/") else "The requested resource could not be found.",
        405: f'Method "{request.method}" not allowed.',
    }
    return {"detail": details.get(code, str(error))}, code


def _filtered(name: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The objects that match every `field=value` of the query and at least one `or__field=value`.

    Raises:
        Refused: A field does not exist.
    """
    known = {"id", "type", *(field for one in unions().get(name, [name]) for field in resources()[one].fields)}
    wanted = [pair for pair in request.args.items() if pair[0] not in ("page", "page_size", "order_by")]
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


def pages(controller: Controller, resource: str, /, **query: str) -> Iterator[dict[str, Any]]:
    """Every object of a list, read page by page as a client does."""
    target: str | None = f"{ROOT}/{resource}/?{urlencode(query)}"
    while target:
        status, body = controller.answer("GET", target, None, controller.token)
        if status != 200:
            raise AssertionError(f"GET {target}: {status} {body}")
        yield from body["results"]
        target = body["next"]
