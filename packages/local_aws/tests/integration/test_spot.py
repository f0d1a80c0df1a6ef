"""Spot requests: open, fulfilled, cancelled, tagged, and found by filters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

Faults = Callable[..., dict[str, Any]]
Ask = Callable[..., str]
WaitUntil = Callable[[Callable[[], object], str], None]


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def tags(kind: str, **values: str) -> dict[str, Any]:
    return {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in values.items()]}


def plain(listing: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in listing}


@pytest.fixture
def run() -> str:
    return f"run-{time.monotonic_ns()}"


@pytest.fixture
def ask(server: Any, run: str) -> Iterator[Ask]:
    """Requests spot instances; it cancels and terminates them afterwards."""
    ec2, made = server.client("ec2"), list[str]()

    def request(specification: dict[str, Any] | None = None, **options: Any) -> str:
        wanted = {"ImageId": server.image(), "InstanceType": "r5.large", **(specification or {})}
        labels = [tags("spot-instances-request", run_id=run, project="spot-train")]
        answer = ec2.request_spot_instances(LaunchSpecification=wanted, TagSpecifications=labels, **options)
        (found,) = answer["SpotInstanceRequests"]
        made.append(found["SpotInstanceRequestId"])
        return made[-1]

    yield request
    if made:
        ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=made)
        found = ec2.describe_spot_instance_requests(SpotInstanceRequestIds=made)["SpotInstanceRequests"]
        instances = [each["InstanceId"] for each in found if "InstanceId" in each]
        if instances:
            ec2.terminate_instances(InstanceIds=instances)


def shown(server: Any, request: str) -> dict[str, Any]:
    answer = server.client("ec2").describe_spot_instance_requests(SpotInstanceRequestIds=[request])
    return dict(answer["SpotInstanceRequests"][0])


def found(server: Any, tag: str = "", **filters: str) -> list[str]:
    """Ids of the requests with a tag run_id that match filters; underscores stand for hyphens."""
    wanted = [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in filters.items()]
    wanted += [{"Name": "tag:run_id", "Values": [tag]}] if tag else []
    answer = server.client("ec2").describe_spot_instance_requests(Filters=wanted)
    return [each["SpotInstanceRequestId"] for each in answer["SpotInstanceRequests"]]


def test_open_request_can_be_cancelled(server: Any, faults: Faults, ask: Ask, run: str) -> None:
    faults("capacity", "type=r5.large", "market=spot")
    request = ask()
    now = shown(server, request)
    assert (now["State"], now["Status"]["Code"]) == ("open", "capacity-not-available")
    assert "InstanceId" not in now and now["Type"] == "one-time"
    assert plain(now["Tags"]) == {"run_id": run, "project": "spot-train"}
    assert found(server, run) == [request]
    assert found(server, run, state="open", status_code="capacity-not-available") == [request]
    assert found(server, run, state="active") == []
    assert found(server, spot_instance_request_id=request) == [request]
    listed = next(each for each in server.status()["spot_requests"] if each["id"] == request)
    assert listed == {
        "id": request,
        "state": "open",
        "status": "capacity-not-available",
        "instance": None,
        "tags": {"run_id": run, "project": "spot-train"},
    }
    server.client("ec2").cancel_spot_instance_requests(SpotInstanceRequestIds=[request])
    now = shown(server, request)
    assert (now["State"], now["Status"]["Code"]) == ("cancelled", "canceled-before-fulfillment")
    server.fault("clear")
    time.sleep(2.5)  # longer than the interval between attempts
    assert shown(server, request)["State"] == "cancelled"


def test_open_request_is_granted_when_capacity_returns(
    server: Any, faults: Faults, ask: Ask, wait_until: WaitUntil
) -> None:
    faults("capacity", "market=spot")
    request = ask({"UserData": "IyEvYmluL3NoCmVjaG8gZ3JhbnRlZAo="})  # echo granted
    time.sleep(2.5)
    assert shown(server, request)["State"] == "open"
    server.fault("clear")
    wait_until(lambda: shown(server, request)["State"] == "active", "the request is not fulfilled")
    now = shown(server, request)
    assert now["Status"]["Code"] == "fulfilled"
    instance = server.describe(now["InstanceId"])
    assert (instance["InstanceLifecycle"], instance["InstanceType"]) == ("spot", "r5.large")
    assert instance["SpotInstanceRequestId"] == request and not instance.get("Tags")
    assert found(server, instance_id=now["InstanceId"]) == [request]
    server.await_online(now["InstanceId"])
    assert "granted" in server.console(now["InstanceId"])


def test_fulfilled_request_follows_its_specification(server: Any, ask: Ask) -> None:
    ec2 = server.client("ec2")
    zone = [{"Name": "availability-zone", "Values": ["us-east-1b"]}]
    subnet = ec2.describe_subnets(Filters=zone)["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    now = shown(server, ask({"SubnetId": subnet, "SecurityGroupIds": [group]}, SpotPrice="1"))
    assert (now["State"], now["Status"]["Code"]) == ("active", "fulfilled")
    instance = server.describe(now["InstanceId"])
    assert instance["Placement"]["AvailabilityZone"] == "us-east-1b"
    assert [each["GroupId"] for each in instance["SecurityGroups"]] == [group]
    ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[now["SpotInstanceRequestId"]])
    now = shown(server, now["SpotInstanceRequestId"])
    assert (now["State"], now["Status"]["Code"]) == ("cancelled", "request-canceled-and-instance-running")
    assert server.state(now["InstanceId"]) in ("pending", "running")


def test_bid_below_the_market_stays_open(server: Any, ask: Ask) -> None:
    now = shown(server, ask(SpotPrice="0.0001"))
    assert (now["State"], now["Status"]["Code"]) == ("open", "price-too-low")


@pytest.mark.parametrize(
    ("specification", "code"),
    [
        ({"ImageId": "ami-00000000"}, "InvalidAMIID.NotFound"),
        ({"SubnetId": "subnet-00000000"}, "InvalidSubnetID.NotFound"),
        ({"InstanceType": "x9.colossal"}, "InvalidInstanceType.NotFound"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_spot_request_with_unknown_names_is_refused(
    server: Any, ask: Ask, specification: dict[str, Any], code: str
) -> None:
    before = [each["id"] for each in server.status()["spot_requests"]]
    assert refusal(lambda: ask(specification)) == code
    assert [each["id"] for each in server.status()["spot_requests"]] == before


def test_unknown_spot_request_is_an_error(server: Any) -> None:
    assert refusal(lambda: shown(server, "sir-00000000")) == "InvalidSpotInstanceRequestID.NotFound"


@pytest.mark.parametrize("in_template", [False, True])
def test_launch_tags_reach_the_spot_request(
    server: Any, launch: Callable[..., str], run: str, in_template: bool
) -> None:
    ec2, labels = server.client("ec2"), [tags("spot-instances-request", run_id=run), tags("instance", of="instance")]
    spot = {"MarketType": "spot"}
    if in_template:
        data = {"InstanceMarketOptions": spot, "TagSpecifications": labels}
        ec2.create_launch_template(LaunchTemplateName=run, LaunchTemplateData=data)
        instance = launch(LaunchTemplate={"LaunchTemplateName": run, "Version": "$Latest"})
        ec2.delete_launch_template(LaunchTemplateName=run)
    else:
        instance = launch(InstanceMarketOptions=spot, TagSpecifications=labels)
    (request,) = found(server, run, instance_id=instance)
    assert plain(shown(server, request)["Tags"]) == {"run_id": run}
    assert plain(server.describe(instance)["Tags"]).get("of") == "instance"


def test_launch_template_is_found_by_its_own_tags(server: Any, run: str) -> None:
    ec2, image = server.client("ec2"), server.image()
    label = {"TagSpecifications": [tags("launch-template", run_id=run, project="spot-train")]}
    made = ec2.create_launch_template(LaunchTemplateName=run, LaunchTemplateData={"ImageId": image}, **label)
    identifier = made["LaunchTemplate"]["LaunchTemplateId"]
    other = f"{run}-other"
    ec2.create_launch_template(LaunchTemplateName=other, LaunchTemplateData={"ImageId": image})
    try:
        assert plain(made["LaunchTemplate"]["Tags"]) == {"run_id": run, "project": "spot-train"}
        ec2.create_tags(Resources=[identifier], Tags=[{"Key": "later", "Value": "yes"}])
        wanted = [{"Name": "tag:run_id", "Values": [run]}, {"Name": "tag:project", "Values": ["spot-*"]}]
        (template,) = ec2.describe_launch_templates(Filters=wanted)["LaunchTemplates"]
        assert template["LaunchTemplateName"] == run
        assert plain(template["Tags"]) == {"run_id": run, "project": "spot-train", "later": "yes"}
        listed = [each for each in server.status()["launch_templates"] if each["name"].startswith(run)]
        assert listed == [{"name": run, "tags": plain(template["Tags"])}, {"name": other, "tags": {}}]
        # The instance does not get the tags.
        (version,) = ec2.describe_launch_template_versions(LaunchTemplateName=run)["LaunchTemplateVersions"]
        assert version["LaunchTemplateData"] == {"ImageId": image}
    finally:
        for name in (run, other):
            ec2.delete_launch_template(LaunchTemplateName=name)
    assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [identifier]}])["Tags"] == []


def test_spot_request_needs_pass_role(server: Any, iam_user: Callable[..., Any]) -> None:
    iam = server.client("iam")
    iam.create_role(RoleName="spot-role", AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}')
    iam.create_instance_profile(InstanceProfileName="spot-profile")
    iam.add_role_to_instance_profile(InstanceProfileName="spot-profile", RoleName="spot-role")
    ec2 = iam_user({"Effect": "Allow", "Action": "ec2:*", "Resource": "*"})("ec2")
    wanted = {
        "ImageId": server.image(),
        "InstanceType": "r5.large",
        "IamInstanceProfile": {"Name": "spot-profile"},
    }
    try:
        with pytest.raises(ClientError, match=r"iam:PassRole on resource: .*:role/spot-role"):
            ec2.request_spot_instances(LaunchSpecification=wanted)
        (request,) = server.client("ec2").request_spot_instances(LaunchSpecification=wanted)["SpotInstanceRequests"]
        instance = server.describe(request["InstanceId"])
        assert instance["IamInstanceProfile"]["Arn"].endswith(":instance-profile/spot-profile")
        server.client("ec2").terminate_instances(InstanceIds=[request["InstanceId"]])
        server.await_state(request["InstanceId"], "terminated")
    finally:
        iam.remove_role_from_instance_profile(InstanceProfileName="spot-profile", RoleName="spot-role")
        iam.delete_instance_profile(InstanceProfileName="spot-profile")
        iam.delete_role(RoleName="spot-role")
