"""What a launch asks of AWS, and what becomes of it where AWS says no."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from local_aws import account, control
from local_aws.state import Reservation

DESCRIPTION = Path(__file__).resolve().parents[1] / "account.yml"


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reservation]:
    """An AWS for these tests alone, with the account of account.yml."""
    home = tmp_path_factory.mktemp("aws")
    reservation = control.start(home, boot_delay=0)
    account.seed(reservation, DESCRIPTION)
    yield reservation
    control.stop(home)


@pytest.fixture
def ec2(aws: Reservation) -> Iterator[Any]:
    """EC2 as the control node, who may do what control_node.json says; no fault outlives the test."""
    yield boto3.client(
        "ec2",
        endpoint_url=aws.endpoint,
        region_name=aws.region,
        aws_access_key_id=aws.control_node.access_key_id,
        aws_secret_access_key=aws.control_node.secret_access_key,
    )
    control.call(aws, "fault", {"kind": "clear", "parameters": {}})


def test_a_zone_without_capacity_refuses(aws: Reservation, ec2: Any) -> None:
    """The error is EC2's own, so that what handles it can be tested."""
    control.call(aws, "fault", {"kind": "capacity", "parameters": {"type": "c5.large"}})
    with pytest.raises(ClientError, match="InsufficientInstanceCapacity"):
        ec2.run_instances(ImageId="ami-12c6146b", InstanceType="c5.large", MinCount=1, MaxCount=1)


def test_the_control_node_may_end_only_what_is_tagged(ec2: Any) -> None:
    """The policy is enforced, its conditions too."""
    untagged = ec2.run_instances(ImageId="ami-12c6146b", InstanceType="c5.large", MinCount=1, MaxCount=1)
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        ec2.terminate_instances(InstanceIds=[untagged["Instances"][0]["InstanceId"]])
