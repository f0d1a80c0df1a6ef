"""The record of a run: attempts, offers, and what ended an attempt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.runs.record import RunRecord

INSTANCE = {
    "instance_id": "i-1",
    "instance_type": "c5.large",
    "placement": {"availability_zone": "us-east-1b"},
    "subnet_id": "subnet-b",
    "instance_lifecycle": "spot",
    "launch_time": "2026-01-05T09:00:00+00:00",
}
OFFER = {"market": "spot", "type": "c5.large", "subnet": "subnet-b", "az": "us-east-1b", "price_usd_hour": 0.03}
RECLAIM = {"instance_id": "i-1", "state": "terminated", "reclaimed": True, "confirmed_by": "no-capacity"}


@pytest.fixture
def record() -> RunRecord:
    """A run whose first attempt has an instance."""
    record = RunRecord()
    record.start_attempt(1)
    record.launched(INSTANCE, [{**OFFER, "az": "us-east-1a"}, OFFER], {"c5.large": 0.085})
    return record


def ended_by(record: RunRecord) -> Any:
    return record.attempts[-1]["ended_by"]


def test_launched_instance_has_the_price_of_its_own_offer(record: RunRecord) -> None:
    record.attempts[-1]["cells"].insert(0, {**OFFER, "error": "PriceAboveCap"})
    (attempt,) = record.attempts
    assert attempt["instance"]["price_usd_hour"] == 0.03
    assert attempt["instance"]["on_demand_usd_hour"] == 0.085
    assert [offer["error"] for offer in attempt["cells"]] == ["PriceAboveCap", None]


def test_finished_work_ends_an_attempt_by_the_run(record: RunRecord) -> None:
    record.finish_work()
    record.end_attempt(allowed=2, preflight_only=False)
    fact = record.as_fact()
    assert (ended_by(record), fact["verdict"], fact["next_attempt"]) == ("run", "passed", None)


def test_reclaimed_attempt_is_resumed_by_another(record: RunRecord) -> None:
    record.interruption({"kind": "spot", "noticed_at": "a", "reclaim_at": "b"})
    record.fate = RECLAIM
    record.end_attempt(allowed=2, preflight_only=False)
    assert ended_by(record) == "reclaim"
    assert record.attempts[-1]["interruption"] == {
        "kind": "spot",
        "noticed_at": "a",
        "reclaim_at": "b",
        "confirmed_by": "no-capacity",
    }
    assert record.next_attempt == 2 and record.failure == ""
    assert record.resumed == {"attempt": 1, "reason": "EC2 reclaimed i-1 (no-capacity)"}
    record.start_attempt(2)
    fact = record.as_fact()
    assert (fact["attempt"], fact["host"], fact["resumed"], fact["notice"]) == (2, "trainer-2", None, {})


@pytest.mark.parametrize(
    ("allowed", "preflight_only", "why"),
    [(1, False, "attempt 1 was the last of 1: run it again"), (3, True, "preflights do not resume: run it again")],
)
def test_last_reclaimed_attempt_interrupts_the_run(
    record: RunRecord, allowed: int, preflight_only: bool, why: str
) -> None:
    record.fate = RECLAIM
    record.end_attempt(allowed, preflight_only)
    assert (record.next_attempt, record.outcome) == (None, "interrupted")
    assert record.failure.endswith(why)


@pytest.mark.parametrize(
    ("fate", "ended"),
    [
        ({"instance_id": "i-1", "state": "running"}, "failure"),
        ({"instance_id": "i-1", "state": "terminated", "reclaimed": False}, "vanished"),
        # The answer is about the instance of an earlier attempt.
        ({**RECLAIM, "instance_id": "i-0"}, "failure"),
        ({}, "failure"),
    ],
)
def test_other_endings_are_not_resumed(record: RunRecord, fate: dict[str, Any], ended: str) -> None:
    record.fate = fate
    record.end_attempt(allowed=3, preflight_only=False)
    assert (ended_by(record), record.next_attempt, record.resumed) == (ended, None, None)


def test_attempt_without_instance_has_no_ending() -> None:
    record = RunRecord()
    record.start_attempt(1)
    record.fail("No capacity", "no_capacity")
    record.end_attempt(allowed=3, preflight_only=False)
    fact = record.as_fact()
    assert (ended_by(record), fact["verdict"], fact["next_attempt"]) == (None, "no_capacity", None)
    assert "id" not in fact["instance"]


def test_leftovers_are_known_before_a_launch_and_after_a_sweep(record: RunRecord) -> None:
    assert set(RunRecord().as_fact()["left_over"].values()) == {0}
    assert record.as_fact()["left_over"] == {}
    record.swept({"instances": 1}, {"volumes": ["vol-1"]}, {"i-1": "2026-01-05T10:00:00Z"})
    fact = record.as_fact()
    assert (fact["left_over"], fact["terminated"]) == ({"instances": 1}, {"volumes": ["vol-1"]})
    assert fact["instance"]["terminated_at"] == "2026-01-05T10:00:00Z"


def test_record_survives_its_fact(record: RunRecord) -> None:
    assert RunRecord.of(json.loads(json.dumps(record.as_fact()))) == record


def test_saved_attempts_can_be_read(record: RunRecord, tmp_path: Path) -> None:
    record.save(tmp_path)
    assert json.loads((tmp_path / "attempts.json").read_text()) == record.attempts
    RunRecord().save(tmp_path / "missing")  # nothing to write
