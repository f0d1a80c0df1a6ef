"""Jobs derived from templates, and the order of a workflow's nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.integration.awx.conftest import Api
from tools.awx_check.launch import Ended, Launcher, LaunchError, walk
from tools.awx_check.server import Controller

Ids = dict[str, int]


@pytest.fixture
def launcher(controller: Controller) -> Launcher:
    return Launcher(controller)


@pytest.fixture
def template(api: Api, ids: Ids) -> Iterator[dict[str, Any]]:
    path = f"job_templates/{ids['job_templates']}/"
    api("PATCH", path, {"extra_vars": '{"seconds": 5, "own": true}', "timeout": 60, "verbosity": 1})
    api("POST", f"{path}credentials/", {"id": ids["credentials"]})
    api("POST", f"inventory_sources/{ids['inventory_sources']}/update/")
    yield api("GET", path)[1]
    api("POST", f"{path}credentials/", {"id": ids["credentials"], "disassociate": True})


def test_job_combines_template_survey_node_and_credential(launcher: Launcher, template: dict[str, Any]) -> None:
    job = launcher.job(template, {"extra_data": {"run_id": "x"}, "verbosity": 3, "limit": ""}, number=7)

    assert (job.playbook, job.inventory, job.id) == ("train.yml", "inventory/aws/hosts.yml", 7)
    assert job.extra_vars == {"own": True, "seconds": 60, "run_id": "x"}, "the survey's default wins over the template"
    assert (job.verbosity, job.timeout, job.forks, job.limit, job.check) == (3, 60, 0, "", False)
    assert job.environment == {"ARN": "a"}


def test_inventory_must_have_been_updated(launcher: Launcher, template: dict[str, Any], api: Api, ids: Ids) -> None:
    inventory = api.make("inventories", name="unread", organization=ids["organizations"])
    fields = {"source": "scm", "source_project": ids["projects"], "source_path": "inventory/aws/hosts.yml"}
    source = api.make("inventory_sources", name="unread", inventory=inventory, **fields)
    job = {**template, "inventory": inventory}
    with pytest.raises(LaunchError, match="was never updated"):
        launcher.job(job, {"extra_data": {"run_id": "x"}})

    status, update = api("POST", f"inventory_sources/{source}/update/")

    assert (status, api("GET", f"inventory_updates/{update['id']}/")[1]["failed"]) == (202, False)
    assert launcher.job(job, {"extra_data": {"run_id": "x"}}).inventory == "inventory/aws/hosts.yml"


def test_missing_or_invalid_answer_starts_nothing(launcher: Launcher, template: dict[str, Any]) -> None:
    with pytest.raises(LaunchError, match="'run_id' value missing"):
        launcher.job(template)
    with pytest.raises(LaunchError, match="too small"):
        launcher.job(template, {"extra_data": {"run_id": "x", "seconds": 0}})


def test_disabled_or_unknown_schedule_starts_nothing(launcher: Launcher, api: Api, ids: Ids) -> None:
    assert launcher.scheduled("weekly")["name"] == "flow"
    api("PATCH", f"schedules/{ids['schedules']}/", {"enabled": False})
    with pytest.raises(LaunchError, match="is disabled"):
        launcher.scheduled("weekly")
    with pytest.raises(LaunchError, match="schedules: expected one named monthly, got 0"):
        launcher.scheduled("monthly")


SATURDAY = {"preflight": {"success_nodes": ["train"], "failure_nodes": ["reap"]}, "train": {"always_nodes": ["reap"]}}


@pytest.fixture
def saturday(api: Api, ids: Ids, request: pytest.FixtureRequest) -> dict[str, Any]:
    flow = api.make("workflow_job_templates", name=request.node.name, organization=ids["organizations"])
    nodes = {
        name: api.make(
            "workflow_job_template_nodes",
            workflow_job_template=flow,
            unified_job_template=ids["job_templates"],
            identifier=name,
        )
        for name in ("reap", "train", "preflight")
    }
    for name, links in SATURDAY.items():
        for link, others in links.items():
            for other in others:
                api("POST", f"workflow_job_template_nodes/{nodes[name]}/{link}/", {"id": nodes[other]})
    shown: dict[str, Any] = api("GET", f"workflow_job_templates/{flow}/")[1]
    return shown


@pytest.mark.parametrize(
    ("failing", "expected"),
    [
        ((), [("preflight", True), ("train", True), ("reap", True)]),
        (("train",), [("preflight", True), ("train", False), ("reap", True)]),
        (("preflight",), [("preflight", False), ("reap", True)]),
    ],
    ids=["all pass", "the training fails", "the preflight fails"],
)
def test_saturday_always_reaps_and_trains_only_after_a_preflight(
    launcher: Launcher, saturday: dict[str, Any], failing: tuple[str, ...], expected: list[tuple[str, bool]]
) -> None:
    def run(template: Mapping[str, Any], node: Mapping[str, Any], published: Mapping[str, Any]) -> Ended:
        return Ended(node["identifier"] not in failing)

    assert [(step.identifier, step.passed) for step in walk(launcher, saturday, run)] == expected


def test_node_gets_what_its_ancestors_published(launcher: Launcher, saturday: dict[str, Any]) -> None:
    got = {}

    def run(template: Mapping[str, Any], node: Mapping[str, Any], published: Mapping[str, Any]) -> Ended:
        got[node["identifier"]] = dict(published)
        return Ended(True, {"run": node["identifier"], node["identifier"]: True})

    assert len(list(walk(launcher, saturday, run))) == 3
    assert got["preflight"] == {}
    assert got["train"] == {"run": "preflight", "preflight": True}
    # As in AWX, the parent that was created last wins: here the preflight.
    assert got["reap"] == {"run": "preflight", "preflight": True, "train": True}


def test_published_data_becomes_an_extra_variable(launcher: Launcher, template: dict[str, Any]) -> None:
    job = launcher.job(template, {"extra_data": {"run_id": "x"}}, {"spot_train_run": {"outcome": "passed"}})
    assert job.extra_vars["spot_train_run"] == {"outcome": "passed"}
