"""Recurrence rules: AWX's validation, and the due times of the schedules of awx/ across clock changes."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tools.awx_check import recurrence

WEEKLY = "RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=FR"
START = "DTSTART;TZID=America/New_York:20260102T170000"
NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (WEEKLY, "Valid DTSTART required"),
        (f"DTSTART:20260102T170000 {WEEKLY}", "naive datetime"),
        (f"{START} {START} {WEEKLY}", "Multiple DTSTART"),
        (START, "One or more rule required"),
        (f"{START} {WEEKLY} EXDATE:20260102T170000Z", "EXDATE not allowed"),
        (f"{START} {WEEKLY} RDATE:20260102T170000Z", "RDATE not allowed"),
        (f"{START} RRULE:FREQ=WEEKLY;BYDAY=FR", "INTERVAL required"),
        (f"{START} RRULE:FREQ=SECONDLY;INTERVAL=1", "SECONDLY is not supported"),
        (f"{START} RRULE:FREQ=MONTHLY;INTERVAL=1;BYDAY=1FR", "numeric prefix"),
        (f"{START} RRULE:FREQ=DAILY;INTERVAL=1;COUNT=1;UNTIL=20260103T000000Z", "both COUNT and UNTIL"),
        (f"{START} RRULE:FREQ=DAILY;INTERVAL=1;COUNT=1000", "COUNT > 999"),
        (f"{START} RRULE:FREQ=SOMETIMES;INTERVAL=1", "parsing failed"),
        (f"DTSTART;TZID=America/Gotham:20260102T170000 {WEEKLY}", "parsing failed"),
    ],
)
def test_invalid_rule_is_refused(rule: str, text: str) -> None:
    assert text in " ".join(recurrence.problems(rule))


@pytest.mark.parametrize("rule", [f"{START} {WEEKLY}", f"DTSTART:20260103T090000Z {WEEKLY}"])
def test_valid_rule_is_accepted(rule: str) -> None:
    assert recurrence.problems(rule) == []


def test_friday_run_is_an_hour_after_the_close_all_year(schedules: dict[str, Any]) -> None:
    rule = schedules["Friday preflight"]["rrule"]
    runs = recurrence.next_runs(rule, datetime(2026, 1, 1, tzinfo=UTC), count=104)

    local = [run.astimezone(NEW_YORK) for run in runs]
    assert {(run.weekday(), run.hour, run.minute) for run in local} == {(4, 17, 0)}
    assert {run.hour for run in runs} == {21, 22}, "one hour in summer, another in winter, in UTC"
    # The clock goes forward on Sunday 8 March 2026 and back on Sunday 1 November.
    by_day = {run.date().isoformat(): run.hour for run in runs}
    assert (by_day["2026-03-06"], by_day["2026-03-13"]) == (22, 21)
    assert (by_day["2026-10-30"], by_day["2026-11-06"]) == (21, 22)
    # `run_date` is the day in UTC: it must still be Friday there.
    assert {run.weekday() for run in runs} == {4}


def test_saturday_run_is_at_nine_utc_all_year(schedules: dict[str, Any]) -> None:
    runs = recurrence.next_runs(schedules["Saturday training"]["rrule"], datetime(2026, 1, 1, tzinfo=UTC), count=104)
    assert {(run.weekday(), run.hour, run.minute) for run in runs} == {(5, 9, 0)}
    assert {later - earlier for earlier, later in itertools.pairwise(runs)} == {timedelta(days=7)}


def test_reaper_still_runs_every_ten_minutes_years_later(schedules: dict[str, Any]) -> None:
    rule = schedules["Reap every 10 minutes"]["rrule"]
    now = datetime(2031, 7, 1, 12, 3, tzinfo=UTC)
    runs = recurrence.next_runs(recurrence.forwarded(rule, now), now, count=3)
    assert [run.minute for run in runs] == [10, 20, 30]


def test_only_frequent_rules_get_a_new_start(schedules: dict[str, Any]) -> None:
    now = datetime(2031, 7, 1, tzinfo=UTC)
    rule = schedules["Saturday training"]["rrule"]
    assert recurrence.forwarded(rule, now) == rule
    assert "DTSTART:20310624T" in recurrence.forwarded(schedules["Reap every 10 minutes"]["rrule"], now)


def test_skipped_clock_time_is_left_out() -> None:
    rule = "DTSTART;TZID=America/New_York:20260301T023000 RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=SU"
    runs = recurrence.next_runs(rule, datetime(2026, 3, 2, tzinfo=UTC), count=1)
    assert runs == [datetime(2026, 3, 15, 6, 30, tzinfo=UTC)]


def test_finite_rule_ends() -> None:
    rule = "DTSTART:20260103T090000Z RRULE:FREQ=WEEKLY;INTERVAL=1;COUNT=2"
    assert len(recurrence.next_runs(rule, datetime(2026, 1, 1, tzinfo=UTC), count=5)) == 2
