"""Instances: launch templates, states, and clean-up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

Launch = Callable[..., str]
Template = Callable[..., dict[str, str]]


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def tags(kind: str, **values: str) -> dict[str, Any]:
    return {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in values.items()]}


@pytest.fixture
def template(server: Any) -> Iterator[Template]:
    """Creates launch templates; it deletes them afterwards."""
    ec2, made = server.client("ec2"), []

    def make(**data: Any) -> dict[str, str]:
        name = f"template-{time.monotonic_ns()}"
        data = {"ImageId": server.image(), "InstanceType": "r5.large", **data}
        ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
        made.append(name)
        return {"LaunchTemplateName": name, "Version": "$Latest"}

    yield make
    for name in made:
        ec2.delete_launch_template(LaunchTemplateName=name)


@pytest.fixture
def launch_from(server: Any) -> Iterator[Callable[..., str]]:
    """Launches instances of templates; it terminates them afterwards."""
    ec2, made = server.client("ec2"), []

    def start(template: dict[str, str], **request: Any) -> str:
        answer = ec2.run_instances(LaunchTemplate=template, MinCount=1, MaxCount=1, **request)
        made.append(answer["Instances"][0]["InstanceId"])
        return str(made[-1])

    yield start
    if made:
        ec2.terminate_instances(InstanceIds=made)


def disks(server: Any, instance: str) -> list[dict[str, Any]]:
    filters = [{"Name": "attachment.instance-id", "Values": [instance]}]
    return list(server.client("ec2").describe_volumes(Filters=filters)["Volumes"])


def spot_request(server: Any, instance: str) -> dict[str, Any]:
    requests = server.client("ec2").describe_spot_instance_requests()["SpotInstanceRequests"]
    return next(dict(each) for each in requests if each.get("InstanceId") == instance)


def plain(listing: list[dict[str, str]]) -> dict[str, str]:
    """Tags without EC2's own, which name the template."""
    return {tag["Key"]: tag["Value"] for tag in listing if not tag["Key"].startswith("aws:")}


def test_every_option_of_a_launch_template_takes_effect(
    server: Any, template: Template, launch_from: Callable[..., str], iam_profile: str
) -> None:
    group = server.client("ec2").describe_security_groups()["SecurityGroups"][0]["GroupId"]
    image = server.client("ec2").describe_images(ImageIds=[server.image()])["Images"][0]
    root = {"VolumeSize": 20, "VolumeType": "gp3", "Encrypted": True}
    instance = launch_from(
        template(
            InstanceMarketOptions={"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}},
            TagSpecifications=[tags("instance", run="r1", Name="one"), tags("volume", run="r1")],
            MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            BlockDeviceMappings=[{"DeviceName": image["RootDeviceName"], "Ebs": root}],
            InstanceInitiatedShutdownBehavior="terminate",
            UserData="IyEvYmluL3NoCmVjaG8gaXQgcmFuIGFzICQoaWQgLXUpCg==",  # echo it ran as $(id -u)
            IamInstanceProfile={"Name": iam_profile},
            SecurityGroupIds=[group],
        )
    )
    found = server.describe(instance)
    assert (found["InstanceType"], found["InstanceLifecycle"]) == ("r5.large", "spot")
    assert found["MetadataOptions"]["HttpTokens"] == "required"
    assert plain(found["Tags"]) == {"run": "r1", "Name": "one"}
    assert found["IamInstanceProfile"]["Arn"].endswith(f":instance-profile/{iam_profile}")
    assert [each["GroupId"] for each in found["SecurityGroups"]] == [group]
    attribute = server.client("ec2").describe_instance_attribute(
        InstanceId=instance, Attribute="instanceInitiatedShutdownBehavior"
    )
    assert attribute["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"
    (disk,) = disks(server, instance)
    assert (disk["Size"], disk["VolumeType"], disk["Encrypted"]) == (20, "gp3", True)
    assert plain(disk["Tags"]) == {"run": "r1"}
    request = spot_request(server, instance)
    assert (request["State"], request["Type"], request["Status"]["Code"]) == ("active", "one-time", "fulfilled")
    assert found["SpotInstanceRequestId"] == request["SpotInstanceRequestId"]
    server.await_online(instance)
    assert "it ran as 0" in server.console(instance) or server.status()["isolation"] == "process-group"
    assert "it ran as " in server.console(instance)


@pytest.fixture
def iam_profile(server: Any) -> Iterator[str]:
    """An instance profile whose role may write into buckets named ``bucket-*``."""
    iam, name = server.client("iam"), "training"
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    statement = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::bucket-*/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=name, PolicyName="only", PolicyDocument=document)
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    yield name
    iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=name)
    iam.delete_instance_profile(InstanceProfileName=name)
    iam.delete_role_policy(RoleName=name, PolicyName="only")
    iam.delete_role(RoleName=name)


