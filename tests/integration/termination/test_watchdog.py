"""The watchdog removes and reports the resources of a run within seconds after its playbook is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from local_aws.state import reserve

from tests.integration.termination.conftest import PROJECT, tags_of_run
from tests.support.account import ROOT, TRANSPORT_BUCKET
from tests.support.cloud import Cloud
from tests.support.waiting import busy_seconds

pytestmark = pytest.mark.slow

PROMISED_SECONDS = 10
BINARIES = {"2.19": ROOT / ".venv" / "bin", "2.21": ROOT / ".venv-2.21" / "bin"}
TASKS: list[dict[str, Any]] = [
    {"name": "Name the run", "ansible.builtin.set_fact": {"run": "{{ given }}"}},
    {"name": "Begin", "spot_train.core.watchdog": {"state": "started"}},
    {"name": "Work", "ansible.builtin.command": {"argv": "{{ work }}"}},
    {"name": "End", "spot_train.core.watchdog": {"state": "closed"}, "when": "closes"},
]
LAUNCH = """
import json, sys, time, boto3
ec2 = boto3.client("ec2")
time.sleep(float(sys.argv[1]))
ec2.run_instances(**json.loads(sys.argv[2]))
"""


@dataclass
class Play:
    """A small playbook with a watchdog, in a separate process group as in a terminal or AWX."""

    cloud: Cloud
    folder: Path
    run_id: str
    binaries: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self, work: list[str], closes: bool = True) -> None:
        """Start it and come back when the watchdog watches and the work has begun."""
        run_dir = self.folder / self.run_id
        run_dir.mkdir()
        given = {
            "run_id": self.run_id, "run_dir": str(run_dir), "runs_dir": str(self.folder), "project": PROJECT,
            "region": "us-east-1", "aws_region": "us-east-1", "transport_bucket": TRANSPORT_BUCKET,
            "data_bucket": "spot-train-data", "mode": "preflight", "started_at": "2026-01-05T09:00:00Z",
        }  # fmt: skip
        (run_dir / "run.json").write_text(json.dumps(given))
        playbook = self.folder / "play.yml"
        playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": TASKS}]))
        begun = self.folder / "begun"  # Ansible's output to a file is buffered
        work = ["sh", "-c", 'touch "$0" && exec "$@"', str(begun), *work]
        variables = {"given": given, "work": work, "closes": closes}
        inventory = self.folder / "hosts.yml"
        local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        inventory.write_text(yaml.safe_dump({"all": {"hosts": {"localhost": local}}}))
        environment = self.cloud.account.variables() | {
            **reserve(self.cloud.account.folder / "aws").client_environment(),
            "PATH": f"{self.binaries}:{os.environ['PATH']}",
        }
        with (self.folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [self.binaries / "ansible-playbook", "-i", inventory, playbook, "-e", json.dumps(variables)],
                cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self.cloud.wait_for(begun.exists, 60)

    def launch(self, **more: Any) -> str:
        """An instance of the run that is running; made before the playbook starts, whose work lasts a few seconds."""
        instance = self.cloud.launch(tags_of_run(self.run_id), **more)
        self.cloud.wait_for(lambda: self.cloud.state(instance) == "running")
        return instance

    def kill(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)

    @property
    def log(self) -> str:
        return (self.folder / self.run_id / "watchdog.log").read_text()

    @property
    def watchdog(self) -> int:
        return int((self.folder / self.run_id / "watchdog.pid").read_text())

    def watchdog_has_gone(self) -> bool:
        path = Path(f"/proc/{self.watchdog}/stat")
        return not path.exists() or path.read_text().rpartition(")")[2].split()[0] == "Z"

    def receipt(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / self.run_id / "receipt.json").read_text()))


@pytest.fixture
def play(cloud: Cloud, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Play]]:
    """Starts playbooks; waits for them and their watchdogs at the end."""
    made: list[Play] = []

    def make(core: str = "2.19") -> Play:
        if not (BINARIES[core] / "ansible-playbook").exists():
            pytest.skip(f"no environment with ansible-core {core} here")
        made.append(Play(cloud, tmp_path, f"watchdog-{time.monotonic_ns()}", BINARIES[core]))
        return made[-1]

    yield make
    cloud.account.local_aws("fault", "clear")
    for each in made:
        each.process.wait(60)
        cloud.wait_for(each.watchdog_has_gone, 60)


@pytest.mark.parametrize(
    ("core", "number"),
    [("2.19", signal.SIGKILL), ("2.19", signal.SIGTERM), ("2.19", signal.SIGINT), ("2.21", signal.SIGKILL),
     ("2.21", signal.SIGTERM)],
)  # fmt: skip
def test_killed_playbook_is_terminated_and_reported(
    play: Callable[[str], Play], cloud: Cloud, core: str, number: signal.Signals
) -> None:
    one = play(core)
    instance, other = one.launch(), cloud.launch(tags_of_run("other-run"))
    # The worker outlives the playbook: for a while, or until the watchdog kills it.
    one.start(["sleep", "60" if (core, number) == ("2.19", signal.SIGKILL) else "8"])

    begun = time.monotonic()
    one.kill(number)
    cloud.wait_for(lambda: cloud.state(instance) != "running")
    ending = time.monotonic() - begun
    cloud.wait_for(lambda: cloud.state(instance) == "terminated")
    gone = time.monotonic() - begun
    cloud.wait_for(one.watchdog_has_gone, 90)
    print(f"core {core}, {number.name}: ending after {ending:.2f} s, gone after {gone:.2f} s")

    assert gone < PROMISED_SECONDS + busy_seconds(PROMISED_SECONDS)
    assert f"removed instance {instance}" in one.log
    receipt = one.receipt()
    assert receipt["outcome"] == "interrupted"
    assert "the run was terminated by the watchdog" in receipt["error"]
    assert (one.folder / one.run_id / "report.html").exists()
    assert cloud.state(other) == "running"
    assert (one.folder / one.run_id / "interrupted").exists() == (number == signal.SIGINT)


def test_playbook_that_hangs_after_ctrl_c_is_killed(play: Callable[[str], Play], cloud: Cloud) -> None:
    """Ansible rarely hangs after Ctrl-C, so this playbook gets only the marker file."""
    one = play("2.19")
    instance = one.launch()
    one.start(["sleep", "60"])

    begun = time.monotonic()
    (one.folder / one.run_id / "interrupted").touch()
    cloud.wait_for(lambda: cloud.state(instance) == "terminated")
    gone = time.monotonic() - begun
    cloud.wait_for(one.watchdog_has_gone, 90)

    assert gone < PROMISED_SECONDS + busy_seconds(PROMISED_SECONDS)
    assert one.process.wait(60) == -signal.SIGKILL
    assert "does not end 4 s after Ctrl-C: killing it" in one.log
    assert one.receipt()["outcome"] == "interrupted"


@pytest.mark.parametrize("core", ["2.19", "2.21"])
def test_launch_of_an_orphaned_worker_is_terminated(play: Callable[[str], Play], cloud: Cloud, core: str) -> None:
    """SIGKILL of the process group spares the workers, which lead groups of their own."""
    one = play(core)
    launch = {
        "ImageId": cloud.image, "InstanceType": "c5.large", "MinCount": 1, "MaxCount": 1,
        "MetadataOptions": {"HttpTokens": "required"},
        "TagSpecifications": [{
            "ResourceType": kind,
            "Tags": [{"Key": key, "Value": value} for key, value in tags_of_run(one.run_id).items()],
        } for kind in ("instance", "volume")],
    }  # fmt: skip
    one.start([str(BINARIES["2.19"] / "python"), "-c", LAUNCH, "5", json.dumps(launch)])

    time.sleep(1)
    one.kill(signal.SIGKILL)
    cloud.wait_for(one.watchdog_has_gone, 90)

    filters = [{"Name": "tag:run_id", "Values": [one.run_id]}]
    found = cloud.ec2.describe_instances(Filters=filters)["Reservations"]
    states = [each["State"]["Name"] for reservation in found for each in reservation["Instances"]]
    assert states == ["terminated"], one.log
    assert "removed instance" in one.log


def test_closed_run_is_ignored(play: Callable[[str], Play], cloud: Cloud) -> None:
    one = play("2.19")
    instance = one.launch()
    one.start(["sleep", "3"])

    assert one.process.wait(60) == 0
    cloud.wait_for(one.watchdog_has_gone)

    assert cloud.state(instance) == "running"
    assert len(one.log.splitlines()) == 1
    assert not (one.folder / one.run_id / "receipt.json").exists()
    cloud.ec2.terminate_instances(InstanceIds=[instance])


def test_unclosed_run_is_terminated(play: Callable[[str], Play], cloud: Cloud) -> None:
    one = play("2.19")
    instance = one.launch()
    one.start(["sleep", "3"], closes=False)

    assert one.process.wait(60) == 0
    cloud.wait_for(one.watchdog_has_gone, 60)

    assert cloud.state(instance) == "terminated"


def test_watchdog_ignores_sigterm_until_the_run_is_closed(play: Callable[[str], Play], cloud: Cloud) -> None:
    one = play("2.19")
    instance = one.launch()
    one.start(["sleep", "8"])

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(one.watchdog, number)
    time.sleep(0.5)
    assert not one.watchdog_has_gone()

    one.kill(signal.SIGKILL)
    cloud.wait_for(lambda: cloud.state(instance) == "terminated")


def test_refused_termination_is_retried_until_it_succeeds(play: Callable[[str], Play], cloud: Cloud) -> None:
    one = play("2.19")
    instance = one.launch()
    cloud.account.local_aws("fault", "error", "service=ec2", "action=TerminateInstances", "status=403",
                            "code=UnauthorizedOperation")  # fmt: skip
    one.start(["sleep", "8"])

    one.kill(signal.SIGKILL)
    cloud.wait_for(lambda: "sweep failed: " in one.log, 60)
    assert cloud.state(instance) == "running"
    cloud.account.local_aws("fault", "clear")

    cloud.wait_for(lambda: cloud.state(instance) == "terminated", 60)
    cloud.wait_for(one.watchdog_has_gone, 60)
    assert "the run is terminated" in one.log
