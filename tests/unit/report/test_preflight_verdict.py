"""The action plugin that shows the preflight's verdict, in real playbooks; and that all places say the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.unit.report.conftest import ROOT, check

PLAY = """
- hosts: localhost
  # Nobody answers there: whatever needs a connection fails.
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

# The verdict, and the report of the same run.
RUN = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: run_open}
    - block:
        - ansible.builtin.import_role: {name: preflight}
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
    """What one playbook showed, and what the plugin returned for each case."""

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
def judge(make_project: Callable[[], Any]) -> Callable[..., Verdicts]:
    """Run the plugin on every case."""
    project = make_project()
    with_plugin(project)
    project.write("play.yml", PLAY)
    cases = [{"title": title, "checks": checks, "symbols": "20"} for title, checks in CASES.items()]
    project.write("variables.json", json.dumps({"cases": cases}))

    def run(*arguments: str, **environment: str) -> Verdicts:
        done = project.play("-e", "@variables.json", *arguments, environment=environment)
        return Verdicts(done.stdout + done.stderr, project.folder / "verdicts.json")

    return run


@pytest.fixture(scope="module")
def judged(judge: Callable[..., Verdicts]) -> Verdicts:
    return judge(COLUMNS="wide")


def with_plugin(project: Any) -> None:
    config = project.folder / "ansible.cfg"
    config.write_text(config.read_text() + f"action_plugins = {ROOT / 'plugins' / 'action'}\n")


def test_a_failed_check_fails_with_its_words_and_needs_no_connection(judged: Verdicts) -> None:
    result = judged.results["one failed"]
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["msg"] == (
        "The preflight failed: 1 of 3 checks. freshness: SYM250 is 37 days old. Do: Bring it up to date."
    )


def test_the_table_is_shown_with_failures_first(judged: Verdicts) -> None:
    assert judged.table("one failed") == [
        "one failed",
        "FAIL  freshness  1.2 s  SYM250 is 37 days old",
        "      do: Bring it up to date.",
        "WARN  macro      0.1 s  VIX ends in 2019",
        "      do: Bring VIX up to date.",
        "PASS  imports    2.0 s  14 modules import",
        "3 checks: 1 passed, 1 warning, 1 failed, 3.4 s",
    ]


def test_good_checks_pass(judged: Verdicts) -> None:
    result = judged.results["all good"]
    assert (result["failed"], result["changed"]) == (False, False)
    assert result["msg"] == "2 checks passed, 1 warning, 20 symbols"
    assert judged.table("all good")[-1] == "2 checks: 1 passed, 1 warning, 0 failed, 2.1 s"


def test_no_check_at_all_fails(judged: Verdicts) -> None:
    assert judged.results["none"]["failed"] is True
    assert judged.results["none"]["msg"] == "The preflight failed: it has no check, so it proves nothing"


def test_a_malformed_record_fails_and_says_so(judged: Verdicts) -> None:
    assert judged.results["malformed"]["failed"] is True
    assert judged.results["malformed"]["msg"].startswith(
        "The preflight failed: 2 of 3 checks. "
        "unnamed check: this is no record of a check, so it counts as failed: 7. Do: Mend the check"
    )
    assert judged.table("malformed")[3].startswith("FAIL  pins")
    assert "its status is 'great', so it counts as failed" in judged.table("malformed")[3]


def test_what_is_no_list_of_checks_is_refused(judged: Verdicts) -> None:
    assert judged.results["no list"]["failed"] is True
    assert "checks takes a list of records" in judged.results["no list"]["msg"]


def test_passed_checks_are_cut_to_the_terminal_and_no_other(judge: Callable[..., Verdicts], judged: Verdicts) -> None:
    for verdicts, width in ((judged, 120), (judge("--check", COLUMNS="50"), 50)):
        _, failed, remedy, passed, _ = verdicts.table("long")
        assert (failed, remedy) == (f"FAIL  freshness  1.2 s  {LONG}", f"      do: {LONG}")
        assert len(passed) == width and passed.endswith("…")
        # In check mode, as the second one is, the verdict is the same.
        assert [result["failed"] for result in verdicts.results.values()] == [True, False, True, True, True, True]


def test_colours_follow_ansibles_settings(judge: Callable[..., Verdicts], judged: Verdicts) -> None:
    assert ESCAPE not in judged.output
    # The project's ansible.cfg says nocolor; without it, an output that is no terminal has no colour either.
    assert ESCAPE not in judge(ANSIBLE_NOCOLOR="false").output
    forced = judge(ANSIBLE_NOCOLOR="false", ANSIBLE_FORCE_COLOR="true").output
    assert f"{ESCAPE}[0;31mFAIL  freshness" in forced
    assert f"{ESCAPE}[1;35mWARN  macro" in forced
    assert "\nPASS  imports" in forced


def test_a_failed_check_says_the_same_in_receipt_page_and_terminal(make_project: Callable[[], Any]) -> None:
    project = make_project()
    with_plugin(project)
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
    told = [entry for entry in receipt["preflight"]["checks"] if entry["status"] != "pass"]
    assert [entry["name"] for entry in told] == [
        *("freshness", "<b>bold</b>", "control", "odd", "unnamed check", "macro"),
    ]
    cards = re.findall(
        r"<strong>([^<]*)</strong> <span.*?<p class=\"detail\">([^<]*)</p>\s*"
        r"<p class=\"remedy\"><strong>Do:</strong> ([^<]*)</p>",
        page,
        flags=re.DOTALL,
    )
    assert [tuple(map(unescape, card)) for card in cards] == [
        (entry["name"], entry["detail"], entry["remedy"]) for entry in told
    ]
    for entry in told:
        at = next(at for at, line in enumerate(shown) if re.match(rf"(FAIL|WARN)  {re.escape(entry['name'])}  ", line))
        assert re.fullmatch(rf"(FAIL|WARN)  .{{13}}  +\S+( s)?  {re.escape(entry['detail'])}", shown[at])
        assert shown[at + 1] == f"      do: {entry['remedy']}"
        if entry["status"] == "fail":
            assert f"{entry['name']}: {entry['detail']}. Do: {entry['remedy']}" in receipt["error"]
    assert receipt["preflight"]["checks"][3]["detail"] == "red text, two lines"
    assert receipt["failed_step"] == "preflight"
    assert "<script>" not in page
