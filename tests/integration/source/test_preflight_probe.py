"""What the role preflight makes of a project's preflight, be it one of exit code alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
MODULE = "plugins/modules/preflight_probe.py"
PASSED = {"name": "mine", "status": "pass"}


@pytest.fixture
def probe(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run the module with a preflight that is this Python program; its report."""

    def run(program: str, imports: list[str] | None = None, text: str = "") -> dict[str, Any]:
        output = tmp_path / "preflight.json"
        output.write_text(json.dumps({"checks": [{"name": "stale", "status": "pass"}]}))
        command = [sys.executable, "-c", f"import json, sys\noutput = {str(output)!r}\n{program}"]
        arguments = {
            "python": sys.executable,
            "imports": imports or [],
            "command": command,
            "folder": str(tmp_path),
            "input": text,
            "output": str(output),
        }
        answer = subprocess.run(
            [sys.executable, str(ROOT / MODULE)],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_remote_tmp": str(tmp_path)}}),
            capture_output=True,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path)},
            check=True,
        )
        result: dict[str, Any] = json.loads(answer.stdout)
        report: dict[str, Any] = json.loads(result["report"])
        assert json.loads(output.read_text()) == report
        return {**report, "exit_code": result["exit_code"]}

    return run


def facts(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name, status and detail of each check."""
    return [(check["name"], check["status"], check.get("detail", "")) for check in report["checks"]]


@pytest.mark.parametrize(
    ("program", "found"),
    [
        ("print('first'); print('12 rows are fresh')", ("probe", "pass", "12 rows are fresh")),
        ("", ("probe", "pass", "it said nothing")),
        ("print('some output'); sys.exit('no rows')", ("probe", "fail", "exit code 1: no rows")),
        ("print('usage'); sys.exit(2)", ("probe", "fail", "exit code 2: usage")),
        ("open(output, 'w').write('[1]')", ("probe", "fail", "is no JSON object with checks")),
        ("open(output, 'w').write('{\"checks\"')", ("probe", "fail", "cannot be read")),
    ],
)
def test_without_a_report_the_exit_code_and_the_last_line_are_one(
    program: str, found: tuple[str, str, str], probe: Callable[..., dict[str, Any]]
) -> None:
    ((name, status, detail),) = facts(probe(program))

    assert (name, status) == found[:2]
    assert found[2] in detail


def test_a_report_of_its_own_is_kept_as_it_is(probe: Callable[..., dict[str, Any]]) -> None:
    own = {"checks": [PASSED], "symbols": 3, "mine": {"a": None}}

    assert probe(f"json.dump({own!r}, open(output, 'w'))") == {**own, "exit_code": 0}


@pytest.mark.parametrize(
    ("status", "names"), [("pass", ["mine", "probe"]), ("fail", ["mine"]), ("warn", ["mine", "probe"])]
)
def test_a_failure_that_no_check_explains_is_one_more_check(
    status: str, names: list[str], probe: Callable[..., dict[str, Any]]
) -> None:
    own = {"checks": [{"name": "mine", "status": status}]}

    report = probe(f"json.dump({own!r}, open(output, 'w')); sys.exit(1)")

    assert [check["name"] for check in report["checks"]] == names


def test_modules_are_imported_first_each_by_itself(probe: Callable[..., dict[str, Any]]) -> None:
    report = probe("print('done')", ["json", "email.message"])

    assert facts(report) == [("imports", "pass", "json, email.message"), ("probe", "pass", "done")]


def test_a_module_that_does_not_import_is_named_with_the_reason_and_nothing_else_is_tried(
    probe: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    # It lies in the folder that the preflight is started in, and must not be found there.
    (tmp_path / "shop_model.py").write_text("")

    report = probe("open(output, 'w').write('it ran')", ["json", "shop_model", "no_such_library"])

    ((name, status, detail),) = facts(report)
    assert (name, status, report["exit_code"]) == ("imports", "fail", None)
    assert detail == (
        "2 of 3 cannot be imported: shop_model (ModuleNotFoundError: No module named 'shop_model'), "
        "no_such_library (ModuleNotFoundError: No module named 'no_such_library')"
    )
    assert report["checks"][0]["remedy"]


def test_the_preflight_gets_its_input(probe: Callable[..., dict[str, Any]]) -> None:
    assert facts(probe("print(sys.stdin.read().split())", text="A\nB")) == [("probe", "pass", "['A', 'B']")]
