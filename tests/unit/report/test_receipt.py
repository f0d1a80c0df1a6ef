"""The receipt: its fields and the outcome."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.report.evidence import read_preflight, read_training
from ansible_collections.spot_train.core.plugins.module_utils.report.receipt import Inputs, build_receipt
from ansible_collections.spot_train.core.plugins.module_utils.report.summary import (
    LONGEST_ERROR,
    LONGEST_LINE,
    summary_lines,
)

from tests.unit.report.conftest import ROOT, Clock

PRICES = {"market_price_usd_hour": 0.036, "on_demand_price_usd_hour": 0.126}


@pytest.fixture
def passed(run: Any, instance: Any, preflight: Any, no_leaks: Any, clock: Any) -> Inputs:
    """A preflight that passed."""
    events = [event for step in ("open", "request", "deps", "preflight", "terminate") for event in clock.step(step, 10)]
    return Inputs(
        run=run,
        events=[clock.event("playbook_started"), *events, clock.event("task_started", "report")],
        instance=instance,
        preflight=preflight,
        writes={"data_bucket": 0, "evidence": "ledger"},
        leaks=no_leaks,
        api_calls={"s3.GetObject": 12, "ec2.RunInstances": 2},
        cost=PRICES,
    )


@pytest.fixture
def trained(passed: Inputs, training: Any, clock: Any) -> Inputs:
    """A run in mode both that passed."""
    passed.run = {**passed.run, "mode": "both"}
    passed.events = [*list(passed.events)[:-1], *clock.step("smoke", 40), *clock.step("full", 40)]
    passed.events = [*passed.events, clock.event("task_started", "report")]
    passed.smoke, passed.full = {**training, "dry_run": True, "promoted": False}, training
    passed.writes = {"data_bucket": 17, "evidence": "ledger"}
    return passed


def test_receipt_has_the_documented_shape(trained: Inputs) -> None:
    receipt = json.loads(json.dumps(build_receipt(trained)))
    documented = {
        "": "run_id mode outcome error started_at finished_at instance attempts steps preflight writes training cost"
        " leaks api_calls",
        "instance": "id type az market requested_at online_at terminated_at attempts",
        "preflight": "checks symbols stale unreadable newest oldest ages limit missing new seconds controller_seconds",
        "writes": "data_bucket evidence",
        "training": "folds median_ic promoted gates seconds",
        "cost": "market_price_usd_hour billed_seconds usd on_demand_usd attempts",
        "leaks": "instances volumes spot_requests launch_templates schedules transport_keys",
    }  # fmt: skip
    for part, names in documented.items():
        assert set(names.split()) <= set(receipt[part] if part else receipt), part
    assert {"name", "status", "seconds"} <= set(receipt["steps"][0])
    assert {"market", "type", "subnet", "error"} <= set(receipt["instance"]["attempts"][0])
    assert {"name", "tier", "group", "status", "detail", "remedy", "seconds"} <= set(receipt["preflight"]["checks"][0])


def test_fields_of_preflight_and_writes_are_documented(passed: Inputs, digest: Any) -> None:
    passed.writes = {"data_bucket": None, "denied": 0, "digest": digest}
    receipt = build_receipt(passed)
    preflight, writes = receipt["preflight"], receipt["writes"]
    page = (ROOT / "docs" / "receipt.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(\w+)`", page))
    for part in (preflight, preflight["checks"][0], writes, writes["digest"], writes["digest"]["before"]):
        assert set(part) <= documented


def test_good_preflight_passes_without_training(passed: Inputs) -> None:
    receipt = build_receipt(passed)
    assert (receipt["outcome"], receipt["error"], receipt["training"]) == ("passed", None, None)
    assert receipt["notes"] == []
    assert [step["status"] for step in receipt["steps"]] == ["passed"] * 5


def test_running_report_is_not_a_step(passed: Inputs) -> None:
    assert "report" not in [step["name"] for step in build_receipt(passed)["steps"]]


def test_training_is_not_a_step_next_to_smoke_and_full(trained: Inputs, clock: Any) -> None:
    trained.events = [*clock.step("training", 0.1), *list(trained.events)[1:]]
    assert "training" not in [step["name"] for step in build_receipt(trained)["steps"]]


def test_good_training_passes_with_the_full_result(trained: Inputs) -> None:
    receipt = build_receipt(trained)
    assert receipt["outcome"] == "passed"
    assert receipt["training"]["promoted"] is True
    assert receipt["smoke"]["dry_run"] is True


def test_smoke_result_is_the_training_only_in_mode_smoke(trained: Inputs) -> None:
    trained.full = None
    assert build_receipt(trained)["training"] is None
    trained.run = {**trained.run, "mode": "smoke"}
    assert build_receipt(trained)["training"]["dry_run"] is True


def test_run_that_failed_before_launch_has_a_receipt(run: Any, clock: Any) -> None:
    receipt = build_receipt(Inputs(run=run, events=clock.step("open", 1, "task_failed", msg="no such bucket")))
    assert receipt["outcome"] == "failed"
    assert receipt["error"] == 'open failed at "Do open": no such bucket'
    assert receipt["instance"] is receipt["preflight"] is receipt["training"] is None
    assert receipt["cost"]["usd"] == 0.0
    assert receipt["writes"]["data_bucket"] is None
    assert any("not counted" in note for note in receipt["notes"])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"leaks": {"instances": 1, "volumes": 2, "schedules": 1}}, "1 instances, 2 volumes, 1 schedules"),
        ({"writes": {"data_bucket": 1}}, "a preflight wrote to the data bucket (1 write)"),
        ({"preflight": None}, "the preflight step passed but left no result"),
        ({"full": {"folds": 1}}, "a preflight run has trained"),
        ({"error": "the lease ran out"}, "the lease ran out"),
        ({"outcome": "failed"}, "no cause was recorded"),
    ],
)
def test_evidence_overrides_a_passed_outcome(passed: Inputs, change: dict[str, Any], error: str) -> None:
    passed.outcome = "passed"
    for name, value in change.items():
        setattr(passed, name, value)
    receipt = build_receipt(passed)
    assert receipt["outcome"] == "failed"
    assert error in receipt["error"]


def test_failure_of_work_precedes_error_of_playbook(run: Any, clock: Any) -> None:
    events = clock.step("deps", 5, "task_failed", msg="no wheel")
    receipt = build_receipt(Inputs(run=run, events=events, error="Terminating failed: AccessDenied"))
    assert receipt["error"] == 'deps failed at "Do deps": no wheel'
    assert "the playbook also reported: Terminating failed: AccessDenied" in receipt["notes"]
    same = build_receipt(Inputs(run=run, events=events, error="Install: no wheel"))
    assert not any("no wheel" in note for note in same["notes"])
    last = [*clock.step("deps", 5), *clock.step("terminate", 5, "task_failed", msg="AccessDenied")]
    assert build_receipt(Inputs(run=run, events=last, error="the lease still bounds it"))["error"] == (
        "the lease still bounds it"
    )


def test_failed_check_fails_a_run_without_failed_tasks(passed: Inputs) -> None:
    assert passed.preflight is not None
    passed.preflight["checks"][3]["status"] = "fail"
    receipt = build_receipt(passed)
    assert (receipt["outcome"], receipt["error"]) == ("failed", "the preflight failed: freshness")


def test_training_without_result_fails(trained: Inputs) -> None:
    trained.full = None
    assert build_receipt(trained)["error"] == "the training step passed but left no result"


def test_training_step_in_a_preflight_fails(passed: Inputs, clock: Any) -> None:
    started, *rest = passed.events
    passed.events = [started, *clock.step("training", 5), *rest]
    assert build_receipt(passed)["outcome"] == "failed"
    passed.events = [started, *clock.step("training", 0, "task_skipped"), *rest]
    assert build_receipt(passed)["outcome"] == "passed"


def test_interrupted_run_has_the_outcome_interrupted(run: Any, clock: Any) -> None:
    cut = build_receipt(Inputs(run=run, events=[*clock.step("open", 1), clock.event("task_started", "deps")]))
    assert cut["outcome"] == "interrupted"
    assert cut["error"] == (
        "the run was interrupted in step deps: the process on the control node ended;"
        " preflights do not resume: run it again"
    )
    lost = build_receipt(
        Inputs(run=run, events=clock.step("full", 1, "task_failed", msg="gone"), outcome="interrupted")
    )
    assert lost["outcome"] == "interrupted"
    assert "gone" in lost["error"]


def test_counts_may_be_given_as_lists(passed: Inputs, no_leaks: Any) -> None:
    passed.leaks = {**no_leaks, "instances": ["i-1", "i-2"], "spot_requests": []}
    assert build_receipt(passed)["leaks"] == {**no_leaks, "instances": 2}


def test_credentials_in_urls_are_removed(passed: Inputs) -> None:
    source = {"url": "https://user:s3cr3t@example.org/model.git", "train_command": ["x", "ssh://s3cr3t@host/y"]}
    passed.run = {**passed.run, "training_source": source}
    receipt = build_receipt(passed)
    assert "s3cr3t" not in json.dumps(receipt)
    assert receipt["run"]["training_source"]["url"] == "https://example.org/model.git"


def test_password_with_an_at_sign_is_removed(passed: Inputs) -> None:
    passed.run = {**passed.run, "training_source": {"git": "https://user:s3@cr3t@example.org/a@b.git"}}
    assert build_receipt(passed)["run"]["training_source"] == {"git": "https://example.org/a@b.git"}


def test_notes_of_the_input_checks_are_in_the_receipt(passed: Inputs) -> None:
    passed.run = {**passed.run, "notes": ["the training source is dirty"]}
    assert build_receipt(passed)["notes"][0] == "the training source is dirty"
    assert build_receipt(passed)["outcome"] == "passed"


def test_metrics_are_numbers_by_name(tmp_path: Path) -> None:
    path = tmp_path / "training-full.json"
    path.write_text('{"promoted": true, "metrics": {"r2": 0.5, "n": 3, "name": "x", "odd": NaN}}', encoding="utf-8")
    result, notes = read_training(path)
    assert result is not None
    assert result["metrics"] == {"r2": 0.5, "n": 3.0}
    assert notes == ["training-full.json: metrics: expected numbers, got other values for name, odd"]
    path.write_text('{"promoted": true, "metrics": [1]}', encoding="utf-8")
    result, notes = read_training(path)
    assert (result or {})["metrics"] == {}
    assert notes == ["training-full.json: metrics: expected an object, got list"]


def test_other_keys_of_run_stay_out_of_the_receipt(passed: Inputs) -> None:
    passed.run = {**passed.run, "token": "s3cr3t"}
    assert "s3cr3t" not in json.dumps(build_receipt(passed))


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ('{"checks": [', "preflight.json is not valid JSON"),
        ("[]", "preflight.json: expected an object, got list"),
        ("\x80", "preflight.json is not valid JSON"),
    ],
)
def test_damaged_result_is_missing_and_noted(tmp_path: Path, content: str, note: str) -> None:
    (tmp_path / "preflight.json").write_bytes(content.encode("latin-1"))
    result, notes = read_preflight(tmp_path)
    assert result is None
    assert notes[0].startswith(note)


def test_nan_and_infinity_become_null(tmp_path: Path) -> None:
    path = tmp_path / "training-full.json"
    path.write_text('{"median_ic": NaN, "seconds": 1e999, "folds": 2, "rows": -Infinity}', encoding="utf-8")
    result, _ = read_training(path)
    assert result is not None
    assert (result["median_ic"], result["seconds"], result["folds"], result["rows"]) == (None, None, 2, None)
    json.dumps(result, allow_nan=False)


def test_missing_result_is_not_noted(tmp_path: Path) -> None:
    assert read_preflight(tmp_path) == (None, [])
    assert read_training(tmp_path / "training-full.json") == (None, [])


def test_check_without_known_status_counts_as_failed(tmp_path: Path) -> None:
    (tmp_path / "preflight.json").write_text('{"checks": [{"name": "pins", "status": "great"}, 7]}', encoding="utf-8")
    result, notes = read_preflight(tmp_path)
    assert result is not None
    assert [check["status"] for check in result["checks"]] == ["fail", "fail"]
    assert len(notes) == 2


def test_training_result_keeps_its_fields(tmp_path: Path, training: Any) -> None:
    (tmp_path / "training-full.json").write_text(json.dumps(training), encoding="utf-8")
    assert read_training(tmp_path / "training-full.json") == (training, [])


def test_summary_is_short_and_has_the_key_facts(trained: Inputs) -> None:
    lines = summary_lines(build_receipt(trained), "runs/r1/report.html")
    assert len(lines) <= 12
    text = "\n".join(lines)
    assert lines[0].startswith("PASSED  both  20260523T090000Z-7f3a")
    assert "3 passed, 1 warning, 0 failed; 3 symbols, 0 stale" in text
    assert "4 folds, median IC +0.0270, promoted" in text
    assert "17 objects to the data bucket" in text
    assert lines[-1] == "report     runs/r1/report.html"


def test_summary_names_gates_that_were_not_judged(trained: Inputs) -> None:
    assert trained.full is not None
    trained.full["gates"][1]["passed"] = None
    receipt = build_receipt(trained)

    assert receipt["training"]["gates"][1]["passed"] is None
    assert "median IC +0.0270, promoted (triple_barrier not judged)" in "\n".join(summary_lines(receipt, "r"))


def test_summary_names_the_oldest_stale_symbols(passed: Inputs) -> None:
    assert passed.preflight is not None
    passed.preflight |= {"ages": {"A": 4, "B": None, "C": 30, "D": 5, "E": 0}, "stale": ["A", "B", "C", "D"]}
    assert "4 stale (B unreadable, C 30, D 5, …)" in "\n".join(summary_lines(build_receipt(passed), "r"))


def test_recovered_failure_explains_a_failed_run(run: Any, clock: Any) -> None:
    events = [
        *clock.step("full", 1, "task_failed", msg="out of memory", recovered=True),
        *clock.step("full", 1, handling=True),
        clock.event("task_started", "report"),
    ]
    receipt = build_receipt(Inputs(run=run, events=events, outcome="failed"))
    assert receipt["error"] == 'full failed at "Do full": out of memory'
    assert receipt["steps"][0]["status"] == "failed"


def test_long_error_is_one_line_of_the_summary(run: Any) -> None:
    receipt = build_receipt(Inputs(run=run, error="first\nsecond " + "x" * 500))
    lines = summary_lines(receipt, "/" + "long/" * 50)
    assert all("\n" not in line for line in lines)
    assert len(lines[1]) == LONGEST_ERROR
    assert all(len(line) <= LONGEST_LINE for line in lines[2:-1])
    assert lines[-1].endswith("long/" * 50)


@pytest.mark.parametrize("mode", ["smoke", "full", "both"])
def test_run_without_its_training_fails(mode: str, run: dict[str, Any], clock: Clock, no_leaks: dict[str, int]) -> None:
    events = [*clock.step("open", 1), *clock.step("terminate", 1), clock.event("playbook_finished")]
    receipt = build_receipt(Inputs(run={**run, "mode": mode}, events=events, leaks=no_leaks, writes={"data_bucket": 0}))
    assert (receipt["outcome"], receipt["error"]) == ("failed", f"no training in a run of mode {mode}")


def test_part_excluded_by_tags_is_a_skipped_step(run: dict[str, Any], clock: Clock) -> None:
    events = [event for name in ("open", "deps", "smoke", "full", "terminate") for event in clock.step(name, 1)]
    events.append(clock.event("playbook_finished"))
    receipt = build_receipt(Inputs(run={**run, "mode": "both", "skipped": ["preflight"]}, events=events))
    statuses = [(step["name"], step["status"]) for step in receipt["steps"]]
    assert statuses == [("open", "passed"), ("deps", "passed"), ("preflight", "skipped"), ("smoke", "passed"),
                    ("full", "passed"), ("terminate", "passed")]  # fmt: skip
    assert receipt["run"]["skipped"] == ["preflight"]


def test_run_that_ended_early_has_no_skipped_step(run: dict[str, Any], clock: Clock) -> None:
    events = clock.step("open", 1, "task_failed", msg="no bucket")
    receipt = build_receipt(Inputs(run={**run, "skipped": ["training"]}, events=events))
    assert [step["name"] for step in receipt["steps"]] == ["open"]
