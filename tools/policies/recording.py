"""Use everything that the policies allow once, and record every policy decision.

A preflight whose sessions are cut and which notifies by e-mail and SNS; a training whose instance is reclaimed; the
account checks as a role, for both markets and a custom image; a sweep after dead runs, with one instance that cannot be
terminated; the end of a second instance of an attempt; the requests of a preflight and a training on the instance, and
of a preflight that tries to write because another policy of its role allows it; a schedule that ends an instance; a
rollback.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from local_aws import control

from tests.support.account import DATA_BUCKET, TRANSPORT_BUCKET
from tests.support.playbook import Playbook
from tools.policies.scene import PAST, PROJECT, ROLES, Scene, now, tags_of
from tools.policies.statements import filled

CARELESS = f"{PROJECT}-careless"
"""A preflight's role with an additional policy that allows writing."""
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
CI_ROLE = f"{PROJECT}-ci"
OWN_IMAGE = f"/{PROJECT}/image"
ARCHIVED = ("2022-12-15", "2022-12-22")
"""Days whose sets the recorded trainings archive and promote, one after the other."""
DELETES = 10
"""How often one sweep tries to delete a schedule: five times, with two attempts of boto each."""
NOTICE_SECONDS = 4
"""EC2's notice is two minutes; use less."""
# The settings of roles/spot_instance/tasks/checks.yml, for both markets and with a custom image.
CHECKS: dict[str, Any] = {
    "region": "us-east-1",
    "preflight": False,
    "project": PROJECT,
    "tags": {"project": PROJECT},
    "types": ["c5.large"],
    "markets": ["spot", "on-demand"],
    "max_price": "",
    "on_demand": {"c5.large": 0.085},
    "subnet_filters": {"default-for-az": "true"},
    "security_group": PROJECT,
    "profile": ROLES["training_instance"],
    "image_parameter": OWN_IMAGE,
    "volume_gb": 30,
    "data_bucket": DATA_BUCKET,
    "transport_bucket": TRANSPORT_BUCKET,
    "arctic_prefix": "arcticdb",
    "artefact_prefixes": ["predictor/", "health/", "data_manifest/"],
    "expiry_role": ROLES["expiry"],
}


@dataclass(frozen=True)
class Asked:
    """One policy decision, and the part in which it was needed."""

    line: dict[str, Any]
    where: str


