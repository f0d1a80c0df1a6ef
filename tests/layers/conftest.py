"""An embedded AWS for each module of these tests, with what a run leaves in it, and with what is others'."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from drills.account import ROOT, TRANSPORT_BUCKET, EmbeddedAccount
from local_aws.state import reserve
from tests.ansible_plugins import add_module_utils

add_module_utils(ROOT / "roles" / "spot_instance")

RUN = "20260105T090000Z-0a1b2c"
PROJECT = "spot-train"
LIVE = ("pending", "running", "stopping", "stopped", "shutting-down")
IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
Inventory = dict[str, dict[str, str]]


class Cloud:
    """What tests put into the account as its owner, and see of it."""

    def __init__(self, account: EmbeddedAccount) -> None:
        self.account = account
        self.ec2, self.s3, self.scheduler = (account.client(name) for name in ("ec2", "s3", "scheduler"))
        self.image = account.client("ssm").get_parameter(Name=IMAGE)["Parameter"]["Value"]

    def controller(self, service: str) -> Any:
        """A client with the controller's keys, and no more than its policy allows."""
        reservation = reserve(self.account.folder / "aws")
        return boto3.client(
            service,
            endpoint_url=reservation.endpoint,
            region_name=reservation.region,
            aws_access_key_id=reservation.controller.access_key_id,
            aws_secret_access_key=reservation.controller.secret_access_key,
        )

    def launch(
        self, tags: dict[str, str], request_tags: dict[str, str] | None = None, user_data: str = "", **more: Any
    ) -> str:
        """Launch an instance; with ``request_tags`` on spot, by a request with these tags."""
        kinds = [("instance", tags), ("volume", tags), ("spot-instances-request", request_tags or {})]
        if request_tags is not None:
            more["InstanceMarketOptions"] = {"MarketType": "spot"}
        answer = self.ec2.run_instances(
            ImageId=self.image,
            InstanceType="c5.large",
            MinCount=1,
            MaxCount=1,
            UserData=user_data,
            TagSpecifications=[specification(kind, some) for kind, some in kinds if some],
            **more,
        )
        return str(answer["Instances"][0]["InstanceId"])

    def volume(self, tags: dict[str, str]) -> str:
        made = self.ec2.create_volume(
            AvailabilityZone="us-east-1a", Size=1, TagSpecifications=[specification("volume", tags)] if tags else []
        )
        return str(made["VolumeId"])

    def template(self, name: str, tags: dict[str, str]) -> str:
        self.ec2.create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData={"InstanceType": "c5.large"},
            TagSpecifications=[specification("launch-template", tags)] if tags else [],
        )
        return name

    def key(self, key: str) -> str:
        self.s3.put_object(Bucket=TRANSPORT_BUCKET, Key=key, Body=b"x")
        return key

    def schedule(self, name: str) -> str:
        self.scheduler.create_schedule(
            Name=name,
            ScheduleExpression="at(2099-01-01T00:00:00)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={
                "Arn": "arn:aws:scheduler:::aws-sdk:ssm:startAutomationExecution",
                "RoleArn": "arn:aws:iam::123456789012:role/spot-train-expiry",
            },
        )
        return name

    def state(self, instance: str) -> str:
        found = self.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return str(found["State"]["Name"])

    def wait_for(self, happened: Callable[[], bool], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.1)

    def inventory(self) -> Inventory:
        """Everything in the account: kind, name, state."""
        reservations = self.ec2.describe_instances()["Reservations"]
        instances = [each for reservation in reservations for each in reservation["Instances"]]
        requests = self.ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
        templates = self.ec2.describe_launch_templates()["LaunchTemplates"]
        objects = self.s3.list_objects_v2(Bucket=TRANSPORT_BUCKET).get("Contents", [])
        return {
            "instances": {i["InstanceId"]: i["State"]["Name"] for i in instances if i["State"]["Name"] in LIVE},
            "volumes": {v["VolumeId"]: v["State"] for v in self.ec2.describe_volumes()["Volumes"]},
            "spot_requests": {
                r["SpotInstanceRequestId"]: r["State"] for r in requests if r["State"] in ("open", "active")
            },
            "launch_templates": {t["LaunchTemplateName"]: "" for t in templates},
            "schedules": {s["Name"]: "" for s in self.scheduler.list_schedules()["Schedules"]},
            "transport_keys": {o["Key"]: o["ETag"] for o in objects},
        }


