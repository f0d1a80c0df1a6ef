"""A controller with one object of each resource, without a server and without Ansible."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.awx_check.server import Controller
from tools.awx_check.store import ROOT as API

PROJECT = Path(__file__).resolve().parents[3]
EMAIL = {
    "host": "smtp.example.com",
    "port": 25,
    "username": "",
    "password": "",
    "use_tls": False,
    "use_ssl": False,
    "sender": "a@example.com",
    "recipients": ["b@example.com"],
}
SURVEY: dict[str, Any] = {
    "name": "s",
    "description": "",
    "spec": [
        {"question_name": "Run", "variable": "run_id", "type": "text", "required": True},
        {
            "question_name": "Limit",
            "variable": "seconds",
            "type": "integer",
            "required": False,
            "default": 60,
            "min": 1,
        },
    ],
}


class Api:
    """Sends requests to a controller as a module does."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller

    def __call__(self, method: str, path: str, payload: Any = None) -> tuple[int, Any]:
        return self.controller.answer(method, f"{API}/{path}", payload, self.controller.token)

    def make(self, resource: str, **fields: Any) -> int:
        status, body = self("POST", f"{resource}/", fields)
        assert status == 201, body
        return int(body["id"])


@pytest.fixture(scope="module")
def controller() -> Controller:
    """A controller without a server; the tests call it directly."""
    return Controller(PROJECT)


@pytest.fixture(scope="module")
def api(controller: Controller) -> Api:
    return Api(controller)


@pytest.fixture(scope="module")
def ids(api: Api) -> dict[str, int]:
    """Ids of one object of each resource."""
    made = {"organizations": api.make("organizations", name="Example")}
    made["credential_types"] = api.make(
        "credential_types",
        name="role",
        kind="cloud",
        inputs={
            "fields": [{"id": "arn", "label": "ARN"}, {"id": "key", "label": "Key", "secret": True}],
            "required": ["arn"],
        },
        injectors={"env": {"ARN": "{{ arn }}"}},
    )
    made["credentials"] = api.make(
        "credentials",
        name="role",
        organization=made["organizations"],
        credential_type=made["credential_types"],
        inputs={"arn": "a", "key": "secret"},
    )
    made["execution_environments"] = api.make("execution_environments", name="ee", image="example.com/ee:1")
    made["projects"] = api.make(
        "projects",
        name="source",
        organization=made["organizations"],
        scm_type="git",
        scm_url="https://git.example.com/x.git",
    )
    made["inventories"] = api.make("inventories", name="aws", organization=made["organizations"])
    made["inventory_sources"] = api.make(
        "inventory_sources",
        name="hosts",
        inventory=made["inventories"],
        source="scm",
        source_project=made["projects"],
        source_path="inventory/aws/hosts.yml",
    )
    made["labels"] = api.make("labels", name="l", organization=made["organizations"])
    made["notification_templates"] = api.make(
        "notification_templates",
        name="mail",
        organization=made["organizations"],
        notification_type="email",
        notification_configuration=copy.deepcopy(EMAIL),
    )
    made["job_templates"] = api.make(
        "job_templates",
        name="job",
        project=made["projects"],
        inventory=made["inventories"],
        playbook="train.yml",
        survey_enabled=True,
    )
    assert api("POST", f"job_templates/{made['job_templates']}/survey_spec/", SURVEY)[0] == 200
    made["workflow_job_templates"] = api.make("workflow_job_templates", name="flow", organization=made["organizations"])
    made["workflow_job_template_nodes"] = api.make(
        "workflow_job_template_nodes",
        workflow_job_template=made["workflow_job_templates"],
        unified_job_template=made["job_templates"],
        identifier="first",
    )
    made["schedules"] = api.make(
        "schedules",
        name="weekly",
        unified_job_template=made["workflow_job_templates"],
        rrule="DTSTART:20260103T090000Z RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=SA",
    )
    return made


def refusal(answer: tuple[int, Any]) -> Mapping[str, Any]:
    """The body of a 400 response."""
    status, body = answer
    assert status == 400, body
    assert isinstance(body, dict)
    return body


class _Loader(yaml.SafeLoader):
    """Reads Ansible's tag `!unsafe` as a plain string."""


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


_Loader.add_constructor("!unsafe", _text)


@pytest.fixture(scope="session")
def data() -> dict[str, Any]:
    """Everything in awx/."""
    found: dict[str, Any] = {}
    for path in sorted((PROJECT / "awx").glob("*.yml")):
        found |= yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    return found


@pytest.fixture(scope="session")
def schedules(data: dict[str, Any]) -> dict[str, Any]:
    """The schedules by name."""
    return {one["name"]: one for one in data["schedules"]}
