"""The sweep removes all resources of one run and no others, even if AWS refuses some requests."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.integration.termination.conftest import PROJECT, RUN, tags_of_run
from tests.support.account import TRANSPORT_BUCKET
from tests.support.cloud import Cloud, Inventory

NOTHING = dict.fromkeys(("instances", "volumes", "spot_requests", "launch_templates", "schedules", "transport_keys"), 0)


@pytest.fixture(autouse=True)
def only_what_is_ours(cloud: Cloud, bystanders: Inventory) -> Iterator[None]:
    """After each test everything of the run is gone, and everything of others is as it was."""
    yield
    cloud.account.local_aws("fault", "clear")
    assert cloud.inventory() == bystanders


def sweep(cloud: Cloud, make_client: Callable[[str], Any] | None = None, **more: Any) -> Any:
    """Sweep the run, or the scope in ``more``; by default with the control node's keys."""
    from ansible_collections.spot_train.core.plugins.module_utils.aws.client import Aws
    from ansible_collections.spot_train.core.plugins.module_utils.sweep.scope import Scope
    from ansible_collections.spot_train.core.plugins.module_utils.sweep.sweep import sweep

    wanted = Scope(**{"project": PROJECT, "run_id": RUN, "transport_bucket": TRANSPORT_BUCKET, **more})
    return sweep(Aws(make_client or cloud.control_node), wanted)


def listening(cloud: Cloud, listeners: dict[str, Callable[..., None]]) -> Callable[[str], Any]:
    """Creates clients of the control node that call a listener at these events of botocore."""

    def make_client(service: str) -> Any:
        client = cloud.control_node(service)
        for event, listener in listeners.items():
            client.meta.events.register(event, listener)
        return client

    return make_client


def leave_everything(cloud: Cloud) -> dict[str, list[str]]:
    """All kinds of leftovers of a run."""
    tags = tags_of_run()
    instance = cloud.launch(tags, tags)
    requests = cloud.ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
    return {
        "instances": [instance],
        "volumes": [cloud.volume(tags)],
        "spot_requests": [r["SpotInstanceRequestId"] for r in requests if r["InstanceId"] == instance],
        "launch_templates": [cloud.template(f"{PROJECT}-{RUN}", tags)],
        "schedules": [cloud.schedule(f"{PROJECT}-{RUN}")],
        "transport_keys": [cloud.key(f"{instance}/a"), cloud.key(f"{instance}/b/c")],
    }


def test_only_resources_of_the_run_are_removed(cloud: Cloud) -> None:
    made = leave_everything(cloud)

    report = sweep(cloud)

    assert {kind: sorted(names) for kind, names in report.ended.items()} == made
    assert (report.left, report.failures, report.trouble()) == (NOTHING, [], "")
    assert report.terminated_at.keys() == set(made["instances"])
    assert report.terminated_at[made["instances"][0]] <= report.aws_time


def test_second_sweep_still_returns_the_termination_time(cloud: Cloud) -> None:
    instance = cloud.launch(tags_of_run("twice"))
    first = sweep(cloud, run_id="twice")

    second = sweep(cloud, run_id="twice")

    assert not any(second.ended.values())
    assert second.trouble() == ""
    assert second.terminated_at == first.terminated_at
    assert list(second.terminated_at) == [instance]


