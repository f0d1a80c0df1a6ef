"""One check: how its record is read, and the words that people get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.checks.records import (
    MEND,
    read_check,
    table,
    told,
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


def test_a_sound_record_is_kept_as_it_is() -> None:
    assert read_check({**FRESHNESS, "items": ["SYM250"]}) == ({**FRESHNESS, "items": ["SYM250"]}, True)


def test_all_text_of_a_record_is_one_clean_line() -> None:
    record = {
        **FRESHNESS,
        "detail": "a\x1b[31m red\x1b[0m\n\tb\x00\x9b \u202e c",
        "remedy": "do\r\nthis ",
        "name": "x\ny",
    }
    read, _ = read_check(record)
    assert (read["name"], read["detail"], read["remedy"]) == ("x y", "a red b c", "do this")


def test_an_unknown_tier_group_or_time_is_none() -> None:
    read, _ = read_check({"name": "x", "status": "pass", "tier": ["?"], "group": {}, "seconds": "long"})
    assert (read["tier"], read["group"], read["seconds"], read["remedy"]) == ("", "", None, "")


def test_the_file_and_not_the_record_says_which_tier_it_is() -> None:
    assert read_check(FRESHNESS, "controller")[0]["tier"] == "controller"


@pytest.mark.parametrize(
    ("record", "detail", "remedy"),
    [
        (7, "this is no record of a check, so it counts as failed: 7", MEND),
        (None, "this is no record of a check, so it counts as failed: ", MEND),
        ({"name": "x"}, "it has no status, so it counts as failed", MEND),
        (
            {"name": "x", "status": "great", "detail": "all well", "remedy": "Cheer."},
            "its status is 'great', so it counts as failed: all well",
            "Cheer.",
        ),
        ({"name": "x", "status": ["pass"]}, "its status is \"['pass']\", so it counts as failed", MEND),
    ],
)
def test_a_malformed_record_counts_as_failed_and_says_so(record: Any, detail: str, remedy: str) -> None:
    read, sound = read_check(record)
    assert not sound
    assert (read["status"], read["detail"], read["remedy"]) == ("fail", detail, remedy)


def test_the_verdict_names_every_failed_check_with_all_of_its_words() -> None:
    assert verdict([IMPORTS, FRESHNESS, MACRO, PINS], 20) == (
        False,
        "The preflight failed: 2 of 4 checks. freshness: SYM250 is 37 days old. Do: Bring it up to date.; "
        "pins: numpy: wanted 2.1.0, found 1.26.4. Do: Install the lock file again.",
    )


def test_the_verdict_of_good_checks_counts_them() -> None:
    assert verdict([IMPORTS, MACRO], 20) == (True, "2 checks passed, 1 warning, 20 symbols")
    assert verdict([IMPORTS]) == (True, "1 check passed")


def test_no_check_at_all_proves_nothing() -> None:
    passed, words = verdict([])
    assert not passed
    assert words == "The preflight failed: it has no check, so it proves nothing"


def test_a_check_without_words_is_told_by_its_name() -> None:
    assert told({**FRESHNESS, "detail": "", "remedy": ""}) == "freshness"
    assert told({**FRESHNESS, "detail": ""}) == "freshness: Do: Bring it up to date."


def test_the_table_has_failures_first_and_whole() -> None:
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


def test_an_empty_table_has_two_lines() -> None:
    assert table([], "Preflight\x1b[2J", 120) == [("", "Preflight"), ("", "0 checks: 0 passed, 0 failed")]


def write(folder: Path, name: str, value: Any) -> None:
    (folder / name).write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def test_the_two_tiers_become_one_list_the_controller_first(tmp_path: Path) -> None:
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


def test_where_only_the_controller_tier_ran_the_rest_is_empty(tmp_path: Path) -> None:
    write(tmp_path, "preflight-controller.json", {"checks": [FRESHNESS], "seconds": 1})
    preflight, notes = read_preflight(tmp_path)
    assert notes == [] and preflight is not None
    assert preflight["checks"] == [{**FRESHNESS, "tier": "controller"}]
    assert {name: value for name, value in preflight.items() if value not in ([], {}, None)} == {
        "checks": preflight["checks"],
        "controller_seconds": 1,
    }


def test_a_damaged_file_of_the_controller_tier_is_a_note(tmp_path: Path) -> None:
    write(tmp_path, "preflight-controller.json", '{"checks": [')
    write(tmp_path, "preflight.json", {"checks": [IMPORTS]})
    preflight, notes = read_preflight(tmp_path)
    assert preflight is not None and preflight["checks"] == [IMPORTS]
    assert [note.partition(" (")[0] for note in notes] == ["preflight-controller.json is not valid JSON"]
    write(tmp_path, "preflight-controller.json", {"checks": "none"})
    assert read_preflight(tmp_path)[1] == ["preflight-controller.json: checks is a str where a list belongs"]


def test_the_summary_says_that_the_instance_tier_did_not_run(run: Any, clock: Any, tmp_path: Path) -> None:
    write(tmp_path, "preflight-controller.json", {"checks": [FRESHNESS, IMPORTS], "seconds": 1})
    preflight, _ = read_preflight(tmp_path)
    events = clock.step("open", 1, "task_failed", msg="The preflight failed")
    lines = summary_lines(build_receipt(Inputs(run=run, events=events, preflight=preflight)), "r")
    assert "preflight  1 passed, 1 failed; the instance tier did not run" in lines
    events = [*clock.step("open", 1), *clock.step("preflight", 1, "task_failed", msg="cut")]
    lines = summary_lines(build_receipt(Inputs(run=run, events=events, preflight=preflight)), "r")
    assert "preflight  1 passed, 1 failed; the instance tier left no result" in lines


def test_a_preflight_step_without_the_instance_tier_is_not_passed(
    run: Any, clock: Any, no_leaks: Any, tmp_path: Path
) -> None:
    write(tmp_path, "preflight-controller.json", {"checks": [IMPORTS], "seconds": 1})
    preflight, _ = read_preflight(tmp_path)
    events = [*clock.step("preflight", 1), clock.event("playbook_finished")]
    receipt = build_receipt(Inputs(run=run, events=events, preflight=preflight, leaks=no_leaks))
    assert (receipt["outcome"], receipt["error"]) == ("failed", "the preflight step passed but left no result")


def test_the_summary_names_how_many_symbols_are_missing(run: Any, preflight: Any) -> None:
    preflight |= {"missing": ["A", "B"]}
    lines = summary_lines(build_receipt(Inputs(run=run, preflight=preflight)), "r")
    assert "preflight  3 passed, 1 warning, 0 failed; 3 symbols, 0 stale, 2 missing, newest 2022-12-28" in lines
