"""The exit code of ansible-playbook, in real playbooks under both versions of ansible-core."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.account import ROOT

pytestmark = pytest.mark.slow

NEWEST = ROOT / ".venv-2.21" / "bin" / "python"

REPORT = """
- name: Write the report
  spot_train.core.run_report:
    run_dir: "{{ run.run_dir }}"
    template: "{{ role_path }}/templates/report.html.j2"
    run: "{{ run }}"
    outcome: "{{ outcome }}"
    # A preflight passes only if it is verified to be read-only.
    writes: {data_bucket: 0, evidence: ledger}
"""

PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: run_open}
    - ansible.builtin.import_role: {name: run_report}
      when: outcome != 'none'
    - ansible.builtin.add_host: {name: gone, ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 9}
    - ansible.builtin.ping:
      delegate_to: gone
      when: ending == 'unreachable'
    - ansible.builtin.fail: {msg: the run did not pass}
      when: ending == 'failed'
- hosts: gone
  gather_facts: false
  tasks:
    - ansible.builtin.ping:
      when: ending == 'gone'
"""


@pytest.fixture(scope="module")
def reporting(make_project: Callable[[], Any]) -> Any:
    project = make_project()
    project.write("roles/run_report/tasks/main.yml", REPORT)
    project.write("play.yml", PLAY)
    project.write("fine.yml", "- {hosts: localhost, connection: local, gather_facts: false, tasks: []}\n")
    project.write("bad.yml", "- {hosts: localhost, tasks: [{no_such_module: {}}]}\n")
    configuration = project.folder / "ansible.cfg"
    text = configuration.read_text()
    configuration.write_text(text.replace(f"interpreter_python = {sys.executable}", "interpreter_python = auto_silent"))
    return project


@pytest.fixture(params=[sys.executable, str(NEWEST)], ids=["2.19", "2.21"])
def python(request: pytest.FixtureRequest) -> str:
    if not Path(request.param).exists():
        pytest.skip("the environment with ansible-core 2.21 needs Python 3.12 or 3.13")
    return str(request.param)


def play(project: Any, python: str, *playbooks: str, **variables: str) -> subprocess.CompletedProcess[str]:
    chosen = [part for name, value in variables.items() for part in ("-e", f"{name}={value}")]
    return subprocess.run(
        [python, "-m", "ansible", "playbook", "-i", "localhost,", *playbooks, *chosen,
         "-e", f"ansible_python_interpreter={python}"],
        env=project.environment(),
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "ending", "code"),
    [
        ("no_capacity", "failed", 64),
        ("interrupted", "failed", 75),
        ("interrupted", "unreachable", 75),
        ("failed", "failed", 2),
        ("failed", "unreachable", 4),
        ("none", "failed", 2),
        # A playbook that does not fail exits 0.
        ("interrupted", "well", 0),
    ],
)
def test_exit_code_is_the_outcome_of_the_run(reporting: Any, python: str, outcome: str, ending: str, code: int) -> None:
    done = play(reporting, python, "play.yml", outcome=outcome, ending=ending)
    assert done.returncode == code, done.stdout + done.stderr
    # The output is complete, and Ansible has cleaned up.
    assert "PLAY RECAP" in done.stdout
    assert "Traceback" not in done.stderr
    events = reporting.events()
    assert events[-1]["event"] == "playbook_finished"


def test_later_playbook_has_its_own_exit_code(reporting: Any, python: str) -> None:
    done = play(reporting, python, "play.yml", "bad.yml", outcome="interrupted", ending="well")
    assert done.returncode not in (0, 64, 75), done.stdout + done.stderr
    last = play(reporting, python, "fine.yml", "play.yml", outcome="no_capacity", ending="failed")
    assert last.returncode == 64


def test_unplayed_playbook_is_not_a_success(reporting: Any) -> None:
    """A lost host ends the command although the run passed on another instance."""
    codes = []
    for named in (["play.yml"], ["play.yml", "fine.yml"]):
        shutil.rmtree(reporting.folder / "runs", ignore_errors=True)  # an earlier record would count
        done = play(reporting, sys.executable, *named, outcome="passed", ending="gone")
        assert done.stdout.count("PLAY RECAP") == 1
        codes.append(done.returncode)
    assert codes == [0, 4]