def test_concurrent_sweeps_succeed(cloud: Cloud) -> None:
    leave_everything(cloud)
    reports: list[Any] = []
    threads = [threading.Thread(target=lambda: reports.append(sweep(cloud))) for _ in range(2)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [report.trouble() for report in reports] == ["", ""]
    assert [report.left for report in reports] == [NOTHING, NOTHING]


def test_concurrent_deletion_is_not_an_error(cloud: Cloud) -> None:
    """A policy by tags may deny the second deletion, because the tags are gone."""
    made = leave_everything(cloud)
    answers: list[str] = []

    def faster(model: Any, **_: Any) -> None:
        if model.name == "DeleteVolume":
            cloud.ec2.delete_volume(VolumeId=made["volumes"][0])
        else:
            cloud.ec2.delete_launch_template(LaunchTemplateName=made["launch_templates"][0])

    def answered(parsed: Any, **_: Any) -> None:
        answers.append(parsed["Error"]["Code"])

    listeners = {
        f"{moment}.ec2.{operation}": listener
        for operation in ("DeleteVolume", "DeleteLaunchTemplate")
        for moment, listener in (("before-call", faster), ("after-call", answered))
    }
    report = sweep(cloud, listening(cloud, listeners))

    assert answers == ["InvalidVolume.NotFound", "UnauthorizedOperation"]
    assert (report.left, report.failures) == (NOTHING, [])
    assert (report.ended["volumes"], report.ended["launch_templates"]) == ([], [])


@pytest.mark.parametrize("answers", [True, False], ids=["seen", "not_seen"])
def test_resource_that_lost_its_tags_is_kept_and_listed(cloud: Cloud, answers: bool) -> None:
    """A denial alone says nothing of whether it has gone; nor does a look-up that fails."""
    volume, template = cloud.volume(tags_of_run()), cloud.template(f"{PROJECT}-{RUN}", tags_of_run())
    (made,) = cloud.ec2.describe_launch_templates(LaunchTemplateNames=[template])["LaunchTemplates"]
    resources = {"DeleteVolume": volume, "DeleteLaunchTemplate": made["LaunchTemplateId"]}

    def strip(model: Any, **_: Any) -> None:
        cloud.ec2.delete_tags(Resources=[resources[model.name]], Tags=[{"Key": "project"}, {"Key": "run_id"}])

    def away(params: Any, **_: Any) -> None:
        if not answers and not any(str(value).startswith("tag:") for value in params["body"].values()):
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1")

    listeners: dict[str, Callable[..., None]] = {
        "before-call.ec2.DeleteVolume": strip,
        "before-call.ec2.DeleteLaunchTemplate": strip,
        "before-call.ec2.DescribeVolumes": away,
        "before-call.ec2.DescribeLaunchTemplates": away,
    }
    report = sweep(cloud, listening(cloud, listeners))
    cloud.ec2.delete_volume(VolumeId=volume)
    cloud.ec2.delete_launch_template(LaunchTemplateName=template)

    assert (report.left["volumes"], report.left["launch_templates"]) == (1, 1)
    assert [(each["what"], each["code"]) for each in report.failures] == [
        (f"delete volume {volume}", "UnauthorizedOperation"),
        (f"delete launch template {template}", "UnauthorizedOperation"),
    ]


def test_untagged_instance_of_a_tagged_request_is_terminated(cloud: Cloud) -> None:
    # The policy of the control node forbids terminating untagged instances, so the account's owner sweeps.
    instance = cloud.launch({}, tags_of_run())

    report = sweep(cloud, make_client=cloud.account.client)

    assert report.ended["instances"] == [instance]
    assert report.trouble() == ""


def test_untagged_instance_that_stays_is_an_error(cloud: Cloud) -> None:
    instance = cloud.launch({}, tags_of_run())

    report = sweep(cloud)
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait_for(lambda: cloud.state(instance) == "terminated")

    assert report.left["instances"] == 1
    assert f"terminate {instance}, launched without tags by a spot request of the run, (5 tries)" in report.trouble()
    assert "UnauthorizedOperation" in report.trouble()


def test_untagged_launch_template_is_found_by_name(cloud: Cloud) -> None:
    """The control node's policy forbids creating and deleting such a template."""
    name = cloud.template(f"{PROJECT}-{RUN}", {})

    report = sweep(cloud)
    assert f"delete launch template {name}" in report.trouble()
    assert "UnauthorizedOperation" in report.trouble()
    assert sweep(cloud, cloud.account.client).ended["launch_templates"] == [name]


def test_tags_of_a_template_override_its_name(cloud: Cloud) -> None:
    """Project spot-train with the run 2-x, or project spot-train-2 with the run x?"""
    name = cloud.template(f"{PROJECT}-2-x", tags_of_run("x", project=f"{PROJECT}-2"))

    report = sweep(cloud, run_id="2-x")
    cloud.ec2.delete_launch_template(LaunchTemplateName=name)

    assert report.ended["launch_templates"] == []


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"run_id": ""}, "expected exactly one"),
        ({"run_id": "  "}, "expected exactly one"),
        ({"project": ""}, "project: expected a name"),
        ({"run_id": "*"}, "got the pattern"),
        ({"run_id": "20260105T090000Z-0a1b2?"}, "got the pattern"),
        ({"project": "spot-train*"}, "got the pattern"),
        ({"expired": True}, "expected exactly one"),
    ],
)
def test_ambiguous_selection_is_refused_before_any_request(cloud: Cloud, wanted: dict[str, Any], words: str) -> None:
    from ansible_collections.spot_train.core.plugins.module_utils.sweep.scope import Refused

    def nobody(service: str) -> Any:
        raise AssertionError(f"{service} was asked")

    with pytest.raises(Refused, match=words):
        sweep(cloud, make_client=nobody, **wanted)


