"""The record of a check: how it is read, and the texts from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.checks.records import (
    FIX_RECORD,
    read_check,
    sentence,
    table,
    verdict,
)
from ansible_collections.spot_train.core.plugins.module_utils.report.evidence import read_preflight
from ansible_collections.spot_train.core.plugins.module_utils.report.receipt import Inputs, build_receipt
from ansible_collections.spot_train.core.plugins.module_utils.report.summary import summary_lines

from tests.unit.report.conftest import check

FRESHNESS = check("freshness", "data", "fail", "SYM250 is 37 days old", "Bring it up to date.", 1.25)
PINS = check("pins", "software", "fail", "numpy: wanted 2.1.0, found 1.26.4", "Install the lock file again.", 12)
MACRO = check("macro", "data", "warn", "VIX ends in 2019", "Bring VIX up to date.")
IMPORTS = check("imports", "software", "pass", "14 modules import", seconds=2)


def test_valid_record_is_unchanged() -> None:
    assert read_check({**FRESHNESS, "items": ["SYM250"]}) == ({**FRESHNESS, "items": ["SYM250"]}, True)


def test_texts_of_a_record_are_clean_lines() -> None:
    record = {
        **FRESHNESS,
        "detail": "a\x1b[31m red\x1b[0m\n\tb\x00\x9b \u202e c",
        "remedy": "do\r\nthis ",
        "name": "x\ny",
    }
    read, _ = read_check(record)
    assert (read["name"], read["detail"], read["remedy"]) == ("x y", "a red b c", "do this")


def test_unknown_tier_group_and_time_are_empty() -> None:
    read, _ = read_check({"name": "x", "status": "pass", "tier": ["?"], "group": {}, "seconds": "long"})
    assert (read["tier"], read["group"], read["seconds"], read["remedy"]) == ("", "", None, "")


def test_file_determines_the_tier() -> None:
    assert read_check(FRESHNESS, "controller")[0]["tier"] == "controller"


@pytest.mark.parametrize(
    ("record", "detail", "remedy"),
    [
        (7, "not a record of a check, so it counts as failed: 7", FIX_RECORD),
        (None, "not a record of a check, so it counts as failed: ", FIX_RECORD),
        ({"name": "x"}, "it has no status, so it counts as failed", FIX_RECORD),
        (
            {"name": "x", "status": "great", "detail": "all well", "remedy": "Cheer."},
            "its status is 'great', so it counts as failed: all well",
            "Cheer.",
        ),
        ({"name": "x", "status": ["pass"]}, "its status is \"['pass']\", so it counts as failed", FIX_RECORD),
    ],
)
def test_malformed_record_counts_as_failed(record: Any, detail: str, remedy: str) -> None:
    read, sound = read_check(record)
    assert not sound
    assert (read["status"], read["detail"], read["remedy"]) == ("fail", detail, remedy)


def test_verdict_contains_every_failed_check() -> None:
    assert verdict([IMPORTS, FRESHNESS, MACRO, PINS], 20) == (
        False,
        "The preflight failed: 2 of 4 checks. freshness: SYM250 is 37 days old. Do: Bring it up to date.; "
        "pins: numpy: wanted 2.1.0, found 1.26.4. Do: Install the lock file again.",
    )


def test_verdict_counts_good_checks() -> None:
    assert verdict([IMPORTS, MACRO], 20) == (True, "2 checks passed, 1 warning, 20 symbols")
    assert verdict([IMPORTS]) == (True, "1 check passed")


def test_preflight_without_checks_fails() -> None:
    passed, words = verdict([])
    assert not passed
    assert words == "The preflight failed: it has no check, so it proves nothing"


def test_check_without_texts_has_its_name() -> None:
    assert sentence({**FRESHNESS, "detail": "", "remedy": ""}) == "freshness"
    assert sentence({**FRESHNESS, "detail": ""}) == "freshness: Do: Bring it up to date."


def test_table_has_failures_first_and_in_full() -> None:
    long = {**PINS, "detail": "numpy " * 60 + "end"}
    lines = table([IMPORTS, MACRO, FRESHNESS, long, {**IMPORTS, "detail": "y" * 200}], "Preflight", 60)
    assert [status for status, _ in lines] == ["", "fail", "fail", "fail", "fail", "warn", "warn", "pass", "pass", ""]
    texts = [text for _, text in lines]
    assert texts[0] == "Preflight"
    assert texts[1:3] == ["FAIL  freshness  1.2 s  SYM250 is 37 days old", "      do: Bring it up to date."]
    assert texts[3].startswith("FAIL  pins        12 s  numpy numpy") and texts[3].endswith("end")
    assert texts[5].startswith("WARN  macro")
    assert texts[7] == "PASS  imports    2.0 s  14 modules import"
    assert texts[8].endswith("y…") and len(texts[8]) == 60
    assert texts[-1] == "5 checks: 2 passed, 1 warning, 2 failed, 17 s"


def test_empty_table_has_two_lines() -> None:
    assert table([], "Preflight\x1b[2J", 120) == [("", "Preflight"), ("", "0 checks: 0 passed, 0 failed")]


def write(folder: Path, name: str, value: Any) -> None:
    (folder / name).write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def test_tiers_are_merged_controller_first(tmp_path: Path) -> None:
    identity = check("identity", "account", "pass", "the controller's role", tier="controller")
    write(tmp_path, "preflight-controller.json", {"checks": [identity], "seconds": 1.2})
    result = {"checks": [IMPORTS], "symbols": 2, "ages": {"A": 1}, "unreadable": {"B": "gone\n!"}, "limit": 3}
    write(tmp_path, "preflight.json", {**result, "missing": ["C"], "new": ["A"], "seconds": 3})
    preflight, notes = read_preflight(tmp_path)
    assert notes == []
    assert preflight == {
        "checks": [identity, IMPORTS],
        "symbols": 2,
        "stale": [],
        "unreadable": {"B": "gone !"},
        "newest": None,
        "oldest": None,
        "ages": {"A": 1},
        "limit": 3,
        "missing": ["C"],
        "new": ["A"],
        "seconds": 3,
        "controller_seconds": 1.2,
    }


def test_without_instance_tier_its_fields_are_empty(tmp_path: Path) -> None:
    write(tmp_path, "preflight-controller.json", {"checks": [FRESHNESS], "seconds": 1})
    preflight, notes = read_preflight(tmp_path)
    assert notes == [] and preflight is not None
    assert preflight["checks"] == [{**FRESHNESS, "tier": "controller"}]
    assert {name: value for name, value in preflight.items() if value not in ([], {}, None)} == {
        "checks": preflight["checks"],
        "controller_seconds": 1,
    }


def test_damaged_file_of_controller_tier_is_noted(tmp_path: Path) -> None:
    write(tmp_path, "preflight-controller.json", '{"checks": [')
    write(tmp_path, "preflight.json", {"checks": [IMPORTS]})
    preflight, notes = read_preflight(tmp_path)
    assert preflight is not None and preflight["checks"] == [IMPORTS]
    assert [note.partition(" (")[0] for note in notes] == ["preflight-controller.json is not valid JSON"]
    write(tmp_path, "preflight-controller.json", {"checks": "none"})
    assert read_preflight(tmp_path)[1] == ["preflight-controller.json: checks: expected a list, got str"]


def test_summary_reports_missing_instance_tier(run: Any, clock: Any, tmp_path: Path) -> None:
    write(tmp_path, "preflight-controller.json", {"checks": [FRESHNESS, IMPORTS], "seconds": 1})
    preflight, _ = read_preflight(tmp_path)
    events = clock.step("open", 1, "task_failed", msg="The preflight failed")
    lines = summary_lines(build_receipt(Inputs(run=run, events=events, preflight=preflight)), "r")
    assert "preflight  1 passed, 1 failed; the instance tier did not run" in lines
    events = [*clock.step("open", 1), *clock.step("preflight", 1, "task_failed", msg="cut")]
    lines = summary_lines(build_receipt(Inputs(run=run, events=events, preflight=preflight)), "r")
    assert "preflight  1 passed, 1 failed; the instance tier left no result" in lines


def test_preflight_step_without_instance_tier_fails(run: Any, clock: Any, no_leaks: Any, tmp_path: Path) -> None:
    write(tmp_path, "preflight-controller.json", {"checks": [IMPORTS], "seconds": 1})
    preflight, _ = read_preflight(tmp_path)
    events = [*clock.step("preflight", 1), clock.event("playbook_finished")]
    receipt = build_receipt(Inputs(run=run, events=events, preflight=preflight, leaks=no_leaks))
    assert (receipt["outcome"], receipt["error"]) == ("failed", "the preflight step passed but left no result")


def test_summary_counts_missing_symbols(run: Any, preflight: Any) -> None:
    preflight |= {"missing": ["A", "B"]}
    lines = summary_lines(build_receipt(Inputs(run=run, preflight=preflight)), "r")
    assert "preflight  3 passed, 1 warning, 0 failed; 3 symbols, 0 stale, 2 missing, newest 2022-12-28" in lines
