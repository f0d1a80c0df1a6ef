"""The role in a real playbook: detached, watched and followed; only the training itself is a script of the test's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
SPOT, REBALANCE = "/latest/meta-data/spot/instance-action", "/latest/meta-data/events/recommendations/rebalance"

PLAY = """
- hosts: trainers:localhost
  gather_facts: false
  tasks:
    - name: Train
      ansible.builtin.include_role:
        name: spot_train.core.training
      when: inventory_hostname in groups.trainers
      vars:
        training_run_id: r1
        training_data_bucket: prices
        training_run_date: "2022-12-29"
        training_region: us-east-1
        training_command: [trainer, learn, --output, "{output}", --progress, "{progress}", "--at={run_date}/{region}"]
        training_smoke_arguments: [--dry-run]
        training_full_arguments: [--state-prefix, "{state_prefix}"]
        training_poll_seconds: 1

- hosts: localhost
  gather_facts: false
  tasks:
    - name: Say what the playbook knows
      ansible.builtin.debug:
        msg: "KNOWN {{ hostvars.localhost.ansible_facts.run_record.notice | default(none, true) | to_json }}"
"""

# The beginning of every training: store the arguments, and write progress.
BEGIN = """#!{python}
import json, pathlib, signal, sys, time
arguments = sys.argv[1:]
value = lambda name: pathlib.Path(arguments[arguments.index(name) + 1])
with open({noted!r}, "a") as noted:
    noted.write(json.dumps(arguments) + "\\n")
value("--progress").write_text(json.dumps(dict(stage="walk_forward", fold=1, folds=9, saved=2, resumed=True)) + "\\n")

def finish(code, **result):
    value("--output").write_text(json.dumps(result))
    sys.exit(code)