def test_request_overrides_the_template(server: Any, template: Template, launch_from: Callable[..., str]) -> None:
    instance = launch_from(
        template(
            TagSpecifications=[tags("instance", run="r1", kept="yes")],
            MetadataOptions={"HttpTokens": "required"},
            InstanceInitiatedShutdownBehavior="terminate",
        ),
        InstanceType="t3.large",
        TagSpecifications=[tags("instance", run="r2")],
        InstanceMarketOptions={"MarketType": "spot"},
        InstanceInitiatedShutdownBehavior="stop",
    )
    found = server.describe(instance)
    assert (found["InstanceType"], found["InstanceLifecycle"]) == ("t3.large", "spot")
    assert plain(found["Tags"]) == {"run": "r2", "kept": "yes"}
    assert found["MetadataOptions"]["HttpTokens"] == "required"
    attribute = server.client("ec2").describe_instance_attribute(
        InstanceId=instance, Attribute="instanceInitiatedShutdownBehavior"
    )
    assert attribute["InstanceInitiatedShutdownBehavior"]["Value"] == "stop"


def test_subnet_of_request_or_template_sets_the_zone(
    server: Any, template: Template, launch_from: Callable[..., str]
) -> None:
    filters = [{"Name": "availability-zone", "Values": ["us-east-1b"]}]
    subnet = server.client("ec2").describe_subnets(Filters=filters)["Subnets"][0]["SubnetId"]
    instance = launch_from(template(), SubnetId=subnet)
    assert server.describe(instance)["Placement"]["AvailabilityZone"] == "us-east-1b"
    interface = {"DeviceIndex": 0, "SubnetId": subnet, "AssociatePublicIpAddress": True}
    instance = launch_from(template(NetworkInterfaces=[interface]))
    assert server.describe(instance)["Placement"]["AvailabilityZone"] == "us-east-1b"


