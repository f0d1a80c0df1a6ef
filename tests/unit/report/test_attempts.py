"""Attempts in the receipt: their fields, their cost, and their effect on the outcome."""

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
    describe,
    ending,
    read_attempts,
    shape_attempts,
)

from tests.unit.report.conftest import ROOT

PRICES = {"market_price_usd_hour": 0.036, "on_demand_price_usd_hour": 0.126}
LOSS = "EC2 reclaimed the spot instance i-0aaaaaaaaaaaaaaaa at 2026-05-23 08:56:20 UTC (notice 2 min 00 s before)"
REFUSED = {"market": "spot", "type": "c5.large", "az": "us-east-1a", "error": "InsufficientInstanceCapacity"}


def one(instance: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """Return one normalised attempt."""
    shaped: list[dict[str, Any]] = shape_attempts([{"number": 1, "instance": instance, "cells": [], **more}], None)
    return shaped


@pytest.fixture
def resumed(run: Any, attempts: Any, training: Any, no_leaks: Any, clock: Any) -> Inputs:
    """A training that lost its first instance in step full and passed on its second."""
    first, second = {"attempt": 1}, {"attempt": 2}
    events = [
        *clock.step("request", 5, **first),
        *clock.step("bootstrap", 10, **first),
        *clock.step("full", 30, "task_unreachable", msg="Connection lost", host="trainer"),
        clock.event("attempt_resumed", attempt=1, reason="EC2 reclaimed the instance"),
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


def test_resumed_run_that_passed_describes_its_attempts(resumed: Inputs) -> None:
    receipt = build_receipt(resumed)
    assert (receipt["outcome"], receipt["error"], receipt["failed_step"]) == ("passed", None, None)
    assert [attempt["ended_by"] for attempt in receipt["attempts"]] == ["reclaim", "run"]
    assert receipt["instance"]["id"] == "i-0f3a91c2d45e6b789"
    assert receipt["instance"]["attempts"] == receipt["attempts"][1]["cells"]
    text = "\n".join(summary_lines(receipt, "report.html"))
    assert f"attempts   1: {LOSS}; 2: the run terminated it, 7 folds resumed" in text
    assert "cost       $0.0030, 2 attempts, 8 min 01 s (1 attempt free, on demand $0.0168)" in text
    assert len(summary_lines(receipt, "report.html")) <= 12


def test_steps_of_two_attempts_are_merged(resumed: Inputs) -> None:
    steps = {step["name"]: step for step in build_receipt(resumed)["steps"]}
    assert {name: step["status"] for name, step in steps.items()} == {
        "request": "passed",
        "bootstrap": "passed",
        "full": "passed",
        "terminate": "passed",
    }
    assert (steps["bootstrap"]["seconds"], len(steps["bootstrap"]["spans"])) == (22.0, 2)


def test_failure_of_a_later_attempt_fails_the_run(resumed: Inputs, clock: Any) -> None:
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


def test_failure_outside_attempts_is_not_forgiven(resumed: Inputs, clock: Any) -> None:
    resumed.events = [*clock.step("open", 1, "task_failed", msg="no bucket"), *resumed.events]
    assert build_receipt(resumed)["error"] == 'open failed at "Do open": no bucket'


def test_lost_run_that_did_not_continue_is_interrupted(resumed: Inputs, attempts: Any) -> None:
    resumed.attempts, resumed.outcome, resumed.full = attempts[:1], "interrupted", None
    resumed.events = list(resumed.events)[:6]
    receipt = build_receipt(resumed)
    assert receipt["outcome"] == "interrupted"
    assert receipt["error"] == f"{LOSS}; the run did not continue after attempt 1"
    assert 'symptom of the interruption: full failed at "Do full" on trainer: Connection lost' in receipt["notes"]
    assert receipt["failed_step"] == "full"
    assert {step["name"]: step["status"] for step in receipt["steps"]}["full"] == "interrupted"
    resumed.outcome, resumed.run = None, {**resumed.run, "run_attempts": 1}
    last = build_receipt(resumed)
    assert (last["outcome"], last["error"]) == ("interrupted", f"{LOSS}; attempt 1 was the last of 1: run it again")


def test_interrupted_preflight_does_not_resume(resumed: Inputs, attempts: Any) -> None:
    resumed.attempts, resumed.outcome, resumed.full = attempts[:1], "interrupted", None
    resumed.run = {**resumed.run, "mode": "preflight"}
    assert str(build_receipt(resumed)["error"]).endswith("; preflights do not resume: run it again")


def test_no_capacity_for_later_attempt_is_an_interruption(resumed: Inputs, attempts: Any, clock: Any) -> None:
    resumed.attempts = [attempts[0], {"number": 2, "instance": {}, "cells": [REFUSED] * 4}]
    resumed.events = [*list(resumed.events)[:7], *clock.step("request", 5, "task_failed", msg="No capacity")]
    resumed.outcome, resumed.full = "no_capacity", None
    receipt = build_receipt(resumed)
    assert receipt["outcome"] == "interrupted"
    assert receipt["error"].endswith("; attempt 2 found no capacity (InsufficientInstanceCapacity 4): try again later")
    assert receipt["instance"]["id"] is None


def test_no_capacity_is_the_outcome_of_the_playbook(run: Any, clock: Any) -> None:
    refused = [{"number": 1, "instance": {}, "cells": [REFUSED] * 3}]
    receipt = build_receipt(Inputs(run=run, attempts=refused, outcome="no_capacity"))
    assert (receipt["outcome"], receipt["error"]) == ("no_capacity", "no capacity: InsufficientInstanceCapacity 3")
    assert (receipt["cost"]["billed_seconds"], receipt["cost"]["usd"]) == (0, 0.0)
    events = clock.step("request", 9, "task_failed", msg="No capacity: 3 cells")
    failed = build_receipt(Inputs(run=run, events=events, attempts=refused, outcome="no_capacity"))
    assert "No capacity: 3 cells" in failed["error"]
    assert build_receipt(Inputs(run=run, events=events, attempts=refused))["outcome"] == "failed"


@pytest.mark.parametrize(("outcome", "ended_by"), [("passed", "run"), ("failed", "failure"), ("interrupted", None)])
def test_outcome_determines_end_of_last_attempt(
    resumed: Inputs, attempts: Any, outcome: str, ended_by: str | None
) -> None:
    resumed.attempts = [attempts[0], {**attempts[1], "ended_by": None}]
    resumed.outcome = outcome
    assert build_receipt(resumed)["attempts"][1]["ended_by"] == ended_by


def test_resumed_folds_are_those_of_the_training(resumed: Inputs, attempts: Any) -> None:
    resumed.attempts = [attempts[0], {**attempts[1], "resumed_folds": None}]
    receipt = build_receipt(resumed)
    assert [attempt["resumed_folds"] for attempt in receipt["attempts"]] == [None, 7]
    resumed.full = None
    assert build_receipt(resumed)["attempts"][1]["resumed_folds"] is None


def test_final_instance_completes_its_attempt(instance: Any) -> None:
    launched = {"id": instance["id"], "type": "r5.large", "requested_at": instance["requested_at"]}
    (attempt,) = shape_attempts([{"number": 1, "instance": launched, "cells": []}], instance)
    assert attempt["instance"]["terminated_at"] == instance["terminated_at"]
    (other,) = shape_attempts([{"number": 1, "instance": {**launched, "id": "i-other"}}], instance)
    assert other["instance"]["terminated_at"] is None


def test_instance_without_attempts_is_one_attempt(instance: Any) -> None:
    (attempt,) = shape_attempts([], instance)
    assert (attempt["number"], attempt["instance"]["id"]) == (1, instance["id"])
    assert [cell["error"] for cell in attempt["cells"]] == ["InsufficientInstanceCapacity", None]
    assert shape_attempts([], None) == []


def test_run_without_losses_needs_no_description(instance: Any) -> None:
    assert describe(shape_attempts([], instance)) == ""
    lost = one(instance, ended_by="vanished")
    assert "was gone" in describe(lost) and "EC2 reports no interruption" in describe(lost)
    assert ending(one(instance)[0]) == "the cause of its end was not recorded"


def test_bill_is_by_the_second_rounded_up(instance: Any) -> None:
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


def test_minimum_bill_is_one_minute(instance: Any, clock: Any) -> None:
    assert bill(one({**instance, "terminated_at": clock.at(20)}), PRICES, [])["billed_seconds"] == 60


def test_bill_starts_when_the_instance_runs(instance: Any, clock: Any) -> None:
    assert bill(one({**instance, "running_at": clock.at(104.2)}), PRICES, [])["billed_seconds"] == 200


def test_unknown_price_or_time_is_an_unknown_cost(instance: Any, attempts: Any) -> None:
    cost = bill(one(instance), {}, [])
    assert (cost["billed_seconds"], cost["usd"], cost["on_demand_usd"]) == (301, None, None)
    notes: list[str] = []
    cost = bill(one({**instance, "terminated_at": None}), PRICES, notes)
    assert (cost["billed_seconds"], cost["usd"]) == (None, None)
    assert notes == ["the cost of attempt 1 is unknown: the instance's start or end was not recorded"]
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
def test_only_early_reclaimed_spot_instance_is_free(
    instance: Any, clock: Any, ended_by: str, market: str, seconds: int, free: bool
) -> None:
    lived = {**instance, "market": market, "requested_at": clock.at(0), "terminated_at": clock.at(seconds)}
    (entry,) = bill(one(lived, ended_by=ended_by), PRICES, [])["attempts"]
    assert entry["billed_seconds"] == seconds
    assert entry["free"] == (FREE if free else None)
    assert entry["usd"] == (0.0 if free else pytest.approx(0.036 * seconds / 3600, abs=1e-6))
    assert entry["on_demand_usd"] == pytest.approx(0.126 * seconds / 3600, abs=1e-6)


def test_totals_are_sums(attempts: Any) -> None:
    attempts[0]["ended_by"] = "failure"
    cost = bill(shape_attempts(attempts, None), {}, [])
    for name in ("billed_seconds", "usd", "on_demand_usd"):
        assert cost[name] == pytest.approx(sum(entry[name] for entry in cost["attempts"]))
    assert [entry["billed_seconds"] for entry in cost["attempts"]] == [180, 301]


def test_damaged_attempts_file_is_noted(tmp_path: Path) -> None:
    assert read_attempts(tmp_path) == ([], [])
    (tmp_path / "attempts.json").write_text('[{"number": 1}]', encoding="utf-8")
    assert read_attempts(tmp_path) == ([{"number": 1}], [])
    for text, words in (("{}", "expected a list, got dict"), ("[", "is not valid JSON")):
        (tmp_path / "attempts.json").write_text(text, encoding="utf-8")
        found, notes = read_attempts(tmp_path)
        assert found == [] and words in notes[0]


def test_fields_of_attempts_and_cost_are_documented(resumed: Inputs) -> None:
    receipt = json.loads(json.dumps(build_receipt(resumed)))
    attempt = receipt["attempts"][0]
    documented = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "receipt.md").read_text(encoding="utf-8")))
    parts = (attempt, attempt["instance"], attempt["cells"][0], attempt["interruption"], receipt["cost"])
    for part in (*parts, receipt["cost"]["attempts"][0], receipt["leaks"]):
        assert set(part) <= documented
