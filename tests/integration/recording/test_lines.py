"""The output of `ansible-playbook` at a terminal, and Ansible's own output elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.terminal.failures import AS_ABOVE

from tests.support.account import ROOT
from tests.support.terminal import Shown, at_terminal

pytestmark = pytest.mark.slow

NEWEST = ROOT / ".venv-2.21" / "bin"
BROKEN = "the disk of the machine is full and nothing more can be written to it"
PLAYBOOK = f"""\
- name: A play with messages
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Tell
      ansible.builtin.debug:
        msg: a message that is longer than the terminal is wide, so that it has to go on in the line after
    - name: Try again
      ansible.builtin.command: "false"
      register: tried
      until: tried.rc == 0
      retries: 1
      delay: 0
      ignore_errors: true
    - name: Ping a lost host
      ansible.builtin.ping:
      delegate_to: lost
      ignore_unreachable: true
      vars: {{ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1, ansible_ssh_retries: 0}}
- name: A play that breaks
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Work
      block:
        - name: Write
          ansible.builtin.command: sh -c 'echo before it; echo "{BROKEN}" >&2; exit 3'
      rescue:
        - name: Keep what went wrong
          ansible.builtin.set_fact: {{failure: "{{{{ ansible_failed_result.stderr }}}}"}}
    - name: End as it ended
      ansible.builtin.fail: {{msg: "The run did not pass: {{{{ failure }}}}"}}
"""
QUIET = """\
- name: A play whose output is always the same
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Tell
      ansible.builtin.debug: {msg: [one, two]}
    - name: Tell each
      ansible.builtin.debug: {msg: "this is {{ item }}"}
      loop: [three, four]
    - name: Set
      ansible.builtin.set_fact: {colour: blue}
    - name: Fail
      ansible.builtin.fail: {msg: on purpose}
"""
WAITING = """\
- name: A play that waits
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Wait for ever
      ansible.builtin.command:
        argv: [sh, -c, touch begun; sleep 60]
        chdir: "{{ playbook_dir }}"
"""

# A training loses its instance, and another one completes it.
LOST = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.add_host: {name: trainer, ansible_connection: local}
- name: Train
  hosts: trainer:localhost
  gather_facts: false
  tasks:
    - when: inventory_hostname == 'trainer'
      block:
        - name: Follow the training
          follow:
      rescue:
        - name: Announce the next attempt
          ansible.builtin.fail: {msg: another instance is needed}
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Report
      run_report:
"""
TAKEN_BACK = {"failed": True, "msg": "interrupted: EC2 takes it back", "interruption": {"kind": "spot"}}


