"""The action plugin preflight_verdict in real playbooks: verdict, table, and the same words in receipt and page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import check

PLAY = """
- hosts: localhost
  # Nothing listens there, so a task that needs a connection fails.
  connection: ssh
  vars: {ansible_host: 127.0.0.1, ansible_port: 1}
  gather_facts: false
  tasks:
    - spot_train.core.preflight_verdict:
        checks: "{{ item.checks }}"
        title: "{{ item.title }}"
        symbols: "{{ item.symbols }}"
      loop: "{{ cases }}"
      loop_control: {label: "{{ item.title }}"}
      register: verdicts
      ignore_errors: true
    - ansible.builtin.copy: {content: "{{ verdicts.results | to_json }}", dest: "{{ playbook_dir }}/verdicts.json"}
      connection: local
      check_mode: false
"""

# A verdict and the report of the same run.
RUN = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: run_open}
    - block:
        - ansible.builtin.import_role: {name: preflight}
          vars: {run_step: preflight}
      rescue:
        - ansible.builtin.debug: {msg: terminating}
      always:
        - ansible.builtin.import_role: {name: run_report}
"""
PREFLIGHT = """
- ansible.builtin.copy:
    content: "{{ {'checks': checks} | to_json }}"
    dest: "{{ run.run_dir }}/preflight.json"
- spot_train.core.preflight_verdict: {checks: "{{ checks }}"}
"""
REPORT = """
- spot_train.core.run_report:
    run_dir: "{{ run.run_dir }}"
    template: "{{ role_path }}/templates/report.html.j2"
    run: "{{ run }}"
    leaks: {instances: 0, volumes: 0, spot_requests: 0, launch_templates: 0, schedules: 0, transport_keys: 0}
    writes: {data_bucket: 0}
"""

FRESHNESS = check("freshness", "data", "fail", "SYM250 is 37 days old", "Bring it up to date.", 1.25)
IMPORTS = check("imports", "software", "pass", "14 modules import", seconds=2)
MACRO = check("macro", "data", "warn", "VIX ends in 2019", "Bring VIX up to date.")
ESCAPE = "\x1b"


LONG = "word " * 60 + "end"
CASES: dict[str, Any] = {
    "one failed": [IMPORTS, MACRO, FRESHNESS],
    "all good": [IMPORTS, MACRO],
    "none": [],
    "malformed": [IMPORTS, 7, {"name": "pins", "status": "great"}],
    "no list": {"freshness": "pass"},
    "long": [{**FRESHNESS, "detail": LONG, "remedy": LONG}, {**IMPORTS, "detail": LONG}],
}


class Verdicts:
    """The output of a playbook, and the plugin's result for each case."""

    def __init__(self, output: str, file: Path) -> None:
        self.output = output
        self.lines = output.splitlines()
        results = json.loads(file.read_text(encoding="utf-8"))
        self.results: dict[str, dict[str, Any]] = {entry["item"]["title"]: entry for entry in results}
        file.unlink()

    def table(self, case: str) -> list[str]:
        """Return the lines of a table, from its title to its last line."""
        at = self.lines.index(case)
        end = next(at for at in range(at, len(self.lines)) if re.match(r"\d+ checks?: ", self.lines[at]))
        return self.lines[at : end + 1]


@pytest.fixture(scope="module")
def play(make_project: Callable[[], Any]) -> Callable[..., Verdicts]:
    """Run the plugin on every case."""
    project = make_project()
    project.write("play.yml", PLAY)
    cases = [{"title": title, "checks": checks, "symbols": "20"} for title, checks in CASES.items()]
    project.write("variables.json", json.dumps({"cases": cases}))

    def run(*arguments: str, **environment: str) -> Verdicts:
        done = project.play("-e", "@variables.json", *arguments, environment=environment)
        return Verdicts(done.stdout + done.stderr, project.folder / "verdicts.json")

    return run


@pytest.fixture(scope="module")
def verdicts(play: Callable[..., Verdicts]) -> Verdicts:
    return play(COLUMNS="wide")


def test_failed_check_fails_the_task_without_a_connection(verdicts: Verdicts) -> None:
    result = verdicts.results["one failed"]
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["msg"] == (
        "The preflight failed: 1 of 3 checks. freshness: SYM250 is 37 days old. Do: Bring it up to date."
    )
    assert verdicts.table("one failed") == [
        "one failed",
        "FAIL  freshness  1.2 s  SYM250 is 37 days old",
        "      do: Bring it up to date.",
        "WARN  macro      0.1 s  VIX ends in 2019",
        "      do: Bring VIX up to date.",
        "PASS  imports    2.0 s  14 modules import",
        "3 checks: 1 passed, 1 warning, 1 failed, 3.4 s",
    ]


