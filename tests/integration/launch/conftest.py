"""An embedded AWS without data, with the role and its modules."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.runs.conftest import Account

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles" / "spot_instance"
SECONDS = 120

PLAY = """
- hosts: localhost
  gather_facts: false
  module_defaults:
    group/amazon.aws.aws: {region: us-east-1}
  vars:
    project: spot-train
    run:
      run_id: "{{ wanted_run_id }}"
      run_dir: "{{ wanted_folder }}"
      mode: preflight
      preflight_only: true
      region: us-east-1
    spot_instance_types: [c5.large, r5.large]
    spot_instance_subnet_filters: {default-for-az: "true", availability-zone: [us-east-1a, us-east-1b]}
  tasks:
    - name: Launch
      block:
        - spot_train.core.run_record: {event: read, run_dir: "{{ wanted_folder }}"}
        - ansible.builtin.include_role: {name: spot_train.core.spot_instance}
      always:
        - ansible.builtin.copy:
            dest: "{{ wanted_folder }}/facts.json"
            content: >-
              {{ {'record': ansible_facts.run_record, 'trainers': groups.trainers} | to_json }}
"""


@dataclass
class Launched:
    """The result of one play of the role."""

    code: int
    output: str
    facts: dict[str, Any]
    folder: Path

    @property
    def refused(self) -> list[tuple[str, str]]:
        """Type and error of the offers."""
        return [(offer["type"], offer["error"]) for offer in self.offers]

    @property
    def record(self) -> dict[str, Any]:
        """The fact run_record."""
        record: dict[str, Any] = self.facts["record"]
        return record

    @property
    def offers(self) -> list[dict[str, Any]]:
        """The offers of the last attempt."""
        offers: list[dict[str, Any]] = self.record["attempts"][-1]["cells"]
        return offers

    @property
    def instance(self) -> dict[str, Any]:
        """The instance of the last attempt."""
        instance: dict[str, Any] = self.record["attempts"][-1]["instance"]
        return instance

    @property
    def recorded(self) -> list[dict[str, Any]]:
        """The attempts in attempts.json."""
        found: list[dict[str, Any]] = json.loads((self.folder / "attempts.json").read_text())
        return found


class Launching(Account):
    """An account, and the role and its modules used in it."""

    def role(self, run_id: str, **inputs: Any) -> Launched:
        """Play the role's launch for a run."""
        folder = self.folder / run_id
        folder.mkdir(exist_ok=True)
        play = self.folder / "play.yml"
        play.write_text(PLAY)
        wanted = {"wanted_run_id": run_id, "wanted_folder": str(folder), **inputs}
        done = self.command("ansible-playbook", str(play), "-e", json.dumps(wanted), check=False)
        facts = json.loads((folder / "facts.json").read_text())
        return Launched(done.returncode, done.stdout + done.stderr, facts, folder)

    def module(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Run one module of the role on the control node, and return its result."""
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "adhoc", "localhost", "-m", f"spot_train.core.{name}", "-a",
             json.dumps({"region": "us-east-1", **arguments})],
            cwd=ROOT,
            env={**self.variables(), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )  # fmt: skip
        # "localhost | SUCCESS => {…", or FAILED on standard error.
        text = (done.stdout + done.stderr).partition("localhost | ")[2].partition(" => ")[2]
        assert text, done.stdout + done.stderr
        result: dict[str, Any] = json.JSONDecoder().raw_decode(text)[0]
        return result

    def requests(self, action: str, since: int) -> list[dict[str, Any]]:
        """Entries of the ledger for an action, made after the entry with a number."""
        return [entry for entry in self.ledger("--action", action) if entry["id"] > since]

    def mark(self) -> int:
        """Number of the newest entry of the ledger."""
        entries = self.ledger()
        return int(entries[-1]["id"]) if entries else 0

    def live(self, run_id: str) -> list[dict[str, Any]]:
        """Instances of a run that are pending or running."""
        filters = [
            {"Name": "tag:run_id", "Values": [run_id]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
        answer = self.client("ec2").describe_instances(Filters=filters)
        return [each for part in answer["Reservations"] for each in part["Instances"]]


def describe_account(path: Path) -> None:
    """Write the description of the project's account, without the prices."""
    described = yaml.safe_load((ROOT / "inventory" / "local" / "account.yml").read_text())
    del described["prices"]
    iam = ROOT / "files" / "iam"
    described["control_node_policy"] = str(iam / "control_node.json")
    for role in described["roles"].values():
        role["policies"] = [str(iam / Path(policy).name) for policy in role["policies"]]
    path.write_text(yaml.safe_dump(described))


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launching]:
    """The account of these tests; stopped at the end with all its machines."""
    account = Launching(tmp_path_factory.mktemp("launch"))
    describe_account(account.folder / "account.yml")
    account.local_aws("start", "--boot-delay", "0", "--seed", str(account.folder / "account.yml"))
    yield account
    account.stop()


@pytest.fixture
def faults(account: Launching) -> Iterator[Launching]:
    """The account, whose faults are cleared after the test."""
    yield account
    account.local_aws("fault", "clear")
