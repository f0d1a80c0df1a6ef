"""Options that skip the input gate fail with every configuration, and the callback records once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.account import ROOT

pytestmark = pytest.mark.slow

#: The least that a configuration needs: the collection, and the project's group_vars.
OTHER = f"""\
[defaults]
collections_path = {ROOT / "collections"}
vars_plugins_enabled = host_group_vars, spot_train.core.project
"""
SKIPPED = {
    "terminate": (["playbooks/terminate.yml", "-e", "run_id=x", "--tags", "x"], "--tags x: this playbook has no tags"),
    "train": (["train.yml", "--skip-tags", "always"], "--skip-tags always: "),
}


def play(folder: Path, arguments: list[str], more: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return subprocess.run(
        [str(ROOT / ".venv" / "bin" / "ansible-playbook"), "-i", "localhost,", *arguments],
        cwd=folder,
        env={**kept, **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("command", SKIPPED)
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks"},
        {"ANSIBLE_CALLBACKS_ENABLED": "spot_train.core.run"},
        {"ANSIBLE_STDOUT_CALLBACK": "minimal"},
        {"ANSIBLE_CONFIG": "other.cfg"},
    ],
    ids=lambda variables: "-".join(variables.values()) or "own",
)
def test_skipped_gate_fails(tmp_path: Path, command: str, variables: dict[str, str]) -> None:
    (tmp_path / "other.cfg").write_text(OTHER)
    if "ANSIBLE_CONFIG" in variables:
        variables = {"ANSIBLE_CONFIG": str(tmp_path / "other.cfg")}
    arguments, words = SKIPPED[command]
    answer = play(ROOT, arguments, variables)
    assert answer.returncode == 5, answer.stdout + answer.stderr
    assert words in answer.stderr
    assert "PLAY" not in answer.stdout


def test_callback_loaded_twice_records_once(project: Any) -> None:
    shim = ROOT / "playbooks" / "callback_plugins" / "spot_train_run.py"
    project.write("callback_plugins/spot_train_run.py", shim.read_text())
    project.write("play.yml", "- {hosts: localhost, connection: local, gather_facts: false, roles: [run_open]}\n")
    assert project.play().returncode == 0
    assert [event["event"] for event in project.events()].count("playbook_started") == 1
    named = [event for event in project.events() if event.get("task") == "Name the run"]
    assert [event["event"] for event in named] == ["task_started", "task_ok"]
