"""An embedded AWS with the project's policies, and the operations that use them."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from local_aws import control, decisions
from local_aws.state import reserve

from tests.support.account import DATA_BUCKET, ROOT, EmbeddedAccount, practice_source
from tests.support.cloud import Cloud
from tests.support.waiting import happens
from tools.policies.statements import ACCOUNT, filled

PROJECT = "spot-train"
SENDER = "trainer@example.org"
TOPIC = f"{PROJECT}-runs"
ROLES = {
    "preflight_instance": f"{PROJECT}-preflight",
    "training_instance": f"{PROJECT}-training",
    "expiry": f"{PROJECT}-expiry",
    "rollback": f"{PROJECT}-rollback",
}
PAST = "2026-01-01T00:00:00Z"
WEIGHTS = "predictor/weights/meta"
LONGEST_SECONDS = 120.0
#: Prints the credentials of the instance's role, from the metadata service, on the console.
SHOW_KEYS = """#!/bin/sh
service=$AWS_EC2_METADATA_SERVICE_ENDPOINT
token=$(curl -sf -X PUT "$service/latest/api/token" -H 'X-aws-ec2-metadata-token-ttl-seconds: 60')
echo "keys $(curl -sf -H "X-aws-ec2-metadata-token: $token" \\
  "$service/latest/meta-data/iam/security-credentials/{profile}" | tr -d '\\n')"
