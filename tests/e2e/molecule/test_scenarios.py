"""The molecule scenarios, as one types them, over SSM into an embedded machine.

All of them on one instance, under each ansible-core; and one alone, which brings what it stands on by itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
# What --shared-state takes create and destroy from; it tests no role.
SHARED = "default"
SCENARIOS = sorted({path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")} - {SHARED})
CONTROL_NODE_ROLES = {"aws_account", "awx", "rollback", "run_open", "run_report"}
NEWER = ROOT / ".venv-2.21" / "bin"
# What a person's own shell could bring in and change the scenario with.
FOREIGN = ("ANSIBLE_", "AWS_", "LOCAL_AWS_", "MOLECULE_", "PYTHONPATH")
MOLECULE_SECONDS = 1200

# One after the other, on one worker of pytest-xdist: they share an embedded AWS, and so its seeding.
pytestmark = pytest.mark.molecule


@dataclass(frozen=True)
class Controller:
    """One environment's ansible and molecule, with an embedded AWS of its own.

    Not one AWS for all: its machines have the Python of the process that made them, and the roles ask for the
    controller's.
    """

    programs: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables of every command; packages are kept from one run of the tests to the next."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return {
            **kept,
            "PATH": f"{self.programs}{os.pathsep}{kept['PATH']}",
            "LOCAL_AWS_HOME": str(self.home),
            "LOCAL_AWS_CACHE": str(ROOT / ".cache" / "packages"),
            "NO_COLOR": "1",
        }

    def local_aws(self, *arguments: str) -> str:
        """Run a command of the embedded AWS and return what it prints."""
        command = [str(self.programs / "python"), "-m", "local_aws", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, check=True, capture_output=True, text=True
        ).stdout

    def molecule(self, state: Path, *arguments: str) -> str:
        """Run molecule with its state in a folder and return its output; fails the test if molecule fails.

        A command that does not end within MOLECULE_SECONDS is killed, with all that it started.
        """
        with subprocess.Popen(
            [str(self.programs / "molecule"), *arguments],
            cwd=ROOT,
            env={**self.environment, "MOLECULE_EPHEMERAL_DIRECTORY": str(state)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=MOLECULE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate()
        assert process.returncode == 0, output
        return output

    def instances(self, scenario: str) -> dict[str, str]:
        """State of each instance that a scenario ever had here, by id; none where no AWS was started yet."""
        if not (self.home / "reservation.json").exists():
            return {}
        status: dict[str, Any] = json.loads(self.local_aws("status", "--json"))
        run = f"molecule-{scenario}-"
        return {one["id"]: one["state"] for one in status["instances"] if one["tags"].get("run_id", "").startswith(run)}

    def check_all(self, state: Path) -> None:
        """All scenarios pass on one new instance, over SSM, and leave none."""
        before = self.instances(SHARED)
        output = self.molecule(state, "test", "--all", "--shared-state")
        for scenario in SCENARIOS:
            for step in ("converge", "verify"):
                assert f"[{scenario} > {step}] Executed: Successful" in output, output
        new = {name: word for name, word in self.instances(SHARED).items() if name not in before}
        assert list(new.values()) == ["terminated"]
        sessions = self.local_aws("log", "--json", "--action", "StartSession").splitlines()
        assert any(name in line for name in new for line in sessions)
        assert json.loads(self.local_aws("status", "--json"))["volumes"] == []


def controller_in(programs: Path, home: Path) -> Iterator[Controller]:
    controller = Controller(programs, home)
    yield controller
    controller.local_aws("stop")


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    """The controller of the environment that runs the tests."""
    yield from controller_in(Path(sys.executable).parent, tmp_path_factory.mktemp("aws"))


@pytest.fixture(scope="module")
def newer_controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    """The controller with ansible-core 2.21."""
    if not (NEWER / "molecule").exists():
        pytest.skip("set-up found no Python for ansible-core 2.21")
    yield from controller_in(NEWER, tmp_path_factory.mktemp("aws"))


def test_every_role_of_the_instance_has_a_scenario() -> None:
    roles = {path.name for path in (ROOT / "roles").iterdir() if (path / "tasks").is_dir()}
    assert set(SCENARIOS) == roles - CONTROL_NODE_ROLES


def test_all_scenarios_pass_on_one_instance_and_leave_none(controller: Controller, tmp_path: Path) -> None:
    controller.check_all(tmp_path / "molecule")


def test_they_pass_under_ansible_core_2_21(newer_controller: Controller, tmp_path: Path) -> None:
    newer_controller.check_all(tmp_path / "molecule")


def test_a_scenario_alone_brings_what_it_stands_on_and_its_instance_lives_until_destroy(
    controller: Controller, tmp_path: Path
) -> None:
    before = controller.instances("deps")
    controller.molecule(tmp_path / "molecule", "converge", "-s", "deps")
    made = [name for name in controller.instances("deps") if name not in before]
    assert [controller.instances("deps")[name] for name in made] == ["running"]
    controller.molecule(tmp_path / "molecule", "destroy", "-s", "deps")
    assert [controller.instances("deps")[name] for name in made] == ["terminated"]