def test_good_checks_pass(verdicts: Verdicts) -> None:
    result = verdicts.results["all good"]
    assert (result["failed"], result["changed"]) == (False, False)
    assert result["msg"] == "2 checks passed, 1 warning, 20 symbols"
    assert verdicts.table("all good")[-1] == "2 checks: 1 passed, 1 warning, 0 failed, 2.1 s"


def test_malformed_records_fail(verdicts: Verdicts) -> None:
    assert verdicts.results["malformed"]["failed"] is True
    assert verdicts.results["malformed"]["msg"].startswith("The preflight failed: 2 of 3 checks. unnamed check: ")
    assert verdicts.table("malformed")[3].startswith("FAIL  pins")


def test_checks_must_be_a_list(verdicts: Verdicts) -> None:
    assert verdicts.results["no list"]["failed"] is True
    assert "checks: expected a list of records" in verdicts.results["no list"]["msg"]


def test_only_passed_checks_are_cut_to_the_terminal(play: Callable[..., Verdicts], verdicts: Verdicts) -> None:
    # The second one runs in check mode, in colours if the output were a terminal: the verdict is the same.
    narrow = play("--check", COLUMNS="50", ANSIBLE_NOCOLOR="false")
    for shown, width in ((verdicts, 120), (narrow, 50)):
        _, failed, remedy, passed, _ = shown.table("long")
        assert (failed, remedy) == (f"FAIL  freshness  1.2 s  {LONG}", f"      do: {LONG}")
        assert len(passed) == width and passed.endswith("…")
        assert [result["failed"] for result in shown.results.values()] == [True, False, True, True, True, True]
        assert ESCAPE not in shown.output


def test_colours_follow_ansible_settings(play: Callable[..., Verdicts]) -> None:
    forced = play(ANSIBLE_NOCOLOR="false", ANSIBLE_FORCE_COLOR="true").output
    assert f"{ESCAPE}[0;31mFAIL  freshness" in forced
    assert f"{ESCAPE}[1;35mWARN  macro" in forced
    assert "\nPASS  imports" in forced


def test_check_reads_the_same_in_receipt_page_and_terminal(make_project: Callable[[], Any]) -> None:
    project = make_project()
    project.write("play.yml", RUN)
    project.write("roles/preflight/tasks/main.yml", PREFLIGHT)
    project.write("roles/run_report/tasks/main.yml", REPORT)
    names = ", ".join(f"SYM{number:04d} ({600 - number} days)" for number in range(50))
    checks: list[Any] = [
        IMPORTS,
        check("freshness", "data", "fail", f"50 of 500 symbols are too old: {names}", "Bring them up to date."),
        check(
            "<b>bold</b>",
            "software",
            "fail",
            "wanted <2, found >= 2 & \"more\" {{ 'x' }}",
            "Say </p><script>1</script>.",
        ),
        check(
            "control", "machine", "fail", "red \x1b[31mtext\x1b[0m,\r\n two\tlines\x9b\u202e", "Clean\x00 it \x07up."
        ),
        {"name": "odd", "status": "great", "detail": "an odd one"},
        ["no", "record"],
        MACRO,
    ]
    project.write("variables.json", json.dumps({"checks": checks}).replace("{{", "{{ '{{' }}"))
    done = project.play("-e", "@variables.json")
    folder: Path = project.runs / "r1"
    receipt = json.loads((folder / "receipt.json").read_text(encoding="utf-8"))
    page = (folder / "report.html").read_text(encoding="utf-8")
    shown = done.stdout.splitlines()
    reported = [entry for entry in receipt["preflight"]["checks"] if entry["status"] != "pass"]
    assert [entry["name"] for entry in reported] == [
        *("freshness", "<b>bold</b>", "control", "odd", "unnamed check", "macro"),
    ]
    cards = re.findall(
        r"<strong>([^<]*)</strong> <span.*?<p class=\"detail\">([^<]*)</p>\s*"
        r"<p class=\"remedy\"><strong>Do:</strong> ([^<]*)</p>",
        page,
        flags=re.DOTALL,
    )
    assert [tuple(map(unescape, card)) for card in cards] == [
        (entry["name"], entry["detail"], entry["remedy"]) for entry in reported
    ]
    for entry in reported:
        at = next(at for at, line in enumerate(shown) if re.match(rf"(FAIL|WARN)  {re.escape(entry['name'])}  ", line))
        assert re.fullmatch(rf"(FAIL|WARN)  .{{13}}  +\S+( s)?  {re.escape(entry['detail'])}", shown[at])
        assert shown[at + 1] == f"      do: {entry['remedy']}"
        if entry["status"] == "fail":
            assert f"{entry['name']}: {entry['detail']}. Do: {entry['remedy']}" in receipt["error"]
    assert receipt["preflight"]["checks"][3]["detail"] == "red text, two lines"
    assert receipt["failed_step"] == "preflight"
    assert "<script>" not in page
