"""The schedule in the cloud terminates only the instances of its run."""

from __future__ import annotations

import datetime as dt
import functools
import json
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.modules.expiry_schedule import schedule
from botocore.exceptions import ClientError
from local_aws.state import reserve

from tests.integration.termination.conftest import PROJECT, RUN, run_module, tags_of_run
from tests.support.cloud import Cloud, Inventory

ROLE = "arn:aws:iam::123456789012:role/spot-train-expiry"


def due(seconds: float) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)


def test_due_schedule_terminates_instances_and_itself(cloud: Cloud, bystanders: Inventory) -> None:
    instance = cloud.launch(tags_of_run())
    cloud.wait_for(lambda: cloud.state(instance) == "running")
    cloud.control_node("scheduler").create_schedule(**schedule(PROJECT, RUN, due(15), ROLE))

    assert cloud.state(instance) == "running"
    cloud.wait_for(lambda: cloud.state(instance) == "terminated", 120)
    cloud.wait_for(lambda: f"{PROJECT}-{RUN}" not in cloud.inventory()["schedules"])

    # Among them one with the run's id and without the project: the role's policy holds it.
    assert cloud.inventory() == bystanders


def test_control_node_manages_only_the_projects_schedules(cloud: Cloud) -> None:
    scheduler = cloud.control_node("scheduler")
    for wanted in (
        schedule("another", RUN, due(3600), ROLE),
        schedule(PROJECT, RUN, due(3600), "arn:aws:iam::123456789012:role/spot-train-training"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            scheduler.create_schedule(**wanted)


@pytest.fixture
def module(cloud: Cloud) -> Any:
    """Runs the module with the control node's keys, and returns its result."""
    keys = reserve(cloud.account.folder / "aws").client_environment()
    return functools.partial(run_module, cloud.account, "expiry_schedule", keys, region="us-east-1")


def test_second_call_updates_the_time(cloud: Cloud, module: Any) -> None:
    wanted = {"project": PROJECT, "run_id": "twice", "role": "spot-train-expiry"}
    for at in ("2099-01-01T00:00:00Z", "2099-01-02T03:04:05Z"):
        assert module(**wanted, at=at)["name"] == f"{PROJECT}-twice"

    made = cloud.scheduler.get_schedule(Name=f"{PROJECT}-twice")
    cloud.scheduler.delete_schedule(Name=f"{PROJECT}-twice")
    assert made["ScheduleExpression"] == "at(2099-01-02T03:04:05)"
    assert made["ActionAfterCompletion"] == "DELETE"
    assert json.loads(made["Target"]["Input"])["Targets"] == [{"Key": "tag:run_id", "Values": ["twice"]}]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"at": "tomorrow"}, "at: expected a time"),
        ({"run_id": ""}, "project and run_id must not be empty"),
        ({"role": "spot-train-none"}, "with the role spot-train-none"),
    ],
)
def test_invalid_schedule_is_one_clear_line(module: Any, parameters: dict[str, str], words: str) -> None:
    wanted = {"project": PROJECT, "run_id": RUN, "at": "2099-01-01T00:00:00Z", "role": "spot-train-expiry"}

    assert words in module(**{**wanted, **parameters})["msg"]
