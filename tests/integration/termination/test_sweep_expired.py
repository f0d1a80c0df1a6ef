"""The sweep removes only resources whose lease has expired by AWS's clock, of any run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from email.utils import format_datetime
from typing import Any

import pytest

from tests.integration.termination.conftest import PROJECT, tags_of_run
from tests.support.account import TRANSPORT_BUCKET
from tests.support.cloud import Cloud, Inventory

OTHER_RUN = "20260106T090000Z-0a1b2c"


@pytest.fixture(autouse=True)
def only_what_is_past_its_lease(cloud: Cloud, bystanders: Inventory) -> Iterator[None]:
    """After each test everything else is as it was."""
    yield
    assert cloud.inventory() == bystanders


def sweep(cloud: Cloud, make_client: Callable[[str], Any] | None = None, **more: Any) -> Any:
    from ansible_collections.spot_train.core.plugins.module_utils.aws.client import Aws
    from ansible_collections.spot_train.core.plugins.module_utils.sweep.scope import Scope
    from ansible_collections.spot_train.core.plugins.module_utils.sweep.sweep import sweep

    wanted = Scope(project=PROJECT, expired=True, transport_bucket=TRANSPORT_BUCKET, **more)
    return sweep(Aws(make_client or cloud.control_node), wanted)


def test_expired_lease_removes_all_resources_of_the_run(cloud: Cloud) -> None:
    past = tags_of_run(OTHER_RUN, lease_seconds=-1)
    instance = cloud.launch(past, past)
    volume, template = cloud.volume(past), cloud.template(f"{PROJECT}-{OTHER_RUN}", past)
    schedule, key = cloud.schedule(f"{PROJECT}-{OTHER_RUN}"), cloud.key(f"{instance}/a")

    report = sweep(cloud)

    assert report.trouble() == ""
    assert len(report.ended.pop("spot_requests")) == 1
    assert report.ended == {
        "instances": [instance],
        "volumes": [volume],
        "launch_templates": [template],
        "schedules": [schedule],
        "transport_keys": [key],
    }


def test_stopped_instances_are_terminated(cloud: Cloud) -> None:
    instance = cloud.launch(tags_of_run(OTHER_RUN, lease_seconds=-1))
    cloud.wait_for(lambda: cloud.state(instance) == "running")
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait_for(lambda: cloud.state(instance) == "stopped")

    assert sweep(cloud).ended["instances"] == [instance]
    assert cloud.state(instance) == "terminated"


def test_resources_without_lease_or_run_are_listed_and_kept(cloud: Cloud, bystanders: Inventory) -> None:
    report = sweep(cloud)

    assert not any(report.ended.values())
    assert report.trouble() == ""
    assert len(report.notes) == 3
    assert sum("no run id" in note for note in report.notes) == 2
    assert sum("no valid lease" in note for note in report.notes) == 1
    assert all(note.split()[0] in bystanders["instances"] for note in report.notes)


def test_files_of_a_terminated_instance_are_removed(cloud: Cloud) -> None:
    instance = cloud.launch(tags_of_run(OTHER_RUN))
    key = cloud.key(f"{instance}/a")
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait_for(lambda: cloud.state(instance) == "terminated")

    report = sweep(cloud)

    assert report.ended["transport_keys"] == [key]
    assert report.ended["instances"] == []


@pytest.mark.parametrize(("aws_ahead_hours", "ended"), [(1, True), (-1, False)])
def test_lease_expires_by_the_clock_of_aws(cloud: Cloud, aws_ahead_hours: int, ended: bool) -> None:
    """The lease ends half an hour from now, or ended half an hour ago, by the control node's clock."""
    instance = cloud.launch(tags_of_run(OTHER_RUN, lease_seconds=1800 * aws_ahead_hours))
    date = format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(hours=aws_ahead_hours), usegmt=True)

    def in_another_time(service: str) -> Any:
        client = cloud.control_node(service)
        client.meta.events.register("response-received", lambda response_dict, **_: tell(response_dict))
        return client

    def tell(response_dict: dict[str, Any]) -> None:
        response_dict["headers"]["date"] = date

    report = sweep(cloud, make_client=in_another_time)
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait_for(lambda: cloud.state(instance) == "terminated")

    assert report.ended["instances"] == [instance] * ended


def test_too_many_instances_are_refused(cloud: Cloud) -> None:
    from ansible_collections.spot_train.core.plugins.module_utils.sweep.scope import Refused

    made = [cloud.launch(tags_of_run(f"{OTHER_RUN}-{n}", lease_seconds=-1)) for n in range(2)]

    with pytest.raises(Refused, match="2 instances are in scope"):
        sweep(cloud, at_most=1)

    assert sorted(sweep(cloud, at_most=2).ended["instances"]) == sorted(made)