def test_terminated_instance_leaves_nothing(server: Any, launch: Launch) -> None:
    spot = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}
    answer = server.client("ec2").run_instances(
        ImageId=server.image(), InstanceType="t3.medium", MinCount=1, MaxCount=1, InstanceMarketOptions=spot
    )["Instances"][0]
    instance = answer["InstanceId"]
    assert answer["State"]["Name"] == "pending"
    server.await_state(instance, "running")
    (disk,) = disks(server, instance)
    assert (disk["State"], disk["VolumeType"]) == ("in-use", "gp3")
    answer = server.client("ec2").terminate_instances(InstanceIds=[instance])["TerminatingInstances"][0]
    assert answer["CurrentState"]["Name"] == "shutting-down"
    server.await_state(instance, "terminated")
    found = server.describe(instance)
    assert found["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert disks(server, instance) == []
    assert disk["VolumeId"] not in [volume["id"] for volume in server.status()["volumes"]]
    request = spot_request(server, instance)
    assert (request["State"], request["Status"]["Code"]) == ("closed", "instance-terminated-by-user")
    assert not (server.home / "machines" / instance).exists()


def test_termination_kills_every_process(
    server: Any, launch: Launch, find_processes: Callable[[str], list[int]], wait_until: Callable[..., None]
) -> None:
    mark = f"sleep {time.monotonic_ns()}"
    instance = launch(f"trap '' TERM HUP\nnohup setsid {mark} >/dev/null 2>&1 &\n(trap '' TERM; {mark}) &\nexit 0")
    wait_until(lambda: len(find_processes(mark.replace(" ", "\0"))) == 2, "the user data did not run")
    server.client("ec2").terminate_instances(InstanceIds=[instance])
    server.await_state(instance, "terminated")
    assert find_processes(mark.replace(" ", "\0")) == []
    assert find_processes(instance) == []


def test_instances_terminated_while_booting_leave_no_machine(
    server: Any, launch: Launch, find_processes: Callable[[str], list[int]]
) -> None:
    instances = [launch() for _ in range(3)]
    server.client("ec2").terminate_instances(InstanceIds=instances)
    for instance in instances:
        server.await_state(instance, "terminated")
    # Boots in progress take well below a second.
    later = launch()
    server.await_online(later)
    assert [server.state(each) for each in instances] == ["terminated"] * 3
    assert [find_processes(each) for each in instances] == [[], [], []]
    assert [path.name for path in (server.home / "machines").iterdir() if path.name in instances] == []


@pytest.mark.parametrize(
    ("market", "behaviour", "end"),
    [("spot", "terminate", "terminated"), (None, "terminate", "terminated"), (None, "stop", "stopped")],
)
def test_shutdown_inside_follows_shutdown_behaviour(
    server: Any, launch: Launch, market: str | None, behaviour: str, end: str
) -> None:
    options: dict[str, Any] = {"InstanceMarketOptions": {"MarketType": market}} if market else {}
    instance = launch("shutdown -P now", InstanceInitiatedShutdownBehavior=behaviour, **options)
    server.await_state(instance, end)
    assert server.describe(instance)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    if market:
        assert spot_request(server, instance)["State"] == "closed"


def test_stopped_instance_starts_again_with_its_disk(server: Any, launch: Launch) -> None:
    ec2 = server.client("ec2")
    instance = launch("echo again >>/root/boots")
    server.await_online(instance)
    ec2.stop_instances(InstanceIds=[instance])
    server.await_state(instance, "stopped")
    assert instance not in server.online()
    ec2.start_instances(InstanceIds=[instance])
    server.await_state(instance, "running")
    server.await_online(instance)
    assert "found again again" in server.session(instance, "echo found $(sudo cat /root/boots) again").replace("\r", "")


def test_one_time_spot_instance_cannot_be_stopped(server: Any, launch: Launch) -> None:
    instance = launch(InstanceMarketOptions={"MarketType": "spot"})
    assert refusal(lambda: server.client("ec2").stop_instances(InstanceIds=[instance])) == "UnsupportedOperation"


def test_cancelled_spot_request_keeps_its_instance(server: Any, launch: Launch) -> None:
    instance = launch(InstanceMarketOptions={"MarketType": "spot"})
    server.await_state(instance, "running")
    request = server.describe(instance)["SpotInstanceRequestId"]
    server.client("ec2").cancel_spot_instance_requests(SpotInstanceRequestIds=[request])
    assert spot_request(server, instance)["State"] == "cancelled"
    assert server.state(instance) == "running"
    missing = "sir-00000000"
    code = refusal(lambda: server.client("ec2").cancel_spot_instance_requests(SpotInstanceRequestIds=[missing]))
    assert code == "InvalidSpotInstanceRequestID.NotFound"


def test_protected_instance_cannot_be_terminated(server: Any, launch: Launch) -> None:
    ec2, instance = server.client("ec2"), launch(DisableApiTermination=True)
    assert refusal(lambda: ec2.terminate_instances(InstanceIds=[instance])) == "OperationNotPermitted"
    server.await_state(instance, "running")
    ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": False})
    ec2.terminate_instances(InstanceIds=[instance])
    server.await_state(instance, "terminated")


def test_launch_is_idempotent_by_client_token(server: Any) -> None:
    ec2, token = server.client("ec2"), f"token-{time.monotonic_ns()}"
    request = {"ImageId": server.image(), "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1}
    first, second = (ec2.run_instances(**request, ClientToken=token)["Instances"][0] for _ in range(2))
    assert first["InstanceId"] == second["InstanceId"]
    other = {**request, "InstanceType": "t3.large"}
    assert refusal(lambda: ec2.run_instances(**other, ClientToken=token)) == "IdempotentParameterMismatch"
    ec2.terminate_instances(InstanceIds=[first["InstanceId"]])


def test_dry_run_launches_and_writes_nothing(server: Any, template: Template) -> None:
    before = server.status()["instances"]
    request = {"LaunchTemplate": template(), "MinCount": 1, "MaxCount": 1, "DryRun": True}
    assert refusal(lambda: server.client("ec2").run_instances(**request)) == "DryRunOperation"
    assert server.status()["instances"] == before
    line = server.ledger("--action", "RunInstances")[-1]
    assert (line["error"], line["write"]) == ("DryRunOperation", False)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"ImageId": "ami-00000000"}, "InvalidAMIID.NotFound"),
        ({"InstanceType": "x9.colossal"}, "InvalidInstanceType.NotFound"),
        ({"SubnetId": "subnet-00000000"}, "InvalidSubnetID.NotFound"),
        ({"LaunchTemplate": {"LaunchTemplateName": "nobody"}}, "InvalidLaunchTemplateName.NotFoundException"),
    ],
)
def test_launch_with_unknown_names_is_refused(server: Any, request_: dict[str, Any], code: str) -> None:
    assert refusal(lambda: server.launch(**request_)) == code
    assert [volume for volume in server.status()["volumes"] if volume["state"] == "creating"] == []