def test_instances_over_the_limit_are_listed_and_kept(cloud: Cloud) -> None:
    from ansible_collections.spot_train.core.plugins.module_utils.sweep.scope import Refused

    made = [cloud.launch(tags_of_run(), tags_of_run()) for _ in range(2)]

    with pytest.raises(Refused) as refusal:
        sweep(cloud, at_most=1)

    assert all(instance in str(refusal.value) for instance in made)
    assert "more than spot_instance_end_at_most=1" in str(refusal.value)
    requests = cloud.ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
    assert {r["State"] for r in requests if r["InstanceId"] in made} == {"active"}
    assert sorted(sweep(cloud, at_most=2).ended["instances"]) == sorted(made)


def test_refused_termination_is_retried(cloud: Cloud) -> None:
    instance = cloud.launch(tags_of_run())
    cloud.account.local_aws("fault", "error", "service=ec2", "action=TerminateInstances", "status=403",
                            "code=UnauthorizedOperation", "count=2")  # fmt: skip

    report = sweep(cloud)

    assert report.ended["instances"] == [instance]
    assert report.trouble() == ""


def test_protected_instance_does_not_block_others(cloud: Cloud) -> None:
    guarded = cloud.launch(tags_of_run(), DisableApiTermination=True)
    other = cloud.launch(tags_of_run())
    cloud.schedule(f"{PROJECT}-{RUN}")
    key, gone = cloud.key(f"{guarded}/a"), cloud.key(f"{other}/a")

    report = sweep(cloud)
    state, left = cloud.state(guarded), cloud.inventory()
    cloud.ec2.modify_instance_attribute(InstanceId=guarded, DisableApiTermination={"Value": False})

    assert report.ended["instances"] == [other]
    assert (report.left["instances"], report.left["schedules"]) == (1, 1)
    assert f"terminate {guarded} (5 tries): OperationNotPermitted" in report.trouble()
    # A running instance keeps its files and its expiry schedule.
    assert state == "running"
    assert key in left["transport_keys"] and gone not in left["transport_keys"]
    assert f"{PROJECT}-{RUN}" in left["schedules"]
    assert sweep(cloud).trouble() == ""


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("DeleteVolume", "volumes"),
        ("DeleteLaunchTemplate", "launch_templates"),
        ("DeleteSchedule", "schedules"),
        ("DeleteObjects", "transport_keys"),
    ],
)
def test_refused_kind_does_not_block_others(cloud: Cloud, action: str, kind: str) -> None:
    made = leave_everything(cloud)
    service = {"schedules": "scheduler", "transport_keys": "s3"}.get(kind, "ec2")
    cloud.account.local_aws("fault", "error", f"service={service}", f"action={action}", "status=403",
                            "code=AccessDenied")  # fmt: skip

    report = sweep(cloud)
    cloud.account.local_aws("fault", "clear")

    assert report.left == {**NOTHING, kind: len(made[kind])}
    assert "AccessDenied" in report.trouble()
    for other in made.keys() - {kind}:
        assert sorted(report.ended[other]) == made[other]
    assert sweep(cloud).trouble() == ""


def test_schedule_stays_if_instances_cannot_be_listed(cloud: Cloud) -> None:
    made = leave_everything(cloud)
    cloud.account.local_aws("fault", "error", "service=ec2", "action=DescribeInstances", "status=403",
                            "code=UnauthorizedOperation")  # fmt: skip

    report = sweep(cloud)
    cloud.account.local_aws("fault", "clear")
    schedules = cloud.inventory()["schedules"]

    assert {kind for kind, count in report.left.items() if count is None} == {
        "instances", "schedules", "transport_keys"
    }  # fmt: skip
    assert report.ended["volumes"] == made["volumes"]
    assert report.ended["launch_templates"] == made["launch_templates"]
    assert made["schedules"][0] in schedules
    assert report.trouble() != ""
    assert sweep(cloud).trouble() == ""


def test_late_listed_launch_is_found(cloud: Cloud) -> None:
    """The answer of a launch was lost, and the first look comes too early."""
    looks = itertools.count(1)
    launched = []

    def launch_before_the_second(**_: Any) -> None:
        if next(looks) == 2:
            launched.append(cloud.launch(tags_of_run()))

    report = sweep(cloud, listening(cloud, {"before-call.ec2.DescribeInstances": launch_before_the_second}))

    assert report.ended["instances"] == launched
    assert len(launched) == 1


def test_policy_protects_other_projects(cloud: Cloud, bystanders: Inventory) -> None:
    """Not only the sweep keeps to its own: IAM would not let it do otherwise."""
    for instance in bystanders["instances"]:
        found = cloud.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        if {"Key": "project", "Value": PROJECT} not in found.get("Tags", []):
            with pytest.raises(ClientError, match="UnauthorizedOperation"):
                cloud.control_node("ec2").terminate_instances(InstanceIds=[instance])
