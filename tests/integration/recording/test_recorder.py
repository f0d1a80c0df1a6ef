"""The recorder in real playbooks."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.runs.events import (
    deciding_failure,
    read_events,
    summarise_steps,
)

Event = dict[str, Any]

FAILING_PLAY = """
- name: Prepare the run
  hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Look around before the run has a name
      ansible.builtin.command: echo early
      changed_when: false
    - name: Open
      ansible.builtin.import_role: {name: run_open}
      vars: {run_step: open}
    - name: Request
      ansible.builtin.include_role: {name: spot_instance, tasks_from: request}
      vars: {run_step: request}
    - name: Register the trainer
      ansible.builtin.add_host: {name: i-0abc, groups: trainers, ansible_connection: local}

- name: Train
  hosts: trainers
  gather_facts: false
  tasks:
    - name: Do the work
      block:
        - name: Prepare the instance
          ansible.builtin.include_role: {name: bootstrap}
          vars: {run_step: bootstrap}
        - name: Check everything
          ansible.builtin.include_role: {name: preflight}
          vars: {run_step: preflight}
        - name: Never reached
          ansible.builtin.include_role: {name: training}
          vars: {run_step: smoke}
      rescue:
        - name: Remember that it failed
          ansible.builtin.set_fact: {run_failed: true}
      always:
        - name: Terminate
          ansible.builtin.include_role: {name: spot_instance, tasks_from: terminate}
          vars: {run_step: terminate}
    - name: Train without a name that can be read
      ansible.builtin.debug: {msg: trained}
      vars: {run_step: "{{ 'not' ~ 'readable' }}"}
    - name: Practise
      ansible.builtin.include_role: {name: training}
      vars: {run_step: training}
    - name: Leave the report out
      ansible.builtin.include_role: {name: deps}
      vars: {run_step: deps}
      when: false

- name: Close
  hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Terminate again
      ansible.builtin.include_role: {name: spot_instance, tasks_from: terminate}
      vars: {run_step: terminate}
    - name: Say how it went
      ansible.builtin.fail: {msg: the run failed}
"""

ROLES = {
    "roles/spot_instance/tasks/request.yml": """
- name: Try one offer after the other
  block:
    - name: Launch the first offer
      ansible.builtin.fail: {msg: InsufficientInstanceCapacity}
  rescue:
    - name: Launch the second offer
      ansible.builtin.debug: {msg: launched}
""",
    "roles/spot_instance/tasks/terminate.yml": """
- name: Terminate by tag
  ansible.builtin.command: echo terminated
""",
    "roles/bootstrap/tasks/main.yml": """
- name: Fetch a secret
  ansible.builtin.command: echo s3cr3t-word
  no_log: true
- name: Fetch several secrets
  ansible.builtin.command: "echo {{ item }}"
  loop: [s3cr3t-one, s3cr3t-two]
  no_log: true
- name: Install what is missing
  ansible.builtin.shell: printf 'line one\\n\\033[31mred\\033[0m <b>\\n'; echo warned >&2
- name: Try what may fail
  ansible.builtin.command: "false"
  ignore_errors: true
- name: Leave out what is there
  ansible.builtin.command: echo never
  when: false
""",
    "roles/preflight/tasks/main.yml": """
- name: Probe each library
  ansible.builtin.shell: |
    echo 'reading {{ item }}'
    test {{ item }} != macro || { echo 'SPX is 30 trading days old' >&2; exit 3; }
  loop: [universe, macro]
""",
    "roles/spot_instance/meta/argument_specs.yml": """
argument_specs:
  terminate: {options: {}}
  request: {options: {}}
""",
    "roles/training/tasks/main.yml": """
- name: Run the steps in order
  ansible.builtin.include_tasks: step.yml
  loop: [smoke, full]
  loop_control: {loop_var: training_step}
""",
    "roles/training/tasks/step.yml": """
- name: "Train {{ training_step }}"
  ansible.builtin.command: echo trained
  vars: {run_step: "{{ training_step }}"}