def test_bid_below_spot_price_is_refused(server: Any, launch: Launch) -> None:
    from local_aws.market import ON_DEMAND_USD_HOUR, spot_price

    history = server.client("ec2").describe_spot_price_history(
        InstanceTypes=["r5.large"], ProductDescriptions=["Linux/UNIX"]
    )["SpotPriceHistory"]
    prices = {each["AvailabilityZone"]: float(each["SpotPrice"]) for each in history}
    assert prices["us-east-1a"] == spot_price("r5.large", "us-east-1a") < ON_DEMAND_USD_HOUR["r5.large"]
    assert prices["us-east-1b"] != prices["us-east-1a"]

    def bid(price: float) -> dict[str, Any]:
        spot = {"MarketType": "spot", "SpotOptions": {"MaxPrice": str(price)}}
        zone = {"AvailabilityZone": "us-east-1a"}
        return {"InstanceType": "r5.large", "InstanceMarketOptions": spot, "Placement": zone}

    assert refusal(lambda: server.launch(**bid(prices["us-east-1a"] - 0.001))) == "SpotMaxPriceTooLow"
    instance = launch(**bid(prices["us-east-1a"]))
    assert float(spot_request(server, instance)["SpotPrice"]) == prices["us-east-1a"]


def test_instance_requests_use_its_role_and_are_logged(
    server: Any, launch: Launch, iam_profile: str, bucket: str
) -> None:
    script = """
service=$AWS_EC2_METADATA_SERVICE_ENDPOINT
token=$(curl -sf -X PUT "$service/latest/api/token" -H 'X-aws-ec2-metadata-token-ttl-seconds: 60')
echo "keys $(curl -sf -H "X-aws-ec2-metadata-token: $token" \
  "$service/latest/meta-data/iam/security-credentials/training" | tr -d '\\n')"
"""
    instance = launch(script, IamInstanceProfile={"Name": iam_profile}, MetadataOptions={"HttpTokens": "required"})
    server.await_online(instance)
    line = next(line for line in server.console(instance).splitlines() if "keys {" in line)
    keys = json.loads(line.partition("keys ")[2])
    s3 = server.client_of("s3", keys["AccessKeyId"], keys["SecretAccessKey"], keys["Token"])
    s3.put_object(Bucket=bucket, Key="weights", Body=b"1")
    assert refusal(lambda: s3.get_object(Bucket=bucket, Key="weights")) == "AccessDenied"
    lines = server.ledger("--source", instance)
    assert [(each["action"], each["allowed"]) for each in lines] == [("PutObject", True), ("GetObject", False)]
    assert lines[0]["principal"] == f"arn:aws:sts::123456789012:assumed-role/training/{instance}"
    assert [each for each in server.ledger("--source", "instance") if each["source"] == instance] == lines


def test_short_lived_credentials_stay_until_they_expire(server: Any, launch: Launch, iam_profile: str) -> None:
    script = """
service=$AWS_EC2_METADATA_SERVICE_ENDPOINT
token=$(curl -sf -X PUT "$service/latest/api/token" -H 'X-aws-ec2-metadata-token-ttl-seconds: 60')
for number in 1 2 3; do
  [ $number = 3 ] && sleep 11
  echo "keys $(curl -sf -H "X-aws-ec2-metadata-token: $token" \
    "$service/latest/meta-data/iam/security-credentials/training" | tr -d '\\n')"
done
"""
    server.fault("credentials", "seconds=10", "count=1")
    try:
        instance = launch(script, IamInstanceProfile={"Name": iam_profile})
        server.await_online(instance)
    finally:
        server.fault("clear")
    printed = [line.partition("keys ")[2] for line in server.console(instance).splitlines() if "keys {" in line]
    first, second, third = (json.loads(each) for each in printed)
    assert first == second
    assert third["AccessKeyId"] != first["AccessKeyId"]
    left = [_seconds(each["LastUpdated"], each["Expiration"]) for each in (first, third)]
    assert left[0] <= 11 and left[1] > 3600


def _seconds(start: str, end: str) -> float:
    times = [datetime.fromisoformat(each.replace("Z", "+00:00")) for each in (start, end)]
    return (times[1] - times[0]).total_seconds()


def test_image_keeps_its_architecture(server: Any) -> None:
    ec2 = server.client("ec2")
    image = ec2.register_image(Name="arm", Architecture="arm64", RootDeviceName="/dev/xvda")["ImageId"]
    assert ec2.describe_images(ImageIds=[image])["Images"][0]["Architecture"] == "arm64"
    ec2.deregister_image(ImageId=image)


def test_session_is_unprivileged_and_ends_with_instance(server: Any, launch: Launch) -> None:
    instance = launch()
    server.await_online(instance)
    output = server.session(instance, "echo I am $(id -un) in $PWD and with sudo $(sudo id -un)").replace("\r", "")
    assert "I am ssm-user in /usr/bin and with sudo root" in output
    session = server.client("ssm").start_session(Target=instance)["SessionId"]
    assert session in [each["id"] for each in server.status()["sessions"]]
    server.client("ec2").terminate_instances(InstanceIds=[instance])
    server.await_state(instance, "terminated")
    assert session not in [each["id"] for each in server.status()["sessions"]]
    assert refusal(lambda: server.client("ssm").start_session(Target=instance)) == "TargetNotConnected"
