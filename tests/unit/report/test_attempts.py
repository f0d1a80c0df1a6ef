"""Attempts in the receipt: their shape, their bill, and what they make of the verdict."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.report.bill import FREE, bill
from ansible_collections.spot_train.core.plugins.module_utils.report.receipt import Inputs, build_receipt
from ansible_collections.spot_train.core.plugins.module_utils.report.summary import summary_lines
from ansible_collections.spot_train.core.plugins.module_utils.runs.attempts import (
    ending,
    read_attempts,
    shape_attempts,
    story,
)

from tests.unit.report.conftest import ROOT

PRICES = {"market_price_usd_hour": 0.036, "on_demand_price_usd_hour": 0.126}
LOSS = "EC2 took the spot instance i-0aaaaaaaaaaaaaaaa back at 2026-05-23 08:56:20 UTC (notice 2 min 00 s before)"
REFUSED = {"market": "spot", "type": "c5.large", "az": "us-east-1a", "error": "InsufficientInstanceCapacity"}


def one(instance: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """One attempt, shaped."""
    shaped: list[dict[str, Any]] = shape_attempts([{"number": 1, "instance": instance, "cells": [], **more}], None)
    return shaped


@pytest.fixture
def resumed(run: Any, attempts: Any, training: Any, no_leaks: Any, clock: Any) -> Inputs:
    """A training that lost its first instance in the step full and passed on its second."""
    first, second = {"attempt": 1}, {"attempt": 2}
    events = [
        *clock.step("request", 5, **first),
        *clock.step("bootstrap", 10, **first),
        *clock.step("full", 30, "task_unreachable", msg="Connection lost", host="trainer"),
        clock.event("attempt_resumed", attempt=1, reason="EC2 took the instance back"),
        *clock.step("request", 5, **second),
        *clock.step("bootstrap", 12, **second),
        *clock.step("full", 20, host="trainer-2"),
        *clock.step("terminate", 2),
        clock.event("task_started", "report"),
    ]
    return Inputs(
        run={**run, "mode": "full"},
        events=events,
        attempts=attempts,
        full={**training, "resumed_folds": 7},
        writes={"data_bucket": 17, "evidence": "ledger"},
        leaks=no_leaks,
    )


def test_a_run_that_went_on_and_passed_is_passed_and_tells_its_story(resumed: Inputs) -> None:
    receipt = build_receipt(resumed)
    assert (receipt["outcome"], receipt["error"], receipt["failed_step"]) == ("passed", None, None)
    assert [attempt["ended_by"] for attempt in receipt["attempts"]] == ["reclaim", "run"]
    assert receipt["instance"]["id"] == "i-0f3a91c2d45e6b789"
    assert receipt["instance"]["attempts"] == receipt["attempts"][1]["cells"]
    text = "\n".join(summary_lines(receipt, "report.html"))
    assert f"attempts   1: {LOSS}; 2: the run ended it, 7 folds taken up" in text
    assert "cost       $0.0030, 2 attempts, 8 min 01 s (1 attempt free, on demand $0.0168)" in text
    assert len(summary_lines(receipt, "report.html")) <= 12


def test_steps_of_two_attempts_are_one_entry_with_the_time_of_both(resumed: Inputs) -> None:
    steps = {step["name"]: step for step in build_receipt(resumed)["steps"]}
    assert {name: step["status"] for name, step in steps.items()} == {
        "request": "passed",
        "bootstrap": "passed",
        "full": "passed",
        "terminate": "passed",
    }
    assert (steps["bootstrap"]["seconds"], len(steps["bootstrap"]["spans"])) == (22.0, 2)


def test_a_failure_of_the_later_attempt_fails_the_run(resumed: Inputs, clock: Any) -> None:
    resumed.events = [
        *list(resumed.events)[:9],
        *clock.step("bootstrap", 5, "task_failed", msg="no network", host="trainer-2"),
        *clock.step("terminate", 2),
    ]
    resumed.full = None
    receipt = build_receipt(resumed)
    assert receipt["outcome"] == "failed"
    assert receipt["error"] == 'bootstrap failed at "Do bootstrap" on trainer-2: no network'
    statuses = {step["name"]: step["status"] for step in receipt["steps"]}
    assert (statuses["bootstrap"], statuses["full"]) == ("failed", "interrupted")


def test_a_failure_without_an_attempt_is_not_forgiven(resumed: Inputs, clock: Any) -> None:
    resumed.events = [*clock.step("open", 1, "task_failed", msg="no bucket"), *resumed.events]
    assert build_receipt(resumed)["error"] == 'open failed at "Do open": no bucket'


def test_a_run_that_lost_its_instance_and_did_not_go_on_is_interrupted(resumed: Inputs, attempts: Any) -> None:
    resumed.attempts, resumed.outcome, resumed.full = attempts[:1], "interrupted", None
    resumed.events = list(resumed.events)[:6]
    receipt = build_receipt(resumed)
    assert receipt["outcome"] == "interrupted"
    assert receipt["error"] == f"{LOSS}; the run did not go on after attempt 1"
    assert 'how the interruption showed: full failed at "Do full" on trainer: Connection lost' in receipt["notes"]
    assert receipt["failed_step"] == "full"
    assert {step["name"]: step["status"] for step in receipt["steps"]}["full"] == "interrupted"
    resumed.outcome, resumed.run = None, {**resumed.run, "run_attempts": 1}
    last = build_receipt(resumed)
    assert (last["outcome"], last["error"]) == ("interrupted", f"{LOSS}; attempt 1 was the last of 1: run it again")


def test_an_interrupted_preflight_says_that_preflights_do_not_resume(resumed: Inputs, attempts: Any) -> None:
    resumed.attempts, resumed.outcome, resumed.full = attempts[:1], "interrupted", None
    resumed.run = {**resumed.run, "mode": "preflight"}
    assert str(build_receipt(resumed)["error"]).endswith("; preflights do not resume: run it again")


def test_no_capacity_for_a_later_attempt_is_an_interruption(resumed: Inputs, attempts: Any, clock: Any) -> None:
    resumed.attempts = [attempts[0], {"number": 2, "instance": {}, "cells": [REFUSED] * 4}]
    resumed.events = [*list(resumed.events)[:7], *clock.step("request", 5, "task_failed", msg="No capacity")]
    resumed.outcome, resumed.full = "no_capacity", None
    receipt = build_receipt(resumed)
    assert receipt["outcome"] == "interrupted"
    assert receipt["error"].endswith("; attempt 2 had no capacity (InsufficientInstanceCapacity 4): run it again later")
    assert receipt["instance"]["id"] is None


def test_no_capacity_at_all_is_the_outcome_that_the_playbook_names(run: Any, clock: Any) -> None:
    refused = [{"number": 1, "instance": {}, "cells": [REFUSED] * 3}]
    receipt = build_receipt(Inputs(run=run, attempts=refused, outcome="no_capacity"))
    assert (receipt["outcome"], receipt["error"]) == ("no_capacity", "no capacity: InsufficientInstanceCapacity 3")
    assert (receipt["cost"]["billed_seconds"], receipt["cost"]["usd"]) == (0, 0.0)
    events = clock.step("request", 9, "task_failed", msg="No capacity: 3 cells")
    told = build_receipt(Inputs(run=run, events=events, attempts=refused, outcome="no_capacity"))
    assert "No capacity: 3 cells" in told["error"]
    assert build_receipt(Inputs(run=run, events=events, attempts=refused))["outcome"] == "failed"


@pytest.mark.parametrize(("outcome", "ended_by"), [("passed", "run"), ("failed", "failure"), ("interrupted", None)])
def test_what_ended_the_last_attempt_follows_from_the_outcome(
    resumed: Inputs, attempts: Any, outcome: str, ended_by: str | None
) -> None:
    resumed.attempts = [attempts[0], {**attempts[1], "ended_by": None}]
    resumed.outcome = outcome
    assert build_receipt(resumed)["attempts"][1]["ended_by"] == ended_by


def test_the_folds_that_the_last_attempt_took_up_are_those_of_its_training(resumed: Inputs, attempts: Any) -> None:
    resumed.attempts = [attempts[0], {**attempts[1], "resumed_folds": None}]
    receipt = build_receipt(resumed)
    assert [attempt["resumed_folds"] for attempt in receipt["attempts"]] == [None, 7]
    resumed.full = None
    assert build_receipt(resumed)["attempts"][1]["resumed_folds"] is None


def test_the_instance_at_the_end_completes_its_attempt(instance: Any) -> None:
    launched = {"id": instance["id"], "type": "r5.large", "requested_at": instance["requested_at"]}
    (attempt,) = shape_attempts([{"number": 1, "instance": launched, "cells": []}], instance)
    assert attempt["instance"]["terminated_at"] == instance["terminated_at"]
    (other,) = shape_attempts([{"number": 1, "instance": {**launched, "id": "i-other"}}], instance)
    assert other["instance"]["terminated_at"] is None


def test_an_instance_alone_is_one_attempt(instance: Any) -> None:
    (attempt,) = shape_attempts([], instance)
    assert (attempt["number"], attempt["instance"]["id"]) == (1, instance["id"])
    assert [cell["error"] for cell in attempt["cells"]] == ["InsufficientInstanceCapacity", None]
    assert shape_attempts([], None) == []


def test_a_run_without_losses_has_no_story(instance: Any) -> None:
    assert story(shape_attempts([], instance)) == ""
    lost = one(instance, ended_by="vanished")
    assert "was gone" in story(lost) and "does not say that it took it back" in story(lost)
    assert ending(one(instance)[0]) == "what ended it was not recorded"


def test_the_bill_is_by_the_second_rounded_up(instance: Any) -> None:
    cost = bill(one(instance), PRICES, [])
    assert cost["billed_seconds"] == 301
    assert cost["usd"] == pytest.approx(0.036 * 301 / 3600, abs=1e-6)
    assert cost["on_demand_usd"] == pytest.approx(0.126 * 301 / 3600, abs=1e-6)
    assert cost["attempts"] == [
        {
            "number": 1,
            "billed_seconds": 301,
            "market_price_usd_hour": 0.036,
            "usd": cost["usd"],
            "on_demand_usd": cost["on_demand_usd"],
            "free": None,
        }
    ]


def test_a_short_life_is_billed_a_minute(instance: Any, clock: Any) -> None:
    assert bill(one({**instance, "terminated_at": clock.at(20)}), PRICES, [])["billed_seconds"] == 60


def test_the_bill_begins_when_the_instance_runs_if_that_is_known(instance: Any, clock: Any) -> None:
    assert bill(one({**instance, "running_at": clock.at(104.2)}), PRICES, [])["billed_seconds"] == 200


def test_an_unknown_price_or_time_is_an_unknown_cost(instance: Any, attempts: Any) -> None:
    cost = bill(one(instance), {}, [])
    assert (cost["billed_seconds"], cost["usd"], cost["on_demand_usd"]) == (301, None, None)
    notes: list[str] = []
    cost = bill(one({**instance, "terminated_at": None}), PRICES, notes)
    assert (cost["billed_seconds"], cost["usd"]) == (None, None)
    assert notes == ["the bill of attempt 1 is unknown: when the instance started or terminated was not recorded"]
    attempts[0]["instance"]["terminated_at"] = None
    cost = bill(shape_attempts(attempts, None), {}, notes)
    assert (cost["usd"], cost["billed_seconds"]) == (None, None)
    assert cost["attempts"][1]["usd"] == pytest.approx(0.036 * 301 / 3600, abs=1e-6)


@pytest.mark.parametrize(
    ("ended_by", "market", "seconds", "free"),
    [
        ("reclaim", "spot", 3599, True),
        ("reclaim", "spot", 3600, False),
        ("reclaim", "on-demand", 60, False),
        ("vanished", "spot", 60, False),
        ("run", "spot", 60, False),
    ],
)
def test_only_a_spot_instance_that_ec2_takes_back_in_its_first_hour_is_free(
    instance: Any, clock: Any, ended_by: str, market: str, seconds: int, free: bool
) -> None:
    lived = {**instance, "market": market, "requested_at": clock.at(0), "terminated_at": clock.at(seconds)}
    (entry,) = bill(one(lived, ended_by=ended_by), PRICES, [])["attempts"]
    assert entry["billed_seconds"] == seconds
    assert entry["free"] == (FREE if free else None)
    assert entry["usd"] == (0.0 if free else pytest.approx(0.036 * seconds / 3600, abs=1e-6))
    assert entry["on_demand_usd"] == pytest.approx(0.126 * seconds / 3600, abs=1e-6)


def test_the_totals_are_sums(attempts: Any) -> None:
    attempts[0]["ended_by"] = "failure"
    cost = bill(shape_attempts(attempts, None), {}, [])
    for name in ("billed_seconds", "usd", "on_demand_usd"):
        assert cost[name] == pytest.approx(sum(entry[name] for entry in cost["attempts"]))
    assert [entry["billed_seconds"] for entry in cost["attempts"]] == [180, 301]


def test_attempts_are_read_from_their_file_and_damage_is_noted(tmp_path: Path) -> None:
    assert read_attempts(tmp_path) == ([], [])
    (tmp_path / "attempts.json").write_text('[{"number": 1}]', encoding="utf-8")
    assert read_attempts(tmp_path) == ([{"number": 1}], [])
    for text, words in (("{}", "holds a dict where a list belongs"), ("[", "is not valid JSON")):
        (tmp_path / "attempts.json").write_text(text, encoding="utf-8")
        found, notes = read_attempts(tmp_path)
        assert found == [] and words in notes[0]


def test_every_field_of_attempts_and_cost_is_documented(resumed: Inputs) -> None:
    receipt = json.loads(json.dumps(build_receipt(resumed)))
    attempt = receipt["attempts"][0]
    documented = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "receipt.md").read_text(encoding="utf-8")))
    parts = (attempt, attempt["instance"], attempt["cells"][0], attempt["interruption"], receipt["cost"])
    for part in (*parts, receipt["cost"]["attempts"][0], receipt["leaks"]):
        assert set(part) <= documented
