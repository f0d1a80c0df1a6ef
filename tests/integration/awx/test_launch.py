"""From templates to jobs, and through a workflow, as AWX does it."""

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


def test_a_job_has_what_template_survey_node_and_credential_say(launcher: Launcher, template: dict[str, Any]) -> None:
    job = launcher.job(template, {"extra_data": {"run_id": "x"}, "verbosity": 3, "limit": ""}, number=7)

    assert (job.playbook, job.inventory, job.id) == ("train.yml", "inventory/aws/hosts.yml", 7)
    assert job.extra_vars == {"own": True, "seconds": 60, "run_id": "x"}, "the survey's default wins over the template"
    assert (job.verbosity, job.timeout, job.forks, job.limit, job.check) == (3, 60, 0, "", False)
    assert job.environment == {"ARN": "a"}


def test_a_job_whose_inventory_was_never_read_has_no_hosts(
    launcher: Launcher, template: dict[str, Any], api: Api, ids: Ids
) -> None:
    inventory = api.make("inventories", name="unread", organization=ids["organizations"])
    fields = {"source": "scm", "source_project": ids["projects"], "source_path": "inventory/aws/hosts.yml"}
    source = api.make("inventory_sources", name="unread", inventory=inventory, **fields)
    job = {**template, "inventory": inventory}
    with pytest.raises(LaunchError, match="was never read"):
        launcher.job(job, {"extra_data": {"run_id": "x"}})

    status, update = api("POST", f"inventory_sources/{source}/update/")

    assert (status, api("GET", f"inventory_updates/{update['id']}/")[1]["failed"]) == (202, False)
    assert launcher.job(job, {"extra_data": {"run_id": "x"}}).inventory == "inventory/aws/hosts.yml"


def test_an_answer_that_is_missing_or_does_not_fit_starts_nothing(launcher: Launcher, template: dict[str, Any]) -> None:
    with pytest.raises(LaunchError, match="'run_id' value missing"):
        launcher.job(template)
    with pytest.raises(LaunchError, match="too small"):
        launcher.job(template, {"extra_data": {"run_id": "x", "seconds": 0}})


def test_a_schedule_leads_to_what_it_starts_unless_it_is_off(launcher: Launcher, api: Api, ids: Ids) -> None:
    assert launcher.scheduled("weekly")["name"] == "flow"
    api("PATCH", f"schedules/{ids['schedules']}/", {"enabled": False})
    with pytest.raises(LaunchError, match="switched off"):
        launcher.scheduled("weekly")
    with pytest.raises(LaunchError, match="0 of schedules"):
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
def test_saturday_reaps_whatever_happens_and_trains_after_a_good_preflight(
    launcher: Launcher, saturday: dict[str, Any], failing: tuple[str, ...], expected: list[tuple[str, bool]]
) -> None:
    def run(template: Mapping[str, Any], node: Mapping[str, Any], published: Mapping[str, Any]) -> Ended:
        return Ended(node["identifier"] not in failing)

    assert [(step.identifier, step.passed) for step in walk(launcher, saturday, run)] == expected


def test_a_node_gets_what_was_published_on_the_way_to_it(launcher: Launcher, saturday: dict[str, Any]) -> None:
    got = {}

    def run(template: Mapping[str, Any], node: Mapping[str, Any], published: Mapping[str, Any]) -> Ended:
        got[node["identifier"]] = dict(published)
        return Ended(True, {"run": node["identifier"], node["identifier"]: True})

    assert len(list(walk(launcher, saturday, run))) == 3
    assert got["preflight"] == {}
    assert got["train"] == {"run": "preflight", "preflight": True}
    # Of two that lead to it the one that was made later wins, as in AWX: here the preflight.
    assert got["reap"] == {"run": "preflight", "preflight": True, "train": True}


def test_what_was_published_is_a_variable_of_the_job(launcher: Launcher, template: dict[str, Any]) -> None:
    job = launcher.job(template, {"extra_data": {"run_id": "x"}}, {"spot_train_run": {"outcome": "passed"}})
    assert job.extra_vars["spot_train_run"] == {"outcome": "passed"}
