"""An account that is empty but for its owner, and the playbooks that fill and empty it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from local_aws.state import AccessKey, reserve

from tests.support.account import ROOT, EmbeddedAccount
from tests.support.cloud import Cloud

DATA, TRANSPORT = "acceptance-data", "acceptance-transport"
ACCOUNT_ID = "123456789012"
CONTROL_NODE = f"arn:aws:iam::{ACCOUNT_ID}:role/spot-train-control-node"
#: Who may take the control node's role, and may do nothing else.
TAKER = f"arn:aws:iam::{ACCOUNT_ID}:user/taker"
#: The other ansible-core, if it is installed.
NEWEST = "-2.21" if (ROOT / ".venv-2.21" / "bin" / "ansible-playbook").exists() else ""


@dataclass
class Played:
    """The result of one playbook."""

    code: int
    output: str

    @property
    def changed(self) -> int:
        """How many tasks changed something, as the recap says."""
        found = re.search(r"changed=(\d+)", self.output)
        assert found is not None, self.output
        return int(found[1])

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Task and loop item of each change."""
        found, task = [], ""
        for line in self.output.splitlines():
            if heading := re.match(r"TASK \[spot_train\.core\.aws_account : (.*)\] \*", line):
                task = heading[1]
            elif change := re.match(r"changed: \[localhost\](?: => \(item=(.*)\))?", line):
                found.append((task, change[1] or ""))
        return found

    @property
    def text(self) -> str:
        """The output without Ansible's line breaks."""
        return " ".join(self.output.split())


class Owner:
    """The owner of an account, who sets it up with this Ansible or another."""

    def __init__(self, folder: Path) -> None:
        """Start an embedded AWS in which there is nothing."""
        self.account = EmbeddedAccount(folder)
        self.account.local_aws("start", "--boot-delay", "0.5")
        self.reservation = reserve(folder / "aws")
        self.account.environment = self.reservation.client_environment(self.reservation.operator)
        # One of them, as each costs three modules; by zone, as not every zone has every type.
        self.subnets = self.subnets_by_zone()[:1]
        # IAM accepts only existing principals.
        self.client("iam").create_user(UserName=TAKER.rpartition("/")[2])

    def client(self, service: str) -> Any:
        """A boto3 client of the owner."""
        return self.account.client(service)

    def subnets_by_zone(self) -> list[str]:
        """The ids of all subnets, in the order of their zones."""
        subnets = self.client("ec2").describe_subnets()["Subnets"]
        return [each["SubnetId"] for each in sorted(subnets, key=lambda subnet: str(subnet["AvailabilityZone"]))]

    @property
    def cloud(self) -> Cloud:
        """The account as its owner sees it."""
        return Cloud(self.account)

    def play(self, playbook: str, *arguments: str, core: str = "", **variables: Any) -> Played:
        """Run a playbook on the inventory of real accounts.

        Args:
            playbook: Relative to the project.
            arguments: Options of `ansible-playbook`.
            core: `-2.21` for that ansible-core.
            variables: Extra variables besides the buckets.
        """
        binaries, self.account.binaries = self.account.binaries, ROOT / f".venv{core}" / "bin"
        buckets = {"data_bucket": DATA, "transport_bucket": TRANSPORT}
        answer = self.account.command(
            "ansible-playbook", "-i", "inventory/aws", playbook,
            "-e", json.dumps({**buckets, **variables}), *arguments, check=False,
        )  # fmt: skip
        self.account.binaries = binaries
        return Played(answer.returncode, answer.stdout + answer.stderr)

    def set_up(self, *arguments: str, core: str = "", **variables: Any) -> Played:
        """Run the playbook that sets the account up, for one subnet."""
        wanted = {"aws_account_principals": [TAKER], "aws_account_subnets": self.subnets, **variables}
        return self.play("playbooks/aws_setup.yml", *arguments, core=core, **wanted)

    def tear_down(self, *arguments: str, core: str = "", **variables: Any) -> Played:
        """Run the playbook that removes it all."""
        return self.play("playbooks/aws_teardown.yml", *arguments, core=core, **variables)

    def inventory(self) -> dict[str, list[str]]:
        """Resources in the account by kind, without those that every account has."""
        ec2, iam, s3 = (self.client(name) for name in ("ec2", "iam", "s3"))
        groups = ec2.describe_security_groups()["SecurityGroups"]
        endpoints = ec2.describe_vpc_endpoints()["VpcEndpoints"]
        tags = {subnet["SubnetId"]: subnet.get("Tags", []) for subnet in ec2.describe_subnets()["Subnets"]}
        return {
            "buckets": [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]],
            "roles": sorted(role["RoleName"] for role in iam.list_roles()["Roles"]),
            "profiles": [each["InstanceProfileName"] for each in iam.list_instance_profiles()["InstanceProfiles"]],
            "groups": [group["GroupName"] for group in groups if group["GroupName"] != "default"],
            "topics": [topic["TopicArn"].rpartition(":")[2] for topic in self.client("sns").list_topics()["Topics"]],
            "endpoints": [each["ServiceName"] for each in endpoints if each["State"] != "deleted"],
            "tags of subnets": [f"{name} {tag['Key']}" for name, each in tags.items() for tag in each],
            "instances": [instance.id for instance in self.cloud.instances()],
            "volumes": [volume["VolumeId"] for volume in ec2.describe_volumes()["Volumes"]],
            "templates": [each["LaunchTemplateName"] for each in ec2.describe_launch_templates()["LaunchTemplates"]],
            "schedules": [each["Name"] for each in self.client("scheduler").list_schedules()["Schedules"]],
        }

    def client_of(self, service: str, key: AccessKey, token: str | None = None) -> Any:
        """A boto3 client with these keys."""
        return boto3.client(
            service,
            endpoint_url=self.reservation.endpoint,
            region_name=self.reservation.region,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            aws_session_token=token,
        )


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    """The owner of an empty account for the module; stopped and removed at the end."""
    owner = Owner(tmp_path_factory.mktemp("account-setup"))
    yield owner
    owner.account.stop()
