"""The account of the local inventory, in an embedded AWS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import yaml
from local_aws import account, control
from local_aws.state import Reservation

SOURCE = Path(__file__).resolve().parents[3] / "inventory" / "local" / "account.yml"


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Reservation]:
    yield control.start(tmp_path / "aws", boot_delay=0)
    control.stop(tmp_path / "aws")


@pytest.fixture
def description(tmp_path: Path) -> Path:
    """The description without its prices, whose loading takes long."""
    content = yaml.safe_load(SOURCE.read_text())
    del content["prices"]

    def absolute(name: str) -> str:
        return str((SOURCE.parent / name).resolve())

    content["control_node_policy"] = absolute(content["control_node_policy"])
    for role in content["roles"].values():
        role["policies"] = [absolute(name) for name in role["policies"]]
    path = tmp_path / "account.yml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_account_of_local_inventory_is_accepted(aws: Reservation, description: Path) -> None:
    account.seed(aws, description)
    iam = boto3.client(
        "iam",
        endpoint_url=aws.endpoint,
        region_name=aws.region,
        aws_access_key_id=aws.operator.access_key_id,
        aws_secret_access_key=aws.operator.secret_access_key,
    )
    roles = {role["RoleName"] for role in iam.list_roles()["Roles"]}
    assert {"spot-train-training", "spot-train-preflight"} <= roles
