"""Small Ansible projects in temporary folders, run by ``ansible-playbook`` with this repository's plugins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.account import ROOT

ROLE = ROOT / "roles" / "run_report"


@dataclass
class Project:
    """An Ansible project in a temporary folder that uses this repository as a collection."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8")

    def play(
        self, *arguments: str, playbook: str = "play.yml", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``ansible-playbook`` and wait for it."""
        return subprocess.run(
            self.command(playbook, *arguments),
            env={**self.environment(), **(environment or {})},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def command(self, playbook: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", playbook, *arguments]

    def environment(self) -> dict[str, str]:
        """Return this process's environment without settings that a user may have for Ansible."""
        return {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}

    def events(self, run_id: str = "r1") -> list[dict[str, Any]]:
        lines = (self.runs / run_id / "events.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def log(self, step: str, run_id: str = "r1") -> str:
        return (self.runs / run_id / "logs" / f"{step}.log").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """Make projects with a role ``run_open`` and ``run_report``'s templates; tests write the tasks."""

    def make() -> Project:
        project = Project(tmp_path_factory.mktemp("project"))
        role = project.folder / "roles" / "run_report"
        role.mkdir(parents=True)
        (role / "templates").symlink_to(ROLE / "templates")
        project.write(
            "ansible.cfg",
            f"""
[defaults]
collections_path = {ROOT / "collections"}
callbacks_enabled = spot_train.core.run
roles_path = {project.folder / "roles"}
nocolor = true
localhost_warning = false
interpreter_python = {sys.executable}
""",
        )
        project.write(
            "roles/run_open/tasks/main.yml",
            """
- name: Name the run
  vars: {run_step: open}
  ansible.builtin.set_fact:
    run:
      run_id: r1
      run_dir: "{{ playbook_dir }}/runs/r1"
      mode: preflight
      started_at: "2026-05-23T09:00:00Z"
""",
        )
        return project

    return make


@pytest.fixture
def project(make_project: Callable[[], Project]) -> Project:
    return make_project()
