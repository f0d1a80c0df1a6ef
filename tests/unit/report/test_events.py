"""The evaluation of a run's events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.runs.events import (
    deciding_failure,
    log_name,
    read_events,
    summarise_steps,
)
from ansible_collections.spot_train.core.plugins.module_utils.runs.text import clean


def statuses(events: list[dict[str, Any]]) -> dict[str, str]:
    return {step["name"]: step["status"] for step in summarise_steps(events)}


def test_steps_keep_order_and_duration(clock: Any) -> None:
    events = [*clock.step("open", 2.0), *clock.step("request", 20.5), *clock.step("deps", 70)]
    steps = summarise_steps(events)
    assert [(step["name"], step["seconds"]) for step in steps] == [("open", 2.0), ("request", 20.5), ("deps", 70.0)]
    assert steps[1]["started_at"] == "2026-05-23T09:00:02.000Z"
    assert steps[1]["finished_at"] == "2026-05-23T09:00:22.500Z"


def test_duration_of_a_step_is_the_sum_of_its_spans(clock: Any) -> None:
    events = [*clock.step("terminate", 5), *clock.step("report", 100), *clock.step("terminate", 3)]
    terminate = summarise_steps([*events, clock.event("playbook_finished")])[0]
    assert terminate["seconds"] == 8.0
    assert len(terminate["spans"]) == 2


def test_tasks_outside_steps_do_not_split_a_step(clock: Any) -> None:
    events = [*clock.step("deps", 5), clock.event("task_started"), *clock.step("deps", 5)]
    assert len(summarise_steps(events)[0]["spans"]) == 1


@pytest.mark.parametrize(
    ("end", "more", "status"),
    [
        ("task_ok", {}, "passed"),
        ("task_changed", {}, "passed"),
        ("task_skipped", {}, "skipped"),
        ("task_failed", {}, "failed"),
        ("task_unreachable", {}, "failed"),
        ("task_failed", {"ignored": True}, "passed"),
        ("task_failed", {"recovered": True}, "passed"),
        ("task_failed", {"rescued": True}, "failed"),
    ],
)
def test_results_of_tasks_determine_status_of_step(clock: Any, end: str, more: dict[str, bool], status: str) -> None:
    events = [*clock.step("deps", 5, end, **more), clock.event("playbook_finished")]
    assert statuses(events) == {"deps": status}


def test_step_with_one_finished_task_is_not_skipped(clock: Any) -> None:
    events = [*clock.step("deps", 1, "task_skipped"), *clock.step("deps", 1), clock.event("playbook_finished")]
    assert statuses(events) == {"deps": "passed"}


def test_truncated_record_leaves_its_step_running(clock: Any) -> None:
    events = [*clock.step("open", 1), clock.event("task_started", "deps", after=1)]
    assert statuses(events) == {"open": "passed", "deps": "running"}
    assert summarise_steps(events)[1]["finished_at"] is None


def test_second_playbook_marks_step_as_interrupted(clock: Any) -> None:
    events = [
        clock.event("playbook_started"),
        *clock.step("full", 30),
        clock.event("playbook_started", after=600),
        *clock.step("terminate", 5),
        clock.event("playbook_finished"),
    ]
    assert statuses(events) == {"full": "interrupted", "terminate": "passed"}


def test_without_failure_there_is_no_error(clock: Any) -> None:
    assert deciding_failure(clock.step("open", 1)) is None
    assert deciding_failure([]) is None


def test_failure_of_work_precedes_closing_failures(clock: Any) -> None:
    events = [
        *clock.step("terminate", 1, "task_failed", msg="cannot list instances"),
        *clock.step("preflight", 9, "task_failed", msg="AAPL is stale", host="i-0abc", rescued=True),
        *clock.step("report", 1, "task_failed", msg="the run failed"),
        clock.event("task_failed", host="localhost", msg="the run failed"),
    ]
    assert str(deciding_failure(events)) == 'preflight failed at "Do preflight" on i-0abc: AAPL is stale'


def test_only_failure_of_termination_is_the_error(clock: Any) -> None:
    events = [*clock.step("full", 9), *clock.step("terminate", 1, "task_failed", msg="AccessDenied")]
    assert str(deciding_failure(events)) == 'terminate failed at "Do terminate": AccessDenied'


def test_recovered_failure_does_not_count(clock: Any) -> None:
    events = [
        *clock.step("request", 1, "task_failed", msg="InsufficientInstanceCapacity", recovered=True),
        *clock.step("request", 1),
        *clock.step("deps", 1),
        *clock.step("terminate", 1, "task_failed", msg="AccessDenied"),
    ]
    assert str(deciding_failure(events)).startswith("terminate failed")
    assert statuses(events)["request"] == "passed"


def test_failure_followed_only_by_handling_counts(clock: Any) -> None:
    events = [
        *clock.step("full", 1, "task_failed", msg="out of memory", recovered=True),
        *clock.step("full", 1, handling=True),
        *clock.step("terminate", 5),
        clock.event("task_failed", host="localhost", msg="the run failed"),
        clock.event("playbook_finished"),
    ]
    failure = deciding_failure(events)
    assert failure is not None
    assert (failure.step, failure.message) == ("full", "out of memory")
    assert statuses(events) == {"full": "failed", "terminate": "passed"}


def test_invalid_lines_are_ignored_and_noted(tmp_path: Path, clock: Any) -> None:
    path = tmp_path / "events.jsonl"
    lines = [json.dumps(event) for event in clock.step("open", 1)]
    path.write_text("\n".join([lines[0], "[1, 2]", lines[1], '{"event": "task_st']), encoding="utf-8")
    events, notes = read_events(path)
    assert [event["event"] for event in events] == ["task_started", "task_ok"]
    assert notes == ["events.jsonl: ignored 2 invalid line(s) (line 2, 4)"]


def test_missing_record_is_noted(tmp_path: Path) -> None:
    events, notes = read_events(tmp_path / "events.jsonl")
    assert events == []
    assert notes == ["events.jsonl is missing, so the steps of this run are unknown"]


def test_invalid_time_of_an_event_is_ignored(clock: Any) -> None:
    broken = [{"event": "task_ok", "step": "open", "time": "yesterday"}, {"event": "task_ok", "step": "deps"}]
    steps = summarise_steps([*broken, clock.event("playbook_finished")])
    assert [(step["name"], step["seconds"], step["started_at"]) for step in steps] == [
        ("open", 0, None),
        ("deps", 0, None),
    ]


def test_clean_removes_colours_and_control_characters() -> None:
    assert clean("\x1b[31mred\x1b[0m\x00\x07 and\ttab\r\nline \x9b\u202e") == "red and\ttab\nline"


def test_log_name_stays_in_its_folder() -> None:
    assert log_name("../../etc/passwd") == "etc-passwd"
    assert log_name(None) == log_name("..") == "playbook"
