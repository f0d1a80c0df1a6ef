"""`playbooks/awx.yml`: an error is one line, and nothing was sent."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml
from flask import Response, request

from tests.integration.awx.conftest import PROJECT, Api
from tools import awx_collection
from tools.awx_check.apply import EXAMPLE, Ansible, apply
from tools.awx_check.server import Controller, pages

pytestmark = pytest.mark.slow

SURVEYS = {"spot-train": {"spec": [{"variable": "training_mode"}]}}
INPUTS: dict[str, dict[str, Any]] = {
    "data_bucket": {},
    "transport_bucket": {},
    "training_mode": {},
    "aws_region": {},
    "spot_instance_volume_gb": {"type": "int"},
    "run_watchdog": {"type": "bool"},
    "run_report_smtp_password": {"no_log": True},
}
#: Must not appear in the output.
SECRETS = {
    "awx_secret_access_key": "secret-of-the-key",
    "slack": "secret-of-slack",
    "mail": "secret-of-the-mail",
}


@pytest.fixture(scope="module")
def started() -> Iterator[Controller]:
    with Controller(PROJECT) as controller:
        yield controller


@pytest.fixture(scope="module")
def gate() -> ModuleType:
    module = importlib.import_module("ansible_collections.spot_train.core.plugins.action.awx_ready")
    return module


def message(output: str) -> str:
    """The only message in the output, unwrapped from YAML."""
    assert output.count("    msg: ") == 1, output
    text = re.split(r"\n(?=\S)", output.partition("    msg: ")[2])[0]
    return " ".join(text.split()).strip("'\"").replace("''", "'")


def test_missing_address_and_token_is_one_line() -> None:
    answer = apply(PROJECT, "", "", EXAMPLE)
    assert answer.code != 0
    assert message(answer.output) == (
        "The controller's address and a token are required: set CONTROLLER_HOST and CONTROLLER_OAUTH_TOKEN, or "
        "awx_host and awx_token. Nothing was changed."
    )


def test_unknown_variable_is_an_error(started: Controller) -> None:
    answer = apply(PROJECT, started.url, started.token, {**EXAMPLE, "awx_organisation": "x"})
    assert answer.code != 0
    assert "unknown input" in message(answer.output)
    assert "did you mean" in message(answer.output)
    assert started.requests == []


def test_wrong_token_is_one_line_and_writes_nothing(started: Controller) -> None:
    answer = apply(PROJECT, started.url, "wrong", EXAMPLE)
    assert answer.code != 0
    assert message(answer.output) == (
        "The controller rejects the token: check that it belongs to this controller and is still valid. "
        "Nothing was changed."
    )
    assert {one.status for one in started.requests} == {200, 401}
    assert started.writes == []


def test_update_secrets_given_as_text_is_a_boolean(gate: ModuleType) -> None:
    """`-e awx_update_secrets=false` must not replace the secrets that AWX keeps."""
    defaults = yaml.safe_load((PROJECT / "roles/awx/defaults/main.yml").read_text())
    action = object.__new__(gate.ActionModule)
    action._templar = SimpleNamespace(template=lambda value: value)
    for text, value in {"false": False, "true": True}.items():
        assert action._given({**defaults, "awx_update_secrets": text})["awx_update_secrets"] is value
    tasks = "".join(path.read_text() for path in (PROJECT / "roles/awx/tasks").glob("*.yml"))
    assert "awx_update_secrets" not in tasks.replace("__awx_ready.update_secrets", "")


def given(**changes: Any) -> dict[str, Any]:
    return {**EXAMPLE, **changes}


def mailing(**changes: Any) -> dict[str, Any]:
    return {"awx_email": {**EXAMPLE["awx_email"], **changes}}


def slack(**changes: Any) -> dict[str, Any]:
    return {"awx_slack": {**EXAMPLE["awx_slack"], **changes}}


def variables(**more: Any) -> dict[str, Any]:
    return {"awx_variables": {"data_bucket": "d", "transport_bucket": "t", **more}}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"awx_image": "", "awx_scm_url": ""}, "awx_scm_url, awx_image must be set"),
        ({"awx_variables": {"data_bucket": "d"}}, "awx_variables.transport_bucket must be set"),
        ({"awx_access_key_id": ""}, "expected both, or neither"),
        ({"awx_secret_access_key": ""}, "expected both, or neither"),
        (
            {"awx_role_arn": "spot-train-control-node"},
            "awx_role_arn: expected the ARN of a role (arn:aws:iam::<account>:role/<name>), got 'spot",
        ),
        ({"awx_role_arn": "arn:aws:iam::123456789012:user/x"}, "expected the ARN of a role"),
        ({"awx_email": {"host": "h", "port": 25, "sender": "s"}}, "awx_email: missing recipients"),
        (mailing(port="587"), "awx_email.port: expected a whole number"),
        (mailing(port=True), "awx_email.port: expected a whole number"),
        (mailing(use_tls="yes"), "awx_email.use_tls: expected true or false"),
        (mailing(recipients="on-call@example.com"), "awx_email.recipients: expected a non-empty list of texts"),
        (mailing(recipients=[]), "awx_email.recipients: expected a non-empty list of texts"),
        (mailing(sender=""), "awx_email.sender: expected text"),
        (slack(chanels=[]), "awx_slack: unknown setting 'chanels'"),
        (slack(token=["x"]), "awx_slack.token: expected text"),
        (slack(channels="#runs"), "awx_slack.channels: expected a non-empty list of texts"),
        ({"awx_variables": {"data_bucket": "b", "transport_bucket": "b"}}, "expected different buckets"),
        (
            variables(aws_regoin="x"),
            "unknown input 'aws_regoin' in awx_variables (did you mean 'aws_region')",
        ),
        (variables(aws_account_vpc="v"), "unknown input 'aws_account_vpc' in awx_variables"),
        (variables(training_mode="full"), "awx_variables.training_mode would have no effect"),
        (
            variables(spot_instance_volume_gb="large"),
            "awx_variables.spot_instance_volume_gb: expected a whole number, got 'large'",
        ),
        (
            variables(spot_instance_volume_gb=0),
            "awx_variables.spot_instance_volume_gb: expected a whole number above 0, got",
        ),
        (variables(run_watchdog="perhaps"), "awx_variables.run_watchdog: expected true or false, got 'perhaps'"),
        (variables(run_report_smtp_password="p"), "awx_variables.run_report_smtp_password is secret"),
    ],
)
def test_missing_or_invalid_input_is_one_line(gate: ModuleType, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(gate.NotReady) as raised:
        gate.check_given(given(**changes), SURVEYS, INPUTS)
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)


def test_example_is_complete(gate: ModuleType) -> None:
    gate.check_given(given(), SURVEYS, gate.run_inputs())


def test_run_inputs_are_those_that_users_may_set(gate: ModuleType) -> None:
    names = gate.run_inputs().keys()
    assert {"data_bucket", "training_source", "spot_instance_markets", "rollback_role"} <= names
    assert not {"spot_instance_run_id", "awx_image", "aws_account_vpc"} & names


def reader(gate: ModuleType, controller: Controller, host: str = "") -> Any:
    return gate.Controller(host or controller.url, controller.token, True, 5)


def test_missing_controller_is_an_error(gate: ModuleType, started: Controller) -> None:
    with pytest.raises(gate.NotReady, match="no response from a controller at http"):
        reader(gate, started, "http://127.0.0.1:9").version()
    with pytest.raises(gate.NotReady, match="responds with 404"):
        reader(gate, started, f"{started.url}/elsewhere").version()
    assert gate.check_controller(reader(gate, started), {**EXAMPLE, "awx_galaxy_credentials": "refuse"}) == ("24.6.1")


def test_token_must_be_a_system_administrators(gate: ModuleType) -> None:
    with Controller(PROJECT, superuser=False) as controller:
        with pytest.raises(gate.NotReady, match="the token is that of admin, who is not a system administrator"):
            gate.check_controller(reader(gate, controller), EXAMPLE)
        assert controller.writes == []


def credential(api: Api, organization: int, namespace: str, **inputs: str) -> int:
    """A credential of a built-in type, named after it."""
    kinds = {one["namespace"]: one["id"] for one in api("GET", "credential_types/")[1]["results"]}
    kind = kinds[namespace]
    return api.make("credentials", name=namespace, organization=organization, credential_type=kind, inputs=inputs)


@pytest.mark.parametrize(("choice", "refused"), [("refuse", True), ("keep", False), ("remove", False)])
def test_galaxy_credentials_need_an_explicit_choice(gate: ModuleType, choice: str, refused: bool) -> None:
    with Controller(PROJECT) as controller:
        api = Api(controller)
        organization = api.make("organizations", name=EXAMPLE["awx_organization"])
        galaxy = credential(api, organization, "galaxy_api_token", url="https://galaxy.example.com")
        api("POST", f"organizations/{organization}/galaxy_credentials/", {"id": galaxy})
        asked = {**EXAMPLE, "awx_galaxy_credentials": choice}
        if not refused:
            assert gate.check_controller(reader(gate, controller), asked) == "24.6.1"
            return
        with pytest.raises(gate.NotReady, match=r"has Galaxy credentials \(galaxy_api_token\).*=keep or remove"):
            gate.check_controller(reader(gate, controller), asked)


class Refusing(Controller):
    """Refuses Slack notifications, and failed to update the safety net's project when it was created."""

    def __init__(self, project: Path) -> None:
        super().__init__(project)
        self.app.before_request(self._refuse)
        self.app.after_request(self._fail)

    def _refuse(self) -> tuple[dict[str, list[str]], int] | None:
        payload = request.get_json(silent=True) or {}
        if payload.get("notification_type") != "slack":
            return None
        return {"notification_configuration": ["refused by the test"]}, 400

    def _fail(self, response: Response) -> Response:
        body = response.get_json(silent=True) or {}
        if request.method == "GET" and body.get("name") == "spot-train safety net":
            response.data = json.dumps({**body, "status": "failed"})
        return response


