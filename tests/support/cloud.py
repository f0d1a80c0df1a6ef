"""The embedded account, used by its owner, who creates resources by hand and sees everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.account import TRANSPORT_BUCKET, EmbeddedAccount
from tests.support.waiting import happens

LIVE = ("pending", "running", "stopping", "stopped", "shutting-down")
IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
Inventory = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Instance:
    """An instance in the account."""

    id: str
    state: str
    tags: dict[str, str]


class Cloud:
    """Creates and lists resources for drills and tests with the owner's keys."""

    def __init__(self, account: EmbeddedAccount) -> None:
        """Use a running account."""
        self.account = account
        self.ec2, self.s3, self.scheduler = (account.client(name) for name in ("ec2", "s3", "scheduler"))
        self.image = account.client("ssm").get_parameter(Name=IMAGE)["Parameter"]["Value"]

    def control_node(self, service: str) -> Any:
        """A client with the control node's keys."""
        return self.account.client(service, control_node=True)

    def launch(
        self, tags: dict[str, str], request_tags: dict[str, str] | None = None, user_data: str = "", **more: Any
    ) -> str:
        """Launch an instance; with ``request_tags`` a spot instance, whose request has these tags."""
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
        """Create a volume; return its id."""
        made = self.ec2.create_volume(
            AvailabilityZone="us-east-1a", Size=1, TagSpecifications=[specification("volume", tags)] if tags else []
        )
        return str(made["VolumeId"])

    def template(self, name: str, tags: dict[str, str]) -> str:
        """Create a launch template; return its name."""
        self.ec2.create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData={"InstanceType": "c5.large"},
            TagSpecifications=[specification("launch-template", tags)] if tags else [],
        )
        return name

    def key(self, key: str) -> str:
        """Put an object into the transport bucket; return its key."""
        self.s3.put_object(Bucket=TRANSPORT_BUCKET, Key=key, Body=b"x")
        return key

    def schedule(self, name: str) -> str:
        """Create a schedule that never fires; return its name."""
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
        """An instance's state."""
        found = self.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return str(found["State"]["Name"])

    def wait_for(self, happened: Callable[[], bool], seconds: float = 90) -> None:
        """Wait until something has happened.

        Raises:
            AssertionError: It did not happen in time.
        """
        assert happens(happened, within=seconds), f"did not happen within {seconds:.0f} s"

    def instances(self, states: tuple[str, ...] = LIVE) -> list[Instance]:
        """Every instance in one of these states."""
        filters = [{"Name": "instance-state-name", "Values": list(states)}]
        pages = self.ec2.get_paginator("describe_instances").paginate(Filters=filters)
        return [
            Instance(one["InstanceId"], one["State"]["Name"], {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])})
            for page in pages
            for reservation in page["Reservations"]
            for one in reservation["Instances"]
        ]

    def inventory(self) -> Inventory:
        """All resources by kind: name -> the state that must not change for a bystander."""
        requests = self.ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
        templates = self.ec2.describe_launch_templates()["LaunchTemplates"]
        objects = self.s3.list_objects_v2(Bucket=TRANSPORT_BUCKET).get("Contents", [])
        return {
            "instances": {i.id: i.state for i in self.instances()},
            "volumes": {v["VolumeId"]: v["State"] for v in self.ec2.describe_volumes()["Volumes"]},
            "spot_requests": {
                r["SpotInstanceRequestId"]: r["State"] for r in requests if r["State"] in ("open", "active")
            },
            "launch_templates": {t["LaunchTemplateName"]: str(t["LatestVersionNumber"]) for t in templates},
            "schedules": {s["Name"]: s["State"] for s in self.scheduler.list_schedules()["Schedules"]},
            "transport_keys": {o["Key"]: o["ETag"] for o in objects},
        }


def specification(kind: str, tags: dict[str, str]) -> dict[str, Any]:
    """A tag specification of EC2 for one resource type."""
    return {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
