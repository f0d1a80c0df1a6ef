"""`playbooks/awx.yml`: what is missing or wrong is one line, and nothing has been sent."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from awx_check.apply import EXAMPLE, Ansible, apply
from awx_check.server import Controller, pages
from scripts import awx_collection
from tests.awx.conftest import PROJECT

GATE = PROJECT / "roles/controller/action_plugins/controller_ready.py"
SURVEYS = {"spot-train": {"spec": [{"variable": "training_mode"}]}}
INPUTS = {"data_bucket", "transport_bucket", "training_mode", "aws_region", "run_attempts"}


@pytest.fixture(scope="module")
def started() -> Iterator[Controller]:
    with Controller(PROJECT) as controller:
        yield controller


@pytest.fixture(scope="module")
def gate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("controller_ready", GATE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def message(output: str) -> str:
    """What a person reads: there is one message, which YAML wraps."""
    assert output.count("    msg: ") == 1, output
    text = re.split(r"\n(?=\S)", output.partition("    msg: ")[2])[0]
    return " ".join(text.split()).strip("'\"").replace("''", "'")


def test_without_address_and_token_one_line_says_so() -> None:
    answer = apply(PROJECT, "", "", EXAMPLE)
    assert answer.code != 0
    assert message(answer.output) == (
        "The controller's address and a token are needed: set CONTROLLER_HOST and CONTROLLER_OAUTH_TOKEN, or "
        "controller_host and controller_token. Nothing was changed."
    )


def test_an_unknown_variable_is_an_error(started: Controller) -> None:
    answer = apply(PROJECT, started.url, started.token, {**EXAMPLE, "controller_organisation": "x"})
    assert answer.code != 0
    assert "unknown input" in message(answer.output)
    assert "did you mean" in message(answer.output)
    assert started.requests == []


def test_a_wrong_token_is_said_by_the_first_module_and_nothing_is_written(started: Controller) -> None:
    answer = apply(PROJECT, started.url, "wrong", EXAMPLE)
    assert answer.code != 0
    assert "Invalid authentication credentials" in answer.output
    assert {one.status for one in started.requests} == {200, 401}
    assert started.writes == []


def given(**changes: Any) -> dict[str, Any]:
    return {**EXAMPLE, **changes}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"controller_image": "", "controller_scm_url": ""}, "controller_scm_url, controller_image must be given"),
        ({"controller_variables": {"data_bucket": "d"}}, "controller_variables.transport_bucket must be given"),
        ({"controller_access_key_id": ""}, "go together"),
        ({"controller_secret_access_key": ""}, "go together"),
        ({"controller_email": ["host", "port", "sender"]}, "controller_email lacks recipients"),
        ({"controller_slack": ["token", "channels", "chanels"]}, "controller_slack has no setting 'chanels'"),
        ({"controller_variables": {"data_bucket": "b", "transport_bucket": "b"}}, "must be two buckets"),
        (
            {"controller_variables": {"data_bucket": "d", "transport_bucket": "t", "aws_regoin": "x"}},
            "unknown input 'aws_regoin' in controller_variables (did you mean 'aws_region')",
        ),
        (
            {"controller_variables": {"data_bucket": "d", "transport_bucket": "t", "training_mode": "full"}},
            "controller_variables.training_mode would have no effect",
        ),
    ],
)
def test_what_is_missing_or_does_not_fit_is_one_line(gate: ModuleType, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(gate.NotReady) as raised:
        gate.check_given(given(**changes), SURVEYS, INPUTS)
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_example_is_complete(gate: ModuleType) -> None:
    gate.check_given(given(), SURVEYS, gate.run_inputs())


def test_the_inputs_of_a_run_are_those_that_a_person_may_set(gate: ModuleType) -> None:
    names = gate.run_inputs()
    assert {"data_bucket", "training_source", "spot_instance_markets", "rollback_role"} <= names
    assert not {"spot_instance_run_id", "controller_image"} & names


def test_where_nothing_or_no_controller_answers_one_line_says_so(gate: ModuleType, started: Controller) -> None:
    with pytest.raises(gate.NotReady, match="no controller answers at http"):
        gate.ask("http://127.0.0.1:9", True, 5)
    with pytest.raises(gate.NotReady, match="answers 404"):
        gate.ask(f"{started.url}/elsewhere", True, 5)
    assert gate.ask(started.url, True, 5) == "24.6.1"


def test_without_the_collection_one_line_says_what_to_run(tmp_path: Path) -> None:
    """An Ansible that has none: 2.21's, with a home in which there is no collection."""
    binaries = PROJECT / ".venv-2.21" / "bin"
    if not (binaries / "ansible-playbook").exists():
        pytest.skip("no environment with ansible-core 2.21: it takes Python 3.12 or 3.13, and neither is here")
    answer = apply(PROJECT, "http://127.0.0.1:9", "x", EXAMPLE, ansible=Ansible(binaries, tmp_path))
    assert answer.code != 0
    assert "The collection awx.awx is not here: run scripts/awx_collection.py. Nothing was changed." in message(
        answer.output
    )


def test_the_example_of_the_role_works() -> None:
    assert awx_collection.main([]) == 0
    with Controller(PROJECT) as controller:
        done = apply(PROJECT, controller.url, controller.token, {}, playbook="roles/controller/examples/minimal.yml")

        assert done.code == 0, done.output
        assert [one for one in controller.requests if one.status >= 400] == []
        made = {one["name"] for one in pages(controller, "job_templates")}
        assert made == {"spot-train", "spot-preflight", "spot-reap", "spot-terminate", "spot-rollback"}
