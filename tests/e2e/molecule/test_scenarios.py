"""The molecule scenarios: all on one instance, with each ansible-core, and one alone."""

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
# Its create and destroy are those of --shared-state; it tests no role.
SHARED = "default"
SCENARIOS = sorted({path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")} - {SHARED})
CONTROL_NODE_ROLES = {"aws_account", "awx", "rollback", "run_open", "run_report"}
NEWER = ROOT / ".venv-2.21" / "bin"
# Prefixes of variables in the user's shell that could affect a scenario.
FOREIGN = ("ANSIBLE_", "AWS_", "LOCAL_AWS_", "MOLECULE_", "PYTHONPATH")
MOLECULE_SECONDS = 1200


@dataclass(frozen=True)
class ControlNode:
    """One environment's ansible and molecule, with a separate embedded AWS.

    Its machines have the Python of the process that created them, and the roles require the control node's.
    """

    programs: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables of every command; packages are cached between test runs."""
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
        """State of each instance that a scenario ever had here, by id."""
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


def control_node_in(programs: Path, home: Path) -> Iterator[ControlNode]:
    control_node = ControlNode(programs, home)
    yield control_node
    control_node.local_aws("stop")


@pytest.fixture(scope="module")
def control_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlNode]:
    """The control node of the environment that runs the tests."""
    yield from control_node_in(Path(sys.executable).parent, tmp_path_factory.mktemp("aws"))


@pytest.fixture(scope="module")
def newer_control_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlNode]:
    """The control node with ansible-core 2.21."""
    if not (NEWER / "molecule").exists():
        pytest.skip("set-up found no Python for ansible-core 2.21")
    yield from control_node_in(NEWER, tmp_path_factory.mktemp("aws"))


def test_every_role_of_the_instance_has_a_scenario() -> None:
    roles = {path.name for path in (ROOT / "roles").iterdir() if (path / "tasks").is_dir()}
    assert set(SCENARIOS) == roles - CONTROL_NODE_ROLES


def test_all_scenarios_pass_on_one_instance_and_leave_none(control_node: ControlNode, tmp_path: Path) -> None:
    control_node.check_all(tmp_path / "molecule")


def test_scenarios_pass_with_ansible_core_2_21(newer_control_node: ControlNode, tmp_path: Path) -> None:
    newer_control_node.check_all(tmp_path / "molecule")


def test_single_scenario_prepares_itself_and_keeps_its_instance(control_node: ControlNode, tmp_path: Path) -> None:
    before = control_node.instances("deps")
    control_node.molecule(tmp_path / "molecule", "converge", "-s", "deps")
    made = [name for name in control_node.instances("deps") if name not in before]
    assert [control_node.instances("deps")[name] for name in made] == ["running"]
    control_node.molecule(tmp_path / "molecule", "destroy", "-s", "deps")
    assert [control_node.instances("deps")[name] for name in made] == ["terminated"]
