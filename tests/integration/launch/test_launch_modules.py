"""The modules of a launch, in an account of the embedded AWS."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.integration.launch.conftest import Launching
from tests.support.cloud import specification

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def template(account: Launching) -> str:
    """Id of a minimal launch template that the policy accepts."""
    ec2 = account.client("ec2")
    image = ec2.describe_images(Owners=["amazon", "self"])["Images"][0]["ImageId"]
    # The control node's policy requires the project's tag and IMDSv2.
    made = ec2.create_launch_template(
        LaunchTemplateName="modules",
        LaunchTemplateData={"ImageId": image, "MetadataOptions": {"HttpTokens": "required"}},
        TagSpecifications=[specification("launch-template", {"project": "spot-train"})],
    )
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


@pytest.fixture
def subnet(account: Launching) -> str:
    found = account.client("ec2").describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["us-east-1a"]}])
    return str(found["Subnets"][0]["SubnetId"])


@pytest.fixture
def launch(template: str, subnet: str) -> dict[str, Any]:
    """Arguments of a launch that no other test makes."""
    return {
        "template": template,
        "offer": {
            "market": "spot",
            "type": "r5.large",
            "subnet": subnet,
            "az": "us-east-1a",
            "price_usd_hour": 0.04536,
        },
        "tags": {"run_id": f"module-{next(NUMBERS)}", "project": "spot-train", "attempt": "1", "Name": "test"},
        "identity": ["run_id", "project", "attempt"],
        "settle_seconds": 0,
    }


def tags_of(resource: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in resource["Tags"]}


def test_prices_of_the_whole_matrix_are_read_once(account: Launching) -> None:
    before = account.mark()
    subnets = [{"subnet_id": f"subnet-{zone}", "availability_zone": f"us-east-1{zone}"} for zone in "ab"]
    found = account.module(
        "launch_offers",
        types=["r5.large", "c5.large"],
        subnets=subnets,
        markets=["spot", "on-demand"],
        on_demand={"r5.large": 0.126, "c5.large": 0.085},
        max_price="0.1",
    )
    assert [(offer["market"], offer["type"], offer["az"], offer["price_usd_hour"]) for offer in found["offers"]] == [
        ("spot", "c5.large", "us-east-1a", 0.0306),
        ("spot", "c5.large", "us-east-1b", 0.0323),
        ("spot", "r5.large", "us-east-1a", 0.04536),
        ("spot", "r5.large", "us-east-1b", 0.04788),
        ("on-demand", "c5.large", "us-east-1a", 0.085),
        ("on-demand", "c5.large", "us-east-1b", 0.085),
    ]
    assert [offer["error"] for offer in found["refused"]] == ["PriceAboveCap"] * 2
    assert len(account.requests("DescribeSpotPriceHistory", before)) == 1


def test_invalid_cap_fails_with_one_line(account: Launching) -> None:
    failed = account.module("launch_offers", types=["r5.large"], subnets=[], markets=["spot"], max_price="cheap")
    assert "offers" not in failed
    assert "spot_instance_max_price: expected USD an hour" in failed["msg"]
    assert "Nothing was launched" in failed["msg"]


def test_spot_launch_has_market_options_price_and_tags(account: Launching, launch: dict[str, Any]) -> None:
    done = account.module("ec2_launch_once", **launch, max_price="0.05")
    assert (done["error"], done["offer"]["error"]) == (None, None)
    ec2 = account.client("ec2")
    (instance,) = account.live(launch["tags"]["run_id"])
    assert (instance["InstanceId"], instance["InstanceLifecycle"]) == (done["instance_id"], "spot")
    request = ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[instance["SpotInstanceRequestId"]])
    (asked,) = request["SpotInstanceRequests"]
    assert (asked["Type"], asked["InstanceInterruptionBehavior"]) == ("one-time", "terminate")
    assert float(asked["SpotPrice"]) == 0.05
    volumes = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [done["instance_id"]]}])
    for resource in (instance, asked, volumes["Volumes"][0]):
        assert launch["tags"].items() <= tags_of(resource).items()


def test_on_demand_launch_has_no_spot_request(account: Launching, launch: dict[str, Any]) -> None:
    launch["offer"]["market"] = "on-demand"
    account.module("ec2_launch_once", **launch, max_price="0.5")
    (instance,) = account.live(launch["tags"]["run_id"])
    assert "InstanceLifecycle" not in instance


def test_second_launch_finds_the_first(account: Launching, launch: dict[str, Any]) -> None:
    first = account.module("ec2_launch_once", **launch)
    again = account.module("ec2_launch_once", **launch)
    assert (again["instance_id"], again["changed"], again["offer"]) == (first["instance_id"], False, None)
    launch["tags"]["attempt"] = "2"
    other = account.module("ec2_launch_once", **launch)
    assert other["instance_id"] != first["instance_id"]


def test_launch_without_capacity_is_not_repeated(faults: Launching, launch: dict[str, Any]) -> None:
    # EC2 answers it with status 500, which botocore would repeat.
    faults.local_aws("fault", "error", "service=ec2", "action=RunInstances", "status=500", "count=5",
                     "code=InsufficientInstanceCapacity", "message=none left")  # fmt: skip
    before = faults.mark()
    done = faults.module("ec2_launch_once", **launch)
    assert (done["instance_id"], done["error"], done["message"]) == (None, "InsufficientInstanceCapacity", "none left")
    assert done["offer"] == {**launch["offer"], "error": "InsufficientInstanceCapacity"}
    assert done["changed"] is False
    assert len(faults.requests("RunInstances", before)) == 1


def test_throttled_launch_is_retried(faults: Launching, launch: dict[str, Any]) -> None:
    faults.local_aws("fault", "throttle", "service=ec2", "action=RunInstances", "count=2")
    before = faults.mark()
    done = faults.module("ec2_launch_once", **launch)
    assert done["error"] is None
    assert len(faults.requests("RunInstances", before)) == 3
    assert len(faults.live(launch["tags"]["run_id"])) == 1


def test_instance_of_a_lost_response_is_found(faults: Launching, launch: dict[str, Any]) -> None:
    faults.local_aws("fault", "latency", "service=ec2", "action=RunInstances", "milliseconds=4000", "count=1")
    before = faults.mark()
    done = faults.module("ec2_launch_once", **launch, aws_config={"read_timeout": 1}, lost_seconds=15)
    assert (done["error"], done["offer"]["error"]) == (None, None)
    assert [each["InstanceId"] for each in faults.live(launch["tags"]["run_id"])] == [done["instance_id"]]
    assert len(faults.requests("RunInstances", before)) == 1


def test_launch_without_identity_is_refused(account: Launching, launch: dict[str, Any]) -> None:
    launch["tags"]["run_id"] = ""
    before = account.mark()
    assert "identity: expected tags with a value, got run_id" in account.module("ec2_launch_once", **launch)["msg"]
    assert account.requests("RunInstances", before) == []
