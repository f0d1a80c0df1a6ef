"""The module, in real playbooks, and the files that it writes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.report.receipt import build_receipt
from ansible_collections.spot_train.core.plugins.module_utils.runs.files import point_latest, write_atomically
from ansible_collections.spot_train.core.plugins.modules.run_report import argument_spec, gather

REPORT_TASKS = """
- name: Write the report
  spot_train.core.run_report:
    run_dir: "{{ run.run_dir }}"
    template: "{{ role_path }}/templates/report.html.j2"
    run: "{{ run }}"
    instance: "{{ run_instance | default(omit) }}"
    leaks: {instances: 0, volumes: 0, spot_requests: 0, launch_templates: 0, schedules: 0, transport_keys: 0}
    writes: {data_bucket: 0, evidence: ledger.jsonl}
    api_calls: {"s3.GetObject": 3}
    cost: {market_price_usd_hour: 0.036}
  register: run_report_result
- name: Show how the run went
  ansible.builtin.debug: {msg: "{{ run_report_result.summary }}"}
"""

PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: run_open}
    - name: Work
      block:
        - ansible.builtin.import_role: {name: preflight}
      rescue:
        - ansible.builtin.debug: {msg: terminating}
      always:
        - ansible.builtin.import_role: {name: run_report}
    - ansible.builtin.assert: {that: run_report_result.outcome == 'passed'}
"""

CHECK_THAT_WRITES_A_RESULT = """
- name: Check everything
  ansible.builtin.copy:
    dest: "{{ run.run_dir }}/preflight.json"
    content: '{"checks": [{"name": "pins", "status": "pass", "detail": "all match", "seconds": 0.1}], "ages": {"A": 0}}'
"""

CHECK_THAT_FAILS = """
- name: Check everything
  ansible.builtin.command: sh -c 'echo "AAPL is 30 trading days old" >&2; exit 1'
"""


@pytest.fixture
def reporting(make_project: Callable[[], Any]) -> Any:
    project = make_project()
    project.write("play.yml", PLAY)
    project.write("roles/run_report/tasks/main.yml", REPORT_TASKS)
    return project


def receipt_of(project: Any, run_id: str = "latest") -> dict[str, Any]:
    receipt: dict[str, Any] = json.loads((project.runs / run_id / "receipt.json").read_text(encoding="utf-8"))
    return receipt


def test_a_passed_run_has_receipt_page_and_link(reporting: Any) -> None:
    reporting.write("roles/preflight/tasks/main.yml", CHECK_THAT_WRITES_A_RESULT)
    done = reporting.play()
    assert done.returncode == 0, done.stdout + done.stderr
    assert os.readlink(reporting.runs / "latest") == "r1"
    receipt = receipt_of(reporting)
    assert (receipt["outcome"], receipt["mode"], receipt["training"]) == ("passed", "preflight", None)
    assert [step["name"] for step in receipt["steps"]] == ["open", "preflight"]
    assert receipt["api_calls"] == {"s3.GetObject": 3}
    page = (reporting.runs / "r1" / "report.html").read_text(encoding="utf-8")
    assert "all match" in page and "logs/preflight.log" in page
    assert "PASSED  preflight  r1" in done.stdout
    assert 'href="r1/report.html"' in (reporting.runs / "index.html").read_text(encoding="utf-8")
    assert {path.name for path in (reporting.runs / "r1").iterdir()} == {
        *("events.jsonl", "logs", "preflight.json", "receipt.json", "report.html"),
    }


def test_a_failed_run_has_both_too_and_ends_non_zero(reporting: Any) -> None:
    reporting.write("roles/preflight/tasks/main.yml", CHECK_THAT_FAILS)
    (reporting.runs / "index.html").mkdir(parents=True)
    done = reporting.play()
    assert done.returncode == 2
    # The page of all runs is no part of this one: that it cannot be written is a warning.
    assert "index.html, could not be written" in done.stderr
    receipt = receipt_of(reporting)
    assert (receipt["outcome"], receipt["failed_step"]) == ("failed", "preflight")
    assert receipt["error"].startswith('preflight failed at "Check everything": ')
    assert receipt["error"].endswith("AAPL is 30 trading days old")
    assert "AAPL is 30 trading days old" in (reporting.runs / "r1" / "report.html").read_text(encoding="utf-8")


