"""Where drills happen: an embedded AWS with bystanders in it, and the count of what a run left there."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drills.account import ROOT, TRANSPORT_BUCKET, EmbeddedAccount
from drills.playbook import LOOK_SECONDS, Playbook, Stuck
from local_aws.state import ACCOUNT_ID

KINDS = ("instances", "volumes", "spot_requests", "launch_templates", "schedules", "transport_keys")
LIVE = ("pending", "running", "stopping", "stopped", "shutting-down")
PAST = "2026-01-01T00:00:00Z"
LONG_PAST_RUN = "20260101T000000Z-abcdef"
PRACTICE = ROOT / "drills" / "project"

Inventory = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Instance:
    """An instance as a drill sees it."""

    id: str
    state: str
    tags: dict[str, str]


class Stage:
    """An embedded AWS and everything that belongs to others in it. One drill at a time."""

    def __init__(self, folder: Path) -> None:
        """Nothing is started yet; `folder` gets all of it."""
        self.account = EmbeddedAccount(folder)
        self.folder = folder
        self._bystanders: Inventory = {}
        self.memory: dict[str, Any] = {}
        self._runs: list[Playbook] = []
        self._plays = 0

    @contextmanager
    def running(self) -> Iterator[Stage]:
        """Start it, with its bystanders; stop it at the end."""
        try:
            self.account.start()
            self._ec2, self._s3 = self.account.client("ec2"), self.account.client("s3")
            self._scheduler = self.account.client("scheduler")
            self._make_bystanders()
            yield self
        finally:
            self.account.local_aws("stop")

    # what drills do

    def play(
        self,
        *arguments: str,
        settings: dict[str, Any],
        prefix: tuple[str, ...] = (),
        runs: Path | None = None,
    ) -> Playbook:
        """Start `train.yml` on the practice project.

        Args:
            arguments: Options of `ansible-playbook`.
            settings: Of the practice project; with none, `arguments` say what is trained, or it is the default.
            prefix: Put before the command.
            runs: Folder for this run's folder.
        """
        self._plays += 1
        source = ["-e", json.dumps({"training_source": self._practice(settings)})] if settings else []
        runs = runs or self.folder / f"runs-{self._plays}"
        self._runs.append(Playbook(self.account, runs, *source, *arguments, prefix=prefix))
        return self._runs[-1]

    def playbook(self, name: str, *arguments: str, prefix: tuple[str, ...] = ()) -> tuple[int, str]:
        """Run another playbook to its end; its exit code and output."""
        answer = self.account.command(*prefix, "ansible-playbook", f"playbooks/{name}.yml", *arguments, check=False)
        return answer.returncode, answer.stdout + answer.stderr

    def fault(self, *arguments: str) -> None:
        """Break something: see local_aws/README.md."""
        self.account.local_aws("fault", *arguments)

    def wait_for_instance(self, run: Playbook, states: tuple[str, ...] = ("running",)) -> Instance:
        """Wait until a run has an instance, and return it.

        Raises:
            Stuck: It has none in time.
        """
        found: list[Instance] = []

        def there() -> bool:
            found[:] = [i for i in self.instances(states) if i.tags.get("run_id") == run.run_id]
            return bool(run.run_id and found)

        run.wait_for("an instance of the run", there)
        return found[0]

    # what is there

    def instances(self, states: tuple[str, ...] = LIVE) -> list[Instance]:
        """Every instance in one of these states that is no bystander's."""
        others = self._bystanders.get("instances", {})
        return [i for i in self._all_instances(states) if i.id not in others]

    def left(self) -> dict[str, int]:
        """What is there that is no bystander's, by kind."""
        now = self._inventory()
        return {kind: len(set(now[kind]) - set(self._bystanders[kind])) for kind in KINDS}

    def touched(self) -> list[str]:
        """What was done to bystanders: one text each."""
        now = self._inventory()
        return [
            f"{kind[:-1].replace('_', ' ')} {name} was {before} and is {now[kind].get(name, 'gone')}"
            for kind in KINDS
            for name, before in self._bystanders[kind].items()
            if now[kind].get(name) != before
        ]

    def wait_until(self, happened: Callable[[], bool], seconds: float) -> bool:
        """Wait until something has happened; whether it did in time."""
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def clear(self) -> None:
        """End all faults, and whatever a drill that went wrong has left, so that the next one begins afresh."""
        self.fault("clear")
        for run in self._runs:
            if run.code is None:
                run.kill(signal.SIGKILL)
                run.wait(60)
        self._runs.clear()
        if left := [instance.id for instance in self.instances()]:
            self._ec2.terminate_instances(InstanceIds=left)
            if not self.wait_until(lambda: not self.instances(), 30):
                raise Stuck(f"the embedded AWS does not end {', '.join(left)}")

    def _practice(self, settings: dict[str, Any]) -> dict[str, Any]:
        folder = self.folder / f"practice-{self._plays}"
        shutil.copytree(PRACTICE, folder, ignore=shutil.ignore_patterns("__pycache__"))
        config = folder / "config" / "default.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), **settings}))
        return {
            "path": str(folder),
            "lock": "requirements.lock",
            "config": "config/default.json",
            "preflight_command": ["practice", "preflight"],
            "train_command": ["practice", "train"],
        }

    def _all_instances(self, states: tuple[str, ...]) -> list[Instance]:
        filters = [{"Name": "instance-state-name", "Values": list(states)}]
        pages = self._ec2.get_paginator("describe_instances").paginate(Filters=filters)
        return [
            Instance(one["InstanceId"], one["State"]["Name"], {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])})
            for page in pages
            for reservation in page["Reservations"]
            for one in reservation["Instances"]
        ]

    def _inventory(self) -> Inventory:
        """Everything in the account, by kind: name and what a bystander's must stay."""
        requests = self._ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
        objects = self._s3.list_objects_v2(Bucket=TRANSPORT_BUCKET).get("Contents", [])
        return {
            "instances": {i.id: i.state for i in self._all_instances(LIVE)},
            "volumes": {v["VolumeId"]: v["State"] for v in self._ec2.describe_volumes()["Volumes"]},
            "spot_requests": {
                r["SpotInstanceRequestId"]: r["State"] for r in requests if r["State"] in ("open", "active")
            },
            "launch_templates": {
                t["LaunchTemplateName"]: t["LatestVersionNumber"]
                for t in self._ec2.describe_launch_templates()["LaunchTemplates"]
            },
            "schedules": {s["Name"]: s["State"] for s in self._scheduler.list_schedules()["Schedules"]},
            "transport_keys": {o["Key"]: o["ETag"] for o in objects},
        }

    # who stands by

    def _make_bystanders(self) -> None:
        """What others have in the account, as like ours as can be."""
        parameter = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
        self.image = self.account.client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
        made = [
            self.launch({}),
            self.launch({"Name": f"spot-train-preflight-{LONG_PAST_RUN}"}),
            self.launch({"project": "spot-train-2", "run_id": LONG_PAST_RUN, "lease_expires": PAST}, spot=True),
            self.launch({"project": "spot-train"}),
            self.launch({"project": "spot-train", "run_id": "", "lease_expires": "tomorrow"}),
        ]
        tags = [{"Key": "project", "Value": "spot-train-2"}, {"Key": "lease_expires", "Value": PAST}]
        for specification in ([], [{"ResourceType": "volume", "Tags": tags}]):
            self._ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, TagSpecifications=specification)
        self._ec2.create_launch_template(
            LaunchTemplateName=f"spot-train-2-{LONG_PAST_RUN}", LaunchTemplateData={"InstanceType": "c5.large"}
        )
        self._scheduler.create_schedule(
            Name=f"spot-train-2-{LONG_PAST_RUN}",
            ScheduleExpression="rate(1 day)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={
                "Arn": f"arn:aws:sns:us-east-1:{ACCOUNT_ID}:other",
                "RoleArn": f"arn:aws:iam::{ACCOUNT_ID}:role/spot-train-expiry",
            },
        )
        for key in (f"{made[0]}/other", "i-0123456789abcdef0/other", "other"):
            self._s3.put_object(Bucket=TRANSPORT_BUCKET, Key=key, Body=b"other")
        if not self.wait_until(lambda: len(self._all_instances(("running",))) == len(made), 60):
            raise Stuck("the bystanders do not start")
        self._bystanders = self._inventory()

    def launch(self, tags: dict[str, str], spot: bool = False) -> str:
        """Launch an instance by hand, with these tags on it and its volume; its id."""
        market = {"InstanceMarketOptions": {"MarketType": "spot"}} if spot else {}
        specifications = [
            {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            for kind in ("instance", "volume")
            if tags
        ]
        answer = self._ec2.run_instances(
            ImageId=self.image,
            InstanceType="c5.large",
            MinCount=1,
            MaxCount=1,
            TagSpecifications=specifications,
            **market,
        )
        return str(answer["Instances"][0]["InstanceId"])