def environment(binaries: Path, **more: str) -> dict[str, str]:
    """Return the environment of a user at a terminal."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "NO_COLOR"))}
    own = {"PATH": f"{binaries}:{os.environ['PATH']}", "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    return {**kept, **own, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **more}


def play(folder: Path, text: str, *options: str, binaries: Path = ROOT / ".venv" / "bin", columns: int = 60,
         interrupt_after: Path | None = None, **more: str) -> Shown:  # fmt: skip
    """Run a playbook at a terminal."""
    (folder / "site.yml").write_text(text)
    # Set the interpreter explicitly: `python3.13` may be only a shim of pyenv.
    common = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={binaries / 'python'}"]
    command = [str(binaries / "ansible-playbook"), "site.yml", *common, *options]
    return at_terminal(command, folder, environment(binaries, **more), columns, interrupt_after)


@pytest.fixture(scope="module", params=["2.19", "2.21"])
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """Output of the failing playbook with both Ansible versions."""
    if request.param == "2.21" and not (NEWEST / "ansible-playbook").exists():
        pytest.skip("the environment with ansible-core 2.21 needs Python 3.12 or 3.13")
    binaries = NEWEST if request.param == "2.21" else ROOT / ".venv" / "bin"
    return play(tmp_path_factory.mktemp("lines"), PLAYBOOK, binaries=binaries)


def test_failure_is_shown_once_in_full(shown: Shown) -> None:
    flat = " ".join(shown.text.split())
    assert shown.code == 2
    assert flat.count(BROKEN) == 1, shown.text
    assert "stdout: before it" in flat
    assert f"The run did not pass: {AS_ABOVE}" in flat
    assert "site.yml:26" in flat
    assert "Origin:" not in flat


def test_no_line_is_wider_than_the_terminal(shown: Shown) -> None:
    assert 50 < shown.widest <= shown.columns, shown.raw


def test_debug_message_is_shown_in_full(shown: Shown) -> None:
    assert "a message that is longer than the terminal is wide, so that it has to go on" in " ".join(shown.text.split())


def test_retries_and_unreachable_hosts_are_shown(shown: Shown) -> None:
    assert "retrying, " in shown.raw
    assert "ignored: Try again:" in shown.text
    assert "UNREACHABLE" in shown.text
    assert "Ping a lost host" in shown.text


def test_live_line_disappears_at_the_end(shown: Shown) -> None:
    assert "\r\x1b[K…" in shown.raw
    assert not any(line.startswith("…") for line in shown.lines)
    assert shown.lines[-2].startswith(("FAILED", " ")), shown.lines[-3:]


def test_no_color_prints_no_escape_sequences(tmp_path: Path) -> None:
    shown = play(tmp_path, QUIET, NO_COLOR="1")
    assert "\x1b" not in shown.raw
    assert "\r" not in shown.raw
    assert "FAILED      A play whose" in shown.raw
    assert "on purpose" in shown.raw


def test_output_without_terminal_is_that_of_default(tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_text(QUIET)
    results = []
    for callback in ({}, {"ANSIBLE_STDOUT_CALLBACK": "default"}):
        variables = environment(ROOT / ".venv" / "bin", **callback)
        command = ["ansible-playbook", "site.yml", "-i", "localhost,", "-c", "local"]
        answer = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
        results.append((answer.returncode, answer.stdout, answer.stderr))
    assert results[0] == results[1]
    assert "TASK [Set]" in results[0][1]


def test_v_shows_tasks(tmp_path: Path) -> None:
    shown = play(tmp_path, QUIET, "-v")
    assert any(line.startswith("  ok") and line.endswith("Set [localhost]") for line in shown.lines), shown.text
    assert "TASK [" not in shown.text
    assert [line.strip() for line in shown.lines if "this is" in line] == ["this is three", "this is four"]
    assert "All items" not in shown.text


def test_vv_shows_ansibles_own_output(tmp_path: Path) -> None:
    assert "TASK [Set]" in play(tmp_path, QUIET, "-vv").text


def test_chosen_stdout_callback_is_used(tmp_path: Path) -> None:
    shown = play(tmp_path, QUIET, ANSIBLE_STDOUT_CALLBACK="minimal")
    assert "localhost | SUCCESS =>" in shown.text


@pytest.mark.parametrize(("outcome", "code", "word"), [("passed", 0, "done"), ("interrupted", 75, "FAILED")])
def test_run_that_passed_on_second_instance_is_done(tmp_path: Path, outcome: str, code: int, word: str) -> None:
    (tmp_path / "library").mkdir()
    for name, result in {"follow": TAKEN_BACK, "run_report": {"outcome": outcome}}.items():
        (tmp_path / "library" / f"{name}.py").write_text(
            f"#!/usr/bin/python\nprint({json.dumps(json.dumps(result))})\n"
        )
    shown = play(tmp_path, LOST)
    assert shown.code == code, shown.text
    assert re.search(r"^interrupted +Train ", shown.text, re.MULTILINE), shown.text
    assert shown.lines[-2].startswith((word, " ")), shown.text
    assert [line.split()[0] for line in shown.lines if line.startswith(("done", "FAILED"))][-1] == word, shown.text


def test_ctrl_c_leaves_no_partial_line(tmp_path: Path) -> None:
    # Not as soon as the line is drawn: Ansible forks then, and Python loses a signal during its fork hooks.
    shown = play(tmp_path, WAITING, interrupt_after=tmp_path / "begun")
    assert shown.code == 99
    assert "User interrupted execution" in shown.text
    assert not any(line.startswith("…") for line in shown.lines), shown.text