def specification(kind: str, tags: dict[str, str]) -> dict[str, Any]:
    return {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def tags_of_run(run_id: str = RUN, lease_seconds: float = 86400, project: str = PROJECT) -> dict[str, str]:
    """The tags of a run whose lease ends so many seconds from now."""
    lease = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=lease_seconds)
    return {
        "Name": f"{project}-preflight-{run_id}",
        "project": project,
        "run_id": run_id,
        "mode": "preflight",
        "attempt": "1",
        "lease_expires": lease.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def run_module(account: EmbeddedAccount, name: str, environment: dict[str, str], **arguments: Any) -> dict[str, Any]:
    """Run one module of the role spot_instance, or one of Ansible's, on the controller; its result."""
    answer = account.command(
        "env", *(f"{key}={value}" for key, value in environment.items()), "ANSIBLE_CALLBACK_RESULT_FORMAT=json",
        "ansible", "localhost", "-i", "localhost,", "-c", "local", "-M", "roles/spot_instance/library",
        "-e", json.dumps({"ansible_python_interpreter": "{{ ansible_playbook_python }}"}),
        "-m", name, "-a", json.dumps(arguments), check=False,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(answer.stdout.partition("=> ")[2] or "{}")
    assert result, answer.stdout + answer.stderr
    return result


def account_without_prices(folder: Path) -> Path:
    """The project's own account, which loads no prices: most tests here need none, and it takes seconds."""
    source = ROOT / "inventory" / "local" / "account.yml"
    account = yaml.safe_load(source.read_text())
    del account["prices"]
    policies = [account, *account["roles"].values()]
    account["controller_policy"] = str((source.parent / account["controller_policy"]).resolve())
    for role in policies[1:]:
        role["policies"] = [str((source.parent / policy).resolve()) for policy in role["policies"]]
    path = folder / "account.yml"
    path.write_text(yaml.safe_dump(account))
    return path


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An embedded AWS of the module's own; stopped, and nothing of it left, at the end."""
    account = EmbeddedAccount(tmp_path_factory.mktemp("layers"))
    account.local_aws("start", "--boot-delay", "0", "--seed", str(account_without_prices(account.folder)))
    yield Cloud(account)
    account.local_aws("stop")
    assert account.processes() == []


@pytest.fixture(scope="module")
def bystanders(cloud: Cloud) -> Inventory:
    """What others have in the account, as like ours as can be; their instances run."""
    past = {"lease_expires": "2026-01-01T00:00:00Z"}
    for tags in (
        {},
        {"Name": f"spot-train-preflight-{RUN}"},
        {"run_id": RUN, **past},
        tags_of_run(project="spot-train-2", lease_seconds=-3600),
        tags_of_run(RUN[:-1]),
        tags_of_run(f"{RUN}0"),
        {"project": PROJECT},
        {"project": PROJECT, "run_id": "", **past},
        {"project": PROJECT, "run_id": "another", "lease_expires": "yesterday"},
    ):
        cloud.key(f"{cloud.launch(tags)}/other")
    cloud.launch({}, tags_of_run(project="spot-train-2", lease_seconds=-3600))
    cloud.volume({})
    cloud.volume(tags_of_run(project="spot-train-2", lease_seconds=-3600))
    cloud.volume({"project": PROJECT, **past})
    cloud.template(f"spot-train-2-{RUN}", {})
    cloud.template(f"{PROJECT}-{RUN}0", tags_of_run(f"{RUN}0"))
    cloud.schedule(f"spot-train-2-{RUN}")
    cloud.schedule(f"{PROJECT}-{RUN}0")
    for key in (f"{RUN}/other", "i-0123456789abcdef0/other", "other"):
        cloud.key(key)
    cloud.wait_for(lambda: set(cloud.inventory()["instances"].values()) == {"running"})
    return cloud.inventory()