def test_output_shows_no_secret_and_failed_project_is_retried() -> None:
    """Use the highest common verbosity; the play ends at the refused notification."""
    assert awx_collection.main([]) == 0
    inputs = {
        **given(**mailing(username="u", password=SECRETS["mail"]), **slack(token=SECRETS["slack"])),
        "awx_secret_access_key": SECRETS["awx_secret_access_key"],
        "awx_scm_credential": "scm",
        "awx_registry_credential": "registry",
        "awx_galaxy_credentials": "remove",
    }
    with Refusing(PROJECT) as controller:
        api = Api(controller)
        organization = api.make("organizations", name=inputs["awx_organization"])
        scm = credential(api, organization, "scm", username="u")
        registry = credential(api, organization, "registry", host="registry.example.com")
        galaxy = credential(api, organization, "galaxy_api_token", url="https://galaxy.example.com")
        api("POST", f"organizations/{organization}/galaxy_credentials/", {"id": galaxy})

        done = apply(PROJECT, controller.url, "", {**inputs, "awx_token": controller.token}, "-vvv")

        assert done.code != 0
        assert "spot-train by Slack: Unable to create notification_template" in done.output, done.output[-3000:]
        assert "refused by the test" in done.output
        assert [name for name in (*SECRETS.values(), controller.token) if name in done.output] == []
        assert [one["name"] for one in pages(controller, "notification_templates")] == ["spot-train by e-mail"]
        projects = {one["name"]: one for one in pages(controller, "projects")}
        assert [one["credential"] for one in projects.values()] == [scm, scm]
        fetched = [one.path for one in controller.writes if one.path.endswith("/update/") and "/projects/" in one.path]
        assert fetched == [f"{projects['spot-train safety net']['url']}update/"]
        assert [one["credential"] for one in pages(controller, "execution_environments")] == [registry]
        assert api("GET", f"organizations/{organization}/galaxy_credentials/")[1]["count"] == 0


def test_missing_collection_is_one_line(tmp_path: Path) -> None:
    """The environment of ansible-core 2.21 has no collections; its home is empty here."""
    binaries = PROJECT / ".venv-2.21" / "bin"
    if not (binaries / "ansible-playbook").exists():
        pytest.skip("ansible-core 2.21 is not installed: it needs Python 3.12 or 3.13")
    answer = apply(PROJECT, "http://127.0.0.1:9", "x", EXAMPLE, ansible=Ansible(binaries, tmp_path))
    assert answer.code != 0
    assert "The collection awx.awx is not installed: run tools/awx_collection.py. Nothing was changed." in message(
        answer.output
    )


def test_example_of_the_role_works() -> None:
    assert awx_collection.main([]) == 0
    with Controller(PROJECT) as controller:
        done = apply(PROJECT, controller.url, controller.token, {}, "-vvv", playbook="roles/awx/examples/minimal.yml")

        assert done.code == 0, done.output
        assert controller.token not in done.output
        assert [one for one in controller.requests if one.status >= 400] == []
        made = {one["name"] for one in pages(controller, "job_templates")}
        assert made == {"spot-train", "spot-preflight", "spot-reap", "spot-terminate", "spot-rollback"}