"""
WAIT = """
signal.signal(signal.SIGTERM, lambda *_: finish(75, error="interrupted by SIGTERM in stage walk_forward"))
pathlib.Path(__file__).with_name("waits").touch()
time.sleep(60)
"""


@dataclass
class Play:
    """A playbook with one trainer, which is this machine."""

    folder: Path
    metadata: str
    code: int = 0
    output: str = ""

    @property
    def root(self) -> Path:
        """Stands for `/opt/spot-train` on an instance."""
        return self.folder / "trainer"

    def __call__(self, program: str, *steps: str, **inputs: Any) -> None:
        """Run it with a training that continues with `program`."""
        trainer = self.root / "venv" / "bin" / "trainer"
        trainer.write_text(BEGIN.format(python=sys.executable, noted=str(self.folder / "noted")) + program)
        trainer.chmod(0o755)
        given = {"training_steps": steps, "training_root": str(self.root), "training_result_dir": str(self.folder)}
        hosts = {"trainers": {"hosts": {"trainer": {"ansible_connection": "local"}}}}
        (self.folder / "hosts.json").write_text(json.dumps(hosts))
        command = [sys.executable, "-m", "ansible", "playbook", "-i", "hosts.json", "play.yml"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "AWS_"))}
        own = {"HOME": str(self.folder), "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.metadata, "COLUMNS": "1000"}
        done = subprocess.run(
            [*command, "-e", json.dumps({**given, **inputs})],
            env={**kept, **own},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.code, self.output = done.returncode, done.stdout + done.stderr

    def arguments(self) -> list[list[str]]:
        """Of each start of the training."""
        return [json.loads(line) for line in (self.folder / "noted").read_text().splitlines()]

    def known(self) -> Any:
        """The interruption as the playbook knows it; None if it knows of none."""
        found = [line for line in self.output.splitlines() if "KNOWN" in line]
        document = found[-1].partition("KNOWN ")[2].replace('\\"', '"').rstrip('"')
        return json.loads(document)

    def result(self, step: str) -> Any:
        """The result on the control node."""
        return json.loads((self.folder / f"training-{step}.json").read_text())


@pytest.fixture
def play(tmp_path: Path, service: Any) -> Play:
    made = Play(tmp_path, service.endpoint)
    (made.root / "venv" / "bin").mkdir(parents=True)
    (made.root / "venv" / "bin" / "python").symlink_to(sys.executable)
    (made.root / "results").mkdir()
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "ansible.cfg").write_text(
        f"[defaults]\nhome = {tmp_path / 'ansible'}\nroles_path = {ROOT / 'roles'}\nnocolor = true\n"
        f"filter_plugins = {ROOT / 'plugins' / 'filter'}\n"
        f"localhost_warning = false\ninterpreter_python = {sys.executable}\n"
    )
    return made


def _in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_both_steps_are_watched_and_only_full_saves_folds(play: Play) -> None:
    play('finish(0, dry_run="--dry-run" in arguments)', "smoke", "full")

    assert play.code == 0, play.output
    smoke, full = play.arguments()
    assert smoke[0] == full[0] == "learn"
    assert smoke[5] == full[5] == "--at=2022-12-29/us-east-1"
    assert ("--dry-run" in smoke, "--state-prefix" in smoke) == (True, False)
    assert ("--dry-run" in full, full[full.index("--state-prefix") + 1]) == (False, "runs/r1")
    assert (play.result("smoke"), play.result("full")) == ({"dry_run": True}, {"dry_run": False})
    assert (play.folder / "training-full.json").stat().st_mode & 0o777 == 0o640
    assert "    fold 1 of 9, resumed\n" in play.output
    assert play.known() is None


def test_notice_stops_the_training_and_is_recorded(play: Play, service: Any) -> None:
    ends: list[str] = []

    def announce() -> None:
        while not (play.root / "venv" / "bin" / "waits").exists():
            time.sleep(0.05)
        ends.append(_in(120))
        service.answers[SPOT] = (200, json.dumps({"action": "terminate", "time": ends[0]}))

    threading.Thread(target=announce, daemon=True).start()
    play(WAIT, "full")

    assert play.code == 2
    (failure,) = {line for line in play.output.splitlines() if "interrupted: EC2" in line and "fatal" in line}
    known = play.known()
    assert (known["kind"], known["reclaim_at"], set(known)) == ("spot", ends[0], {"kind", "noticed_at", "reclaim_at"})
    ahead = datetime.fromisoformat(ends[0]) - datetime.fromisoformat(known["noticed_at"])
    noticed = f"(noticed {ahead.seconds} s before)"
    assert f"interrupted: EC2 takes the instance back at {ends[0]} {noticed}; 2 of 9 folds are saved" in failure
    assert play.result("full") == {"error": "interrupted by SIGTERM in stage walk_forward"}


def test_rebalance_recommendation_is_shown_and_recorded(play: Play, service: Any) -> None:
    service.answers[REBALANCE] = (200, json.dumps({"noticeTime": _in(0)}))

    play("time.sleep(2); finish(0)", "full")

    assert play.code == 0, play.output
    assert play.output.count("    EC2 recommends rebalancing (noticed at ") == 1
    assert play.known()["kind"] == "rebalance"


def test_failed_training_has_a_reason_and_a_result(play: Play) -> None:
    play('print("no fold is left", file=sys.stderr); finish(1, error="no fold is left")', "full")

    assert play.code == 2
    assert "the training failed: no fold is left" in play.output
    assert play.result("full") == {"error": "no fold is left"}
    assert play.known() is None


def test_stop_without_a_notice_is_not_an_interruption(play: Play) -> None:
    play('print("progress to stop", file=sys.stderr); finish(75)', "full")

    assert play.code == 2
    assert "the training failed: progress to stop" in play.output
    assert play.known() is None


def test_training_without_result_fails(play: Play) -> None:
    play("", "full")

    assert play.code == 2
    assert "the training left no result: " in play.output


def test_time_limit_stops_training_and_watcher(play: Play) -> None:
    beat = "beats = open({!r}, 'a')\nwhile True:\n    print('.', file=beats, flush=True)\n    time.sleep(0.2)\n"
    beats = play.folder / "beats"

    play(beat.format(str(beats)), "full", training_full_seconds=2)

    assert play.code == 2
    assert "the training was ended at its limit of 2 s" in play.output
    before = beats.read_text()
    subprocess.run(["sleep", "1"], check=True)
    assert beats.read_text() == before
