"""The module run_report in real playbooks."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

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
- name: Show the summary
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
          vars: {run_step: preflight}
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


def test_passed_run_has_receipt_page_and_link(reporting: Any) -> None:
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


def test_failed_run_has_receipt_and_page_and_exits_2(reporting: Any) -> None:
    reporting.write("roles/preflight/tasks/main.yml", CHECK_THAT_FAILS)
    (reporting.runs / "index.html").mkdir(parents=True)
    done = reporting.play()
    assert done.returncode == 2
    # An error with the page of all runs is a warning.
    assert "Cannot write the index page" in done.stderr
    receipt = receipt_of(reporting)
    assert (receipt["outcome"], receipt["failed_step"]) == ("failed", "preflight")
    assert receipt["error"].startswith('preflight failed at "Check everything": ')
    assert receipt["error"].endswith("AAPL is 30 trading days old")
    assert "AAPL is 30 trading days old" in (reporting.runs / "r1" / "report.html").read_text(encoding="utf-8")


def test_check_mode_writes_nothing(reporting: Any) -> None:
    reporting.write("roles/preflight/tasks/main.yml", "- ansible.builtin.debug: {msg: looked}\n")
    done = reporting.play("--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "report     " in done.stdout
    assert not reporting.runs.exists()


def test_invalid_inputs_are_reported(project: Any) -> None:
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
    assert "template: expected a file" in done.stdout + done.stderr
    assert "run.run_id: expected a run ID" in done.stdout + done.stderr
    assert not (project.folder / "r").exists()