def without_events(folder: Path, no_leaks: dict[str, int]) -> dict[str, Any]:
    """Build the receipt of a preflight whose folder has no events.jsonl."""
    parameters = dict.fromkeys(argument_spec())
    known = {"run": {"run_id": "r1", "mode": "preflight"}, "leaks": no_leaks, "writes": {"data_bucket": 0}}
    receipt: dict[str, Any] = build_receipt(gather({**parameters, **known, "run_dir": str(folder)}, check_mode=False))
    return receipt


def test_unrecorded_run_is_not_passed(tmp_path: Path, no_leaks: dict[str, int]) -> None:
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")  # written by run_open
    receipt = without_events(tmp_path, no_leaks)
    assert receipt["outcome"] == "failed"
    assert receipt["error"].startswith("nothing was recorded of what the run did")


def test_run_without_run_json_needs_no_events(tmp_path: Path, no_leaks: dict[str, int]) -> None:
    receipt = without_events(tmp_path, no_leaks)
    assert (receipt["outcome"], receipt["error"]) == ("passed", None)
    assert "events.jsonl is missing, so the steps of this run are unknown" in receipt["notes"]


def test_check_mode_returns_a_receipt_and_writes_nothing(reporting: Any) -> None:
    reporting.write("roles/preflight/tasks/main.yml", "- ansible.builtin.debug: {msg: looked}\n")
    done = reporting.play("--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "report     " in done.stdout
    assert not reporting.runs.exists()


def test_the_module_says_what_is_wrong_with_its_inputs(project: Any) -> None:
    project.write("roles/run_report/tasks/main.yml", "")
    project.write(
        "play.yml",
        """
- hosts: localhost
  connection: local
  gather_facts: false
  roles: [run_report]
  tasks:
    - spot_train.core.run_report:
        run_dir: "{{ playbook_dir }}/r"
        template: "{{ item.template }}"
        run: "{{ item.run }}"
      loop:
        - {template: "{{ playbook_dir }}/nowhere.j2", run: {run_id: r1}}
        - {template: "{{ playbook_dir }}/nowhere.j2", run: {run_id: ""}}
""",
    )
    done = project.play()
    assert done.returncode == 2
    assert "The report's template cannot be read" in done.stdout + done.stderr
    assert "run.run_id is empty" in done.stdout + done.stderr
    assert not (project.folder / "r").exists()


def test_a_file_is_replaced_only_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    assert write_atomically(path, "one") is True
    inode = path.stat().st_ino
    assert write_atomically(path, "one") is False
    assert path.stat().st_ino == inode
    assert write_atomically(path, "two") is True
    assert path.read_text(encoding="utf-8") == "two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["receipt.json"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "receipt.json"
    write_atomically(path, "one")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "two")
    assert path.read_text(encoding="utf-8") == "one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["receipt.json"]


def run_folder(runs: Path, run_id: str, started_at: str) -> Path:
    (runs / run_id).mkdir()
    (runs / run_id / "receipt.json").write_text(json.dumps({"started_at": started_at}), encoding="utf-8")
    return runs / run_id


def test_latest_points_at_the_run_that_started_last(tmp_path: Path) -> None:
    old, new = run_folder(tmp_path, "old", "2026-05-01T00:00:00Z"), run_folder(tmp_path, "new", "2026-05-02T00:00:00Z")
    assert point_latest(old, "2026-05-01T00:00:00Z") == (True, None)
    assert point_latest(new, "2026-05-02T00:00:00Z") == (True, None)
    assert point_latest(old, "2026-05-01T00:00:00Z") == (False, None)
    assert os.readlink(tmp_path / "latest") == "new"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["latest", "new", "old"]


def test_latest_is_mended_when_its_run_is_gone(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("deleted")
    new = run_folder(tmp_path, "new", "2026-05-02T00:00:00Z")
    assert point_latest(new, "2026-05-02T00:00:00Z") == (True, None)
    assert os.readlink(tmp_path / "latest") == "new"


def test_a_folder_called_latest_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    changed, note = point_latest(run_folder(tmp_path, "new", "2026-05-02T00:00:00Z"), None)
    assert changed is False and note is not None
    assert (tmp_path / "latest").is_dir() and not (tmp_path / "latest").is_symlink()