""",
}  # fmt: skip


@pytest.fixture(scope="module")
def failed(make_project: Callable[[], Any]) -> Any:
    """A run that fails in the preflight, terminates in a rescue, and fails at the end."""
    project = make_project()
    project.write("play.yml", FAILING_PLAY)
    for path, text in ROLES.items():
        project.write(path, text)
    done = project.play()
    assert done.returncode == 2, done.stdout + done.stderr
    return project


def named(events: list[Event], task: str, kind: str) -> Event:
    found = [event for event in events if event.get("task") == task and event["event"] == kind]
    assert len(found) == 1, f"{kind} of {task}: {found}"
    return found[0]


def test_events_before_the_run_has_a_name_are_recorded(failed: Any) -> None:
    events = failed.events()
    assert [event["event"] for event in events[:3]] == ["playbook_started", "play_started", "task_started"]
    assert named(events, "Look around before the run has a name", "task_ok")["step"] is None
    assert events[-1]["event"] == "playbook_finished"
    assert events[-1]["hosts"]["localhost"]["failures"] == 1


def test_step_is_the_innermost_run_step(failed: Any) -> None:
    steps = {step["name"]: step["status"] for step in summarise_steps(failed.events())}
    assert steps == {
        "open": "passed",
        "request": "passed",
        "bootstrap": "passed",
        "preflight": "failed",
        "terminate": "passed",
        "training": "passed",
        "smoke": "passed",
        "full": "passed",
        "deps": "skipped",
    }
    assert named(failed.events(), "Train full", "task_changed")["role"] == "training"
    assert named(failed.events(), "Train without a name that can be read", "task_ok")["step"] is None


def test_argument_check_belongs_to_the_step_of_its_role(failed: Any) -> None:
    checks = [event for event in failed.events() if "arg spec" in str(event.get("task")) and event.get("host")]
    assert [event["step"] for event in checks] == ["request", "terminate", "terminate"]


def test_first_failure_is_the_error(failed: Any) -> None:
    events = failed.events()
    error = str(deciding_failure(events))
    assert error.startswith('preflight failed at "Probe each library" on i-0abc: macro: ')
    assert error.endswith("non-zero return code: SPX is 30 trading days old")
    assert named(events, "Say how it went", "task_failed")["msg"] == "the run failed"


def test_failure_records_how_it_is_handled(failed: Any) -> None:
    events = failed.events()
    attempt = named(events, "Launch the first offer", "task_failed")
    probe = named(events, "Probe each library", "task_failed")
    tried = named(events, "Try what may fail", "task_failed")
    last = named(events, "Say how it went", "task_failed")
    assert (attempt["rescued"], attempt["recovered"]) == (True, True)
    assert (probe["rescued"], probe["recovered"]) == (True, False)
    assert (tried["ignored"], last["ignored"]) == (True, False)
    assert (last["rescued"], last["recovered"]) == (False, False)
    assert named(events, "Launch the second offer", "task_ok")["handling"] is True


def test_no_log_output_is_not_recorded(failed: Any) -> None:
    folder = failed.runs / "r1"
    written = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file())
    assert "Fetch a secret" in written
    assert "s3cr3t" not in written
    assert named(failed.events(), "Fetch a secret", "task_changed")["msg"] == "the result is hidden (no_log)"


def test_step_log_has_the_output_of_commands(failed: Any) -> None:
    log = failed.log("bootstrap")
    assert "Install what is missing  (bootstrap/tasks/main.yml:" in log
    assert "changed on i-0abc after" in log
    assert "      line one\n      red <b>\n" in log
    assert "      warned\n" in log
    assert "failed (ignored) on i-0abc" in log
    assert "skipped on i-0abc" in log
    assert "reading universe" in failed.log("preflight")


RESUMING_PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: run_open}
    - spot_train.core.run_record: {event: start_attempt, data: {number: 1}}
    - spot_train.core.run_record:
        event: launched
        data:
          instance: {instance_id: i-1, instance_type: c5.large, placement: {availability_zone: a}, launch_time: now}
          offers: []
          on_demand: {}
    - spot_train.core.run_record:
        {event: fate, data: {instance_id: i-1, reclaimed: true, confirmed_by: no-capacity}}
    - ansible.builtin.add_host: {name: trainer, groups: trainers, ansible_connection: local}
    - ansible.builtin.add_host: {name: trainer-2, groups: trainers, ansible_connection: local}

- hosts: trainer:localhost
  gather_facts: false
  vars: {run_attempt: 1}
  tasks:
    - block:
        - name: Train on the first instance
          ansible.builtin.fail: {msg: the connection was lost}
          vars: {run_step: full}
          when: inventory_hostname == 'trainer'
        - name: Look on
          ansible.builtin.debug: {msg: looking}
          when: inventory_hostname == 'localhost'
      rescue:
        - name: Claim to resume on an instance
          spot_train.core.run_record: {event: end_attempt, data: {allowed: 2, preflight_only: false}}
          when: inventory_hostname == 'trainer'

- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Go on
      spot_train.core.run_record: {event: end_attempt, data: {allowed: 2, preflight_only: false}}
    - name: Ask for another
      ansible.builtin.include_tasks: next.yml
      loop: [2]
      loop_control: {loop_var: run_attempt}

- hosts: trainer-2
  gather_facts: false
  tasks:
    - name: Train on the second instance
      ansible.builtin.debug: {msg: trained}
      vars: {run_step: full}
"""


