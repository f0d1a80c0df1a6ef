from __future__ import annotations

from datetime import date, timedelta

import exchange_calendars
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from predictor.errors import PredictorError
from predictor.exchange import Calendar, calendar


def _age(last_bar: date, run_date: date) -> int:
    return calendar("XNYS", last_bar, run_date).ages([last_bar], run_date)[0]


@pytest.mark.parametrize(
    ("last_bar", "run_date", "age", "why"),
    [
        (date(2022, 12, 28), date(2022, 12, 29), 0, "the session before the run"),
        (date(2022, 12, 23), date(2022, 12, 27), 0, "a weekend and the observed Christmas Monday"),
        (date(2022, 12, 23), date(2022, 12, 28), 1, "one session after Christmas"),
        (date(2022, 11, 23), date(2022, 11, 25), 0, "Thanksgiving"),
        (date(2022, 11, 23), date(2022, 11, 28), 1, "the half-day after Thanksgiving is a session"),
        (date(2022, 9, 2), date(2022, 9, 6), 0, "the Labor Day weekend"),
        (date(2001, 9, 10), date(2001, 9, 17), 0, "the closed days of September 2001"),
        (date(2022, 12, 29), date(2022, 12, 29), 0, "a bar of the run's own day"),
        (date(2023, 1, 5), date(2022, 12, 29), 0, "a bar after the run"),
        (date(2022, 11, 14), date(2022, 12, 29), 30, "thirty sessions"),
    ],
)
def test_age_counts_sessions_between_last_bar_and_run(last_bar: date, run_date: date, age: int, why: str) -> None:
    assert _age(last_bar, run_date) == age, why


@given(
    start=st.dates(date(1995, 1, 1), date(2022, 1, 1)),
    bars=st.lists(st.integers(0, 60), min_size=1, max_size=5),
    run=st.integers(0, 60),
)
def test_age_equals_counted_sessions(start: date, bars: list[int], run: int) -> None:
    sessions = np.array([start + timedelta(days=n) for n in range(61) if (start + timedelta(days=n)).weekday() < 5])
    run_date = start + timedelta(days=run)
    last_bars = [start + timedelta(days=n) for n in bars]

    counted = [sum(bar < session < run_date for session in sessions) for bar in last_bars]

    whole = Calendar("X", sessions.astype("datetime64[D]"), start, start + timedelta(days=60))
    assert whole.ages(last_bars, run_date) == counted


@pytest.mark.parametrize("last", [date(2022, 12, 25), date(2022, 12, 1)], ids=["weekend", "reversed"])
def test_span_without_sessions_is_empty(last: date) -> None:
    assert len(calendar("XNYS", date(2022, 12, 24), last).sessions) == 0


def test_sessions_reach_back_to_1990() -> None:
    found = calendar("XNYS", date(1990, 1, 1), date(1990, 1, 3)).sessions
    assert found.tolist() == [date(1990, 1, 2), date(1990, 1, 3)]


def test_unknown_calendar_is_a_one_line_error() -> None:
    with pytest.raises(PredictorError, match=r"^cannot use calendar 'MOON': [^\n]+$"):
        calendar("MOON", date(2022, 1, 1), date(2022, 2, 1))


def _bounds(name: str) -> tuple[date, date]:
    known = exchange_calendars.get_calendar(name, start="2021-06-01", end="2021-06-30")
    return known.bound_min().date(), known.bound_max().date()


@pytest.mark.parametrize("name", ["XSHG", "XBOM", "XSES"])
def test_calendar_works_up_to_its_last_day(name: str) -> None:
    _, last = _bounds(name)

    whole = calendar(name, last - timedelta(days=10), last + timedelta(days=60))

    assert whole.last == last
    assert whole.ages([last - timedelta(days=1)], last) == [0]
    assert whole.ages([last - timedelta(days=10)], last + timedelta(days=1))[0] > 3
    with pytest.raises(PredictorError, match=f"calendar '{name}' ends on {last}, before the run date"):
        whole.ages([last], last + timedelta(days=2))


def test_a_bar_before_pandas_time_is_no_error() -> None:
    assert len(calendar("XNYS", date(1677, 10, 1), date(2022, 1, 5)).sessions) > 30_000


@pytest.mark.parametrize("name", ["XSHG", "XBOM", "XSES"])
def test_days_before_a_calendar_begins_are_sessions(name: str) -> None:
    first, _ = _bounds(name)
    days = np.array([first - timedelta(days=400), first - timedelta(days=399)], dtype="datetime64[D]")

    whole = calendar(name, first - timedelta(days=400), first + timedelta(days=30))

    assert whole.first == first
    assert whole.is_session(days).all()
    assert whole.ages([first - timedelta(days=400)], first + timedelta(days=30))[0] >= 10
