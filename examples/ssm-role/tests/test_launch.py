"""Launches that AWS refuses."""

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
    """An AWS of its own for these tests, with the account of account.yml."""
    home = tmp_path_factory.mktemp("aws")
    reservation = control.start(home, boot_delay=0)
    account.seed(reservation, DESCRIPTION)
    yield reservation
    control.stop(home)


@pytest.fixture
def ec2(aws: Reservation) -> Iterator[Any]:
    """EC2 with the permissions of control_node.json; faults end with the test."""
    yield boto3.client(
        "ec2",
        endpoint_url=aws.endpoint,
        region_name=aws.region,
        aws_access_key_id=aws.control_node.access_key_id,
        aws_secret_access_key=aws.control_node.secret_access_key,
    )
    control.call(aws, "fault", {"kind": "clear", "parameters": {}})


def test_zone_without_capacity_refuses_a_launch(aws: Reservation, ec2: Any) -> None:
    """The client sees EC2's own error code."""
    control.call(aws, "fault", {"kind": "capacity", "parameters": {"type": "c5.large"}})
    with pytest.raises(ClientError, match="InsufficientInstanceCapacity"):
        ec2.run_instances(ImageId="ami-12c6146b", InstanceType="c5.large", MinCount=1, MaxCount=1)


def test_control_node_may_terminate_only_tagged_instances(ec2: Any) -> None:
    """The condition of the policy is enforced."""
    untagged = ec2.run_instances(ImageId="ami-12c6146b", InstanceType="c5.large", MinCount=1, MaxCount=1)
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        ec2.terminate_instances(InstanceIds=[untagged["Instances"][0]["InstanceId"]])