def test_failure_of_a_resumed_attempt_does_not_count(project: Any) -> None:
    project.write("play.yml", RESUMING_PLAY)
    project.write("next.yml", "- name: Launch again\n  ansible.builtin.debug: {msg: launched}\n")
    done = project.play()
    assert done.returncode == 0, done.stdout + done.stderr
    events = project.events()
    assert named(events, "Train on the first instance", "task_failed")["attempt"] == 1
    looking = [event["attempt"] for event in events if event.get("task") == "Look on" and event.get("host")]
    assert set(looking) == {1}
    assert named(events, "Launch again", "task_ok")["attempt"] == 2
    assert named(events, "Go on", "task_ok")["attempt"] is None
    (resumed,) = [event for event in events if event["event"] == "attempt_resumed"]
    assert (resumed["attempt"], resumed["reason"]) == (1, "EC2 reclaimed i-1 (no-capacity)")
    assert deciding_failure(events) is None
    assert {step["name"]: step["status"] for step in summarise_steps(events)}["full"] == "passed"


def test_events_have_times_and_finished_tasks_seconds(failed: Any) -> None:
    events = failed.events()
    assert all(event["time"].endswith("Z") for event in events)
    times = [event["time"] for event in events]
    assert times == sorted(times)
    finished = [event for event in events if event["event"] in ("task_ok", "task_changed", "task_failed")]
    assert finished and all(event["seconds"] >= 0 and event["host"] for event in finished)


def test_unreachable_instance_is_the_error(project: Any) -> None:
    project.write(
        "play.yml",
        """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: run_open}
    - ansible.builtin.add_host:
        name: i-0abc
        groups: trainers
        ansible_connection: local
        ansible_remote_tmp: /proc/nowhere
- hosts: trainers
  gather_facts: false
  ignore_unreachable: true
  tasks:
    - ansible.builtin.include_role: {name: bootstrap}
      vars: {run_step: bootstrap}
""",
    )
    project.write("roles/bootstrap/tasks/main.yml", "- name: Look\n  ansible.builtin.stat: {path: /}\n")
    project.play()
    events = project.events()
    assert named(events, "Look", "task_unreachable")["ignored"] is False
    assert str(deciding_failure(events)).startswith('bootstrap failed at "Look" on i-0abc: ')


def test_only_the_control_node_sets_the_run_folder(project: Any) -> None:
    project.write(
        "play.yml",
        """
- hosts: i-0abc
  connection: local
  gather_facts: false
  tasks:
    - name: Claim to be the run
      ansible.builtin.set_fact: {run: {run_id: evil, run_dir: "{{ playbook_dir }}/runs/evil"}}
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: run_open}
""",
    )
    assert project.play("-i", "i-0abc,").returncode == 0
    assert [folder.name for folder in project.runs.iterdir()] == ["r1"]


def test_playbook_without_a_run_is_not_recorded(project: Any) -> None:
    project.write("play.yml", "- {hosts: localhost, connection: local, gather_facts: false, tasks: [{debug: {}}]}\n")
    assert project.play().returncode == 0
    assert not project.runs.exists()


def test_check_mode_is_not_recorded(project: Any) -> None:
    project.write(
        "play.yml", "- {hosts: localhost, connection: local, gather_facts: false, roles: [run_open]}\n"
    )  # fmt: skip
    assert project.play("--check").returncode == 0
    assert not project.runs.exists()


def test_failed_write_is_one_warning(project: Any) -> None:
    project.write("play.yml", "- {hosts: localhost, connection: local, gather_facts: false, roles: [run_open]}\n")
    project.runs.write_text("a file where a folder belongs", encoding="utf-8")
    done = project.play()
    assert done.returncode == 0
    assert (done.stdout + done.stderr).count("its events are no longer recorded") == 1


def test_killed_playbook_leaves_its_last_step_running(project: Any) -> None:
    project.write("play.yml", "- {hosts: localhost, connection: local, gather_facts: false, roles: [run_open, deps]}\n")
    project.write(
        "roles/deps/tasks/main.yml", "- name: Install\n  ansible.builtin.command: sleep 60\n  vars: {run_step: deps}\n"
    )
    playing = subprocess.Popen(
        project.command("play.yml"),
        env=project.environment(),
        cwd=project.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_text(project.runs / "r1" / "events.jsonl", '"Install"', playing)
    finally:
        os.killpg(playing.pid, signal.SIGKILL)
        playing.wait(timeout=30)
    events, notes = read_events(project.runs / "r1" / "events.jsonl")
    assert notes == []
    assert [(step["name"], step["status"]) for step in summarise_steps(events)] == [
        ("open", "passed"),
        ("deps", "running"),
    ]
    project.write("play.yml", "- {hosts: localhost, connection: local, gather_facts: false, roles: [run_open]}\n")
    assert project.play().returncode == 0
    steps = {step["name"]: step["status"] for step in summarise_steps(project.events())}
    assert steps["deps"] == "interrupted"


def wait_for_text(path: Path, text: str, writer: subprocess.Popen[bytes]) -> None:
    """Wait until a file contains a text, at most two minutes."""
    limit = time.monotonic() + 120
    while not (path.exists() and text in path.read_text(encoding="utf-8")):
        assert time.monotonic() < limit, f"{path} never held {text}"
        assert writer.poll() is None, f"the writer of {path} ended with {writer.returncode}"
        time.sleep(0.05)
