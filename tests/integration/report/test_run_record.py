"""The action run_record in real playbooks."""

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
- hosts: localhost
  # Unreachable over SSH: anything that needs a connection fails.
  connection: ssh
  gather_facts: false
  vars: {run: {run_dir: "{{ folder }}", who: "{{ who | default('x') }}", text: '{{ "{{ no }}" }}'}}
  tasks:
    - spot_train.core.run_record: {event: open}
    - spot_train.core.run_record: {event: start_attempt, data: {number: 1}}
"""


def play(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook from a folder."""
    (folder / "play.yml").write_text(PLAY)
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), "ANSIBLE_NOCOLOR": "1"}
    environment.pop("ANSIBLE_CONFIG", None)
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, "-i", "localhost,", "play.yml", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_run_and_attempts_are_written_for_owner_and_group(tmp_path: Path) -> None:
    folder = tmp_path / "r1"
    folder.mkdir()
    arguments = ("-e", f"folder={folder}")

    rehearsed = play(tmp_path, "--check", *arguments)
    assert rehearsed.returncode == 0, rehearsed.stdout + rehearsed.stderr
    assert list(folder.iterdir()) == []

    done = play(tmp_path, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["attempts.json", "run.json"]
    assert json.loads((folder / "run.json").read_text()) == {"run_dir": str(folder), "who": "x", "text": "{{ no }}"}
    assert [attempt["number"] for attempt in json.loads((folder / "attempts.json").read_text())] == [1]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o640}

    assert play(tmp_path, *arguments, "-e", "who=y").returncode == 0
    assert json.loads((folder / "run.json").read_text())["who"] == "y"


@pytest.mark.parametrize(("blocked", "says"), [("", "No such file"), ("run.json", "Is a directory")])
def test_unwritable_record_fails_in_one_line(tmp_path: Path, blocked: str, says: str) -> None:
    folder = tmp_path / "gone"
    if blocked:
        (folder / blocked).mkdir(parents=True)
    answer = play(tmp_path, "-e", f"folder={folder}")
    assert answer.returncode == 2
    lines = [line for line in (answer.stdout + answer.stderr).splitlines() if "Cannot write" in line]
    assert any(str(folder) in line and says in line for line in lines), answer.stdout + answer.stderr
