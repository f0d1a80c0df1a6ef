"""The report that the role preflight makes of a project's preflight."""

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
        ("", ("probe", "pass", "no output")),
        ("print('some output'); sys.exit('no rows')", ("probe", "fail", "exit code 1: no rows")),
        ("print('usage'); sys.exit(2)", ("probe", "fail", "exit code 2: usage")),
        ("open(output, 'w').write('[1]')", ("probe", "fail", "is not a JSON object with checks")),
        ("open(output, 'w').write('{\"checks\"')", ("probe", "fail", "cannot read its report")),
    ],
)
def test_exit_code_and_last_line_replace_a_missing_report(
    program: str, found: tuple[str, str, str], probe: Callable[..., dict[str, Any]]
) -> None:
    ((name, status, detail),) = facts(probe(program))

    assert (name, status) == found[:2]
    assert found[2] in detail


def test_report_of_the_preflight_is_kept(probe: Callable[..., dict[str, Any]]) -> None:
    own = {"checks": [PASSED], "symbols": 3, "mine": {"a": None}}

    assert probe(f"json.dump({own!r}, open(output, 'w'))") == {**own, "exit_code": 0}


@pytest.mark.parametrize(
    ("status", "names"), [("pass", ["mine", "probe"]), ("fail", ["mine"]), ("warn", ["mine", "probe"])]
)
def test_unexplained_failure_adds_a_check(status: str, names: list[str], probe: Callable[..., dict[str, Any]]) -> None:
    own = {"checks": [{"name": "mine", "status": status}]}

    report = probe(f"json.dump({own!r}, open(output, 'w')); sys.exit(1)")

    assert [check["name"] for check in report["checks"]] == names


def test_modules_are_imported_first(probe: Callable[..., dict[str, Any]]) -> None:
    report = probe("print('done')", ["json", "email.message"])

    assert facts(report) == [("imports", "pass", "json, email.message"), ("probe", "pass", "done")]


def test_import_error_is_explained_and_ends_the_probe(probe: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    # In the working directory of the preflight, which must not be searched.
    (tmp_path / "shop_model.py").write_text("")

    report = probe("open(output, 'w').write('it ran')", ["json", "shop_model", "no_such_library"])

    ((name, status, detail),) = facts(report)
    assert (name, status, report["exit_code"]) == ("imports", "fail", None)
    assert detail == (
        "2 of 3 cannot be imported: shop_model (ModuleNotFoundError: No module named 'shop_model'), "
        "no_such_library (ModuleNotFoundError: No module named 'no_such_library')"
    )
    assert report["checks"][0]["remedy"]


def test_preflight_gets_its_input(probe: Callable[..., dict[str, Any]]) -> None:
    assert facts(probe("print(sys.stdin.read().split())", text="A\nB")) == [("probe", "pass", "['A', 'B']")]
