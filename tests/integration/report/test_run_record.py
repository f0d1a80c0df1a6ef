"""The action plugin that keeps a document in the folder of a run, in real playbooks."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.account import ROOT

PLAY = """
- hosts: nowhere
  # Nobody answers there: whatever needs a connection fails.
  connection: ssh
  gather_facts: false
  vars: {document: {when: "2026-05-23", who: "{{ who | default('x') }}", text: '{{ "{{ no }}" }}'}}
  tasks:
    - spot_train.core.run_record: {content: "{{ document | to_nice_json }}", dest: "{{ dest }}"}
"""


def play(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook from a folder."""
    (folder / "play.yml").write_text(PLAY)
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), "ANSIBLE_NOCOLOR": "1"}
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, "-i", "nowhere,", "play.yml", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_it_writes_what_is_new_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    arguments = ("-e", f"dest={path}")

    rehearsed = play(tmp_path, "--check", *arguments)
    assert "changed=1" in rehearsed.stdout, rehearsed.stdout + rehearsed.stderr
    assert not path.exists()

    assert "changed=1" in play(tmp_path, *arguments).stdout
    assert json.loads(path.read_text()) == {"when": "2026-05-23", "who": "x", "text": "{{ no }}"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o640

    assert "changed=0" in play(tmp_path, *arguments).stdout
    assert "changed=1" in play(tmp_path, *arguments, "-e", "who=y").stdout
    assert json.loads(path.read_text())["who"] == "y"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["play.yml", "run.json"]


@pytest.mark.parametrize(("dest", "says"), [("gone/run.json", "No such file"), (".", "Is a directory")])
def test_what_cannot_be_written_fails_in_one_line(tmp_path: Path, dest: str, says: str) -> None:
    answer = play(tmp_path, "-e", f"dest={tmp_path}/{dest}")
    assert answer.returncode == 2
    lines = [line for line in (answer.stdout + answer.stderr).splitlines() if "cannot be written" in line]
    assert any(f"{(tmp_path / dest).absolute()} cannot be written: {says}" in line for line in lines), answer.stderr