"""


class Scene:
    """An account without prices, and operations in it."""

    def __init__(self, folder: Path) -> None:
        """Prepare it; ``folder`` receives all files."""
        self.folder = folder
        self.account = EmbeddedAccount(folder)
        self._runs = 0

    @contextmanager
    def running(self) -> Iterator[Scene]:
        """Start it; stop it at the end."""
        try:
            seed = self._describe()
            self.account.local_aws("start", "--boot-delay", "0", "--decisions", "--seed", str(seed))
            self.cloud = Cloud(self.account)
            self.reservation = reserve(self.folder / "aws")
            self.cloud.s3.put_object(Bucket=DATA_BUCKET, Key="arcticdb/universe/_arctic_cfg/cref", Body=b"prices")
            self.account.client("ses").verify_email_identity(EmailAddress=SENDER)
            self.topic = str(self.account.client("sns").create_topic(Name=TOPIC)["TopicArn"])
            self.use("control_node_notifications")
            yield self
        finally:
            self.account.local_aws("stop")

    def _describe(self) -> Path:
        """Write an inventory and a description of the project's account without prices, which take seconds to load."""
        account = yaml.safe_load(ACCOUNT.read_text(encoding="utf-8"))
        del account["prices"]
        account["control_node_policy"] = str((ACCOUNT.parent / account["control_node_policy"]).resolve())
        for role in account["roles"].values():
            role["policies"] = [str((ACCOUNT.parent / policy).resolve()) for policy in role["policies"]]
        path = self.folder / "account.yml"
        path.write_text(yaml.safe_dump(account), encoding="utf-8")
        inventory = self.folder / "local_aws.yml"
        inventory.write_text(
            yaml.safe_dump({"plugin": "spot_train.core.local_aws", "home": "aws", "account": path.name})
        )
        self.inventory = ["-i", str(inventory)]
        return path

    def use(self, policy: str, leave_out: str = "") -> None:
        """Apply a policy, optionally without one of its statements."""
        document, iam = filled(policy, leave_out), self.account.client("iam")
        if policy == "control_node":
            control.call(self.reservation, "account", {"control_node_policy": document})
        elif policy == "control_node_notifications":
            iam.put_user_policy(UserName="control-node", PolicyName=policy, PolicyDocument=json.dumps(document))
        else:
            iam.put_role_policy(RoleName=ROLES[policy], PolicyName=policy, PolicyDocument=json.dumps(document))

    @contextmanager
    def without(self, policy: str, sid: str) -> Iterator[None]:
        """Remove a statement from a policy during the block."""
        self.use(policy, sid)
        try:
            yield
        finally:
            self.use(policy)

    def decisions(self) -> Iterator[dict[str, Any]]:
        """The policy decisions so far."""
        return decisions.read(self.folder / "aws" / "decisions.jsonl")

    # Operations that use the policies.

    def source(self, **settings: Any) -> list[str]:
        """Options for a run with a new copy of the practice project."""
        self._runs += 1
        source = practice_source(self.folder / f"practice-{self._runs}", settings)
        return [*self.inventory, "-e", json.dumps({"training_source": source})]

    def notified(self) -> list[str]:
        """Options for a run with notifications by e-mail and SNS."""
        inputs = {
            "email_to": ["ops@example.org"],
            "email_from": SENDER,
            "email_via": "ses",
            "sns_topic_arn": self.topic,
        }
        return ["-e", json.dumps({f"run_report_{name}": value for name, value in inputs.items()})]

    def train(self, *arguments: str) -> tuple[int, str, dict[str, Any]]:
        """Run ``train.yml`` on a practice project; return exit code, output and receipt."""
        source = self.source()
        runs = self.folder / f"runs-{self._runs}"
        answer = self.account.command(
            "ansible-playbook", "train.yml", *source, "-e", f"runs_dir={runs}", *arguments, check=False
        )
        path = runs / "latest" / "receipt.json"
        receipt = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return answer.returncode, answer.stdout + answer.stderr, receipt

    def playbook(self, name: str, *arguments: str) -> tuple[int, str]:
        """Run another playbook; return exit code and output."""
        path = f"playbooks/{name}.yml"
        answer = self.account.command("ansible-playbook", *self.inventory, path, *arguments, check=False)
        return answer.returncode, answer.stdout + answer.stderr

    def ad_hoc(self, module: str, arguments: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
        """Run one module or action on the control node and return its result.

        Raises:
            AssertionError: It failed.
        """
        answer = self.account.command(
            "env", *(f"{name}={value}" for name, value in environment.items()), "ANSIBLE_CALLBACK_RESULT_FORMAT=json",
            "ansible", "localhost", "-i", "localhost,", "-c", "local",
            "-e", json.dumps({"ansible_python_interpreter": "{{ ansible_playbook_python }}"}),
            "-m", module, "-a", json.dumps(arguments),
        )  # fmt: skip
        result: dict[str, Any] = json.loads(answer.stdout.partition("=> ")[2])
        return result

    def errand(self, kind: str, profile: str, run_date: str = "2022-12-22", run_id: str = "first") -> str:
        """Send the training project's AWS requests with the keys of an instance, read from its metadata service.

        The errand runs on this machine, because the instance cannot see this folder.

        Returns:
            The errand's output.
        """
        instance = self.cloud.launch(
            {}, user_data=SHOW_KEYS.format(profile=profile), IamInstanceProfile={"Name": profile}
        )
        found: list[str] = []

        def shown() -> bool:
            lines = self.account.local_aws("console", instance).splitlines()
            found[:] = [line.partition("keys ")[2] for line in lines if "keys {" in line]
            return bool(found)

        try:
            self.wait(shown, f"the keys of {instance}")
            keys = json.loads(found[0])
            answer = self.account.command(
                "env", f"AWS_ACCESS_KEY_ID={keys['AccessKeyId']}", f"AWS_SECRET_ACCESS_KEY={keys['SecretAccessKey']}",
                f"AWS_SESSION_TOKEN={keys['Token']}", f"AWS_ENDPOINT_URL={self.reservation.endpoint}",
                "AWS_REGION=us-east-1", f"PYTHONPATH={ROOT / 'files' / 'predictor' / 'src'}",
                sys.executable, str(Path(__file__).with_name("errand.py")), kind, DATA_BUCKET, run_date, run_id,
            )  # fmt: skip
        finally:
            self.cloud.ec2.terminate_instances(InstanceIds=[instance])
        return answer.stdout.partition("errand: ")[2].strip()

    def expire(self, run_id: str) -> tuple[bool, str]:
        """Let the schedule in the cloud end an instance; return whether it does, and what was denied."""
        from ansible_collections.spot_train.core.plugins.modules.expiry_schedule import schedule

        instance = self.cloud.launch(tags_of(run_id))
        self.wait(lambda: self.cloud.state(instance) == "running", f"{instance} running")
        since = now()
        role = f"arn:aws:iam::123456789012:role/{ROLES['expiry']}"
        self.cloud.control_node("scheduler").create_schedule(**schedule(PROJECT, run_id, dt.datetime.now(dt.UTC), role))
        denied: list[str] = []

        def over() -> bool:
            lines = [each for each in self.decisions() if each["time"] > since and not each["allowed"]]
            denied[:] = [f"{e['source']} may not {e['permission']} on {e['resource']}" for e in lines]
            return bool(denied) or self.cloud.state(instance) == "terminated"

        self.wait(over, f"the schedule of {run_id}")
        ended = self.cloud.state(instance) == "terminated"
        self.cloud.ec2.terminate_instances(InstanceIds=[instance])
        return ended, denied[0] if denied else ""

    def live_date(self) -> str:
        """The run date of the live set of weights."""
        manifest = self.cloud.s3.get_object(Bucket=DATA_BUCKET, Key=f"{WEIGHTS}/manifest.json")["Body"].read()
        return str(json.loads(manifest)["run_date"])

    def make_room(self, run_date: str) -> None:
        """Delete the live copies of a day's set, as docs/real-aws.md permits; its archive stays."""
        s3 = self.cloud.s3
        for each in s3.list_objects_v2(Bucket=DATA_BUCKET, Prefix=f"{WEIGHTS}/versions/{run_date}").get("Contents", []):
            s3.delete_object(Bucket=DATA_BUCKET, Key=each["Key"])

    def wait(self, happened: Callable[[], bool], what: str) -> None:
        """Wait until something has happened.

        Raises:
            AssertionError: It did not happen in time.
        """
        assert happens(happened, within=LONGEST_SECONDS), f"did not happen within {LONGEST_SECONDS:.0f} s: {what}"


def tags_of(run_id: str, lease: str = "2099-01-01T00:00:00Z") -> dict[str, str]:
    """The tags of a run's resources."""
    return {"project": PROJECT, "run_id": run_id, "mode": "preflight", "attempt": "1", "lease_expires": lease}


def now() -> str:
    """The current time in the ledger's format."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