@dataclass
class Recording:
    """All policy decisions of the recorded runs except those about the account's owner, and the policies in force."""

    asked: list[Asked]
    in_force: dict[str, list[str]] = field(default_factory=dict)
    """Names of the policies of ``files/iam`` of each user or role."""
    others: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Other policies of a role."""


class _Recorder:
    """Performs all parts, and records their times."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._marks: list[tuple[str, str]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Decisions in this block belong to this part."""
        self._marks.append((now(), name))
        yield
        self._marks.append((now(), "afterwards"))

    def where(self, time: str) -> str:
        """The part at a time."""
        marks = sorted(self._marks)
        found = bisect.bisect_right([moment for moment, _ in marks], time) - 1
        return marks[found][1] if found >= 0 else "before"

    def run(self, name: str, *arguments: str, **settings: Any) -> Playbook:
        """Start a run; its steps are the parts."""
        runs = self.scene.folder / name
        source = self.scene.source(**settings)
        return Playbook(self.scene.account, runs, self.scene.folder / f"{name}.txt", *source, *arguments)

    def end(self, name: str, run: Playbook) -> None:
        """Wait for the run, which must pass."""
        assert run.wait() == 0, run.output[-3000:]
        step = ""
        for event in run.events('"task_started"'):
            if event["step"] and event["step"] != step:
                step = event["step"]
                self._marks.append((event["time"], f"{name}, {step}"))
        self._marks.append((now(), "afterwards"))

    def _instance_of(self, run: Playbook) -> str:
        running = self.scene.cloud.instances(("running",))
        return next(each.id for each in running if each.tags.get("run_id") == run.run_id)

    def fault(self, kind: str, **parameters: str | int) -> None:
        """Inject a fault without the command line, which takes seconds to start while the run continues."""
        given = {name: str(value) for name, value in parameters.items()}
        control.call(self.scene.reservation, "fault", {"kind": kind, "parameters": given})

    def preflight(self) -> None:
        run = self.run("preflight", "-e", "preflight_only=true", *self.scene.notified(), preflight_seconds=6)
        run.wait_for_task("preflight", "Run the preflight")
        instance = self._instance_of(run)

        def resumed() -> bool:
            # A cut between two sessions, or before the first byte of one, leaves nothing to resume.
            self.fault("cut", instance=instance)
            return any(each["permission"] == "ssm:ResumeSession" for each in self.scene.decisions())

        self.scene.wait(resumed, "a session that was cut and resumed")
        self.end("preflight", run)

    def training(self) -> None:
        run = self.run("training", "-e", "training_mode=full", folds=12, fold_seconds=1)
        run.wait_for("the training", lambda: any(run.events("Follow the training")))
        # Let the schedule outlive the attempt, so that the next attempt finds it.
        self.fault("error", service="scheduler", action="DeleteSchedule", count=DELETES)
        self.fault("interrupt", instance=self._instance_of(run), seconds=NOTICE_SECONDS)
        self.end("training", run)

    def checks(self) -> None:
        """Run the account checks as a role, for both markets and with a custom image."""
        scene = self.scene
        image = scene.cloud.ec2.register_image(Name="own", Architecture="x86_64", RootDeviceName="/dev/xvda")["ImageId"]
        scene.account.client("ssm").put_parameter(Name=OWN_IMAGE, Value=image, Type="String", Overwrite=True)
        _role(scene, CI_ROLE, {"AWS": "*"}, filled("control_node"))
        arn = f"arn:aws:iam::123456789012:role/{CI_ROLE}"
        keys = scene.account.client("sts").assume_role(RoleArn=arn, RoleSessionName="ci")["Credentials"]
        environment = {
            **scene.reservation.client_environment(),
            "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
            "AWS_SESSION_TOKEN": keys["SessionToken"],
        }
        scene.account.local_aws(
            "fault", "error", "service=servicequotas", "action=GetServiceQuota", "code=NoSuchResourceException",
            "status=400", "count=1",
        )  # fmt: skip
        with self.part("checks of the account as a role"):
            result = scene.ad_hoc("spot_train.core.account_checks", CHECKS, environment)
        wrong = [each for each in result["checks"] if each["status"] != "pass"]
        assert not wrong, wrong

    def sweep(self) -> None:
        """Reap expired resources, and terminate a run with an instance that cannot be terminated."""
        scene, past = self.scene, tags_of("20260101T000000Z-dead", PAST)
        kept_run = "20260101T000000Z-kept"
        cloud = scene.cloud
        instance = cloud.launch(past, past)
        kept = cloud.launch(tags_of(kept_run), DisableApiTermination=True)
        cloud.volume(past)
        cloud.template(f"{PROJECT}-20260101T000000Z-dead", past)
        for run_id in ("20260101T000000Z-dead", kept_run):
            cloud.schedule(f"{PROJECT}-{run_id}")
        cloud.key(f"{instance}/a")
        scene.wait(lambda: len(cloud.instances(("running",))) == 2, "two running instances")
        with self.part("reap"):
            code, output = scene.playbook("reap")
        assert code == 0, output[-3000:]
        with self.part("terminate"):
            code, output = scene.playbook("terminate", "-e", f"run_id={kept_run}", "-e", f"runs_dir={scene.folder}")
        assert code != 0 and f"terminate {kept}" in output, output[-3000:]
        cloud.ec2.modify_instance_attribute(InstanceId=kept, DisableApiTermination={"Value": False})
        cloud.ec2.terminate_instances(InstanceIds=[kept])
        scene.wait(lambda: cloud.instances() == [], "the end of all instances")

    def second_instance(self) -> None:
        """Terminate a second instance of an attempt as the role spot_instance does."""
        scene = self.scene
        instance = scene.cloud.launch(tags_of("twice"))
        asked = {"state": "absent", "instance_ids": [instance], "wait": False, "region": "us-east-1"}
        with self.part("end of a second instance"):
            scene.ad_hoc("amazon.aws.ec2_instance", asked, scene.reservation.client_environment())

    def instances(self) -> None:
        scene, wrong = self.scene, []
        trust = {"Service": "ec2.amazonaws.com"}
        _role(scene, CARELESS, trust, filled("preflight_instance"), EVERYTHING)
        iam = scene.account.client("iam")
        iam.create_instance_profile(InstanceProfileName=CARELESS)
        iam.add_role_to_instance_profile(InstanceProfileName=CARELESS, RoleName=CARELESS)
        # The second training reads and replaces what the first wrote; the preflight reads it too.
        for kind, role, run_date, run_id, words in (
            ("training", ROLES["training_instance"], ARCHIVED[0], "first", "can be listed"),
            ("training", ROLES["training_instance"], ARCHIVED[1], "second", "can be listed"),
            ("preflight", ROLES["preflight_instance"], ARCHIVED[1], "third", "can be listed"),
            ("overreach", CARELESS, ARCHIVED[1], "fourth", "AccessDenied"),
        ):
            name = {"overreach": "preflight that tries to write"}.get(kind, f"{kind} on the instance")
            with self.part(name):
                result = scene.errand(kind, role, run_date, run_id)
            if words not in result:
                wrong.append(f"{kind}: {result}")
        assert not wrong, wrong

    def expiry(self) -> None:
        with self.part("schedule in the cloud"):
            ended, denied = self.scene.expire("expires")
        assert ended, denied

    def rollback(self) -> None:
        """Roll back to a set whose live copy was deleted, as docs/real-aws.md permits, so that it is written again."""
        self.scene.make_room(ARCHIVED[0])
        with self.part("rollback"):
            code, output = self.scene.playbook(
                "rollback", "-e", f"to={ARCHIVED[0]}", "-e", f"runs_dir={self.scene.folder}"
            )
        assert code == 0, output[-3000:]


def record(scene: Scene) -> Recording:
    """Perform all parts and return the policy decisions."""
    recorder = _Recorder(scene)
    recorder.preflight()
    recorder.training()
    recorder.checks()
    recorder.sweep()
    recorder.second_instance()
    recorder.instances()
    recorder.expiry()
    recorder.rollback()
    asked = [Asked(line, recorder.where(line["time"])) for line in scene.decisions() if line["source"] != "operator"]
    in_force = {role: [policy] for policy, role in ROLES.items()}
    in_force |= {
        "control-node": ["control_node", "control_node_notifications"],
        CI_ROLE: ["control_node"],
        CARELESS: ["preflight_instance"],
    }
    return Recording(asked, in_force, {CARELESS: [EVERYTHING]})


def archive_sets(scene: Scene) -> None:
    """Archive the two sets of the recorded trainings in a scene without a recording."""
    for day in ARCHIVED:
        scene.errand("training", ROLES["training_instance"], day, f"of-{day}")


def _role(scene: Scene, name: str, principal: dict[str, str], *policies: dict[str, Any]) -> None:
    iam = scene.account.client("iam")
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    for number, policy in enumerate(policies):
        iam.put_role_policy(RoleName=name, PolicyName=f"policy-{number}", PolicyDocument=json.dumps(policy))
