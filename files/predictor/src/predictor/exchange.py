"""Trading days: the sessions of an exchange, and the age of a series in sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

import numpy as np
from numpy.typing import NDArray

from predictor.errors import PredictorError, one_line

Days = NDArray[np.datetime64]
"""Array of `datetime64[D]`."""

EARLIEST = date(1700, 1, 1)
"""pandas knows no timestamp before 1677."""


@dataclass(frozen=True)
class Calendar:
    """The sessions of an exchange in a span of days.

    Attributes:
        name: Name in exchange-calendars, for example `XNYS`.
        sessions: Shape (n,), ascending; half-days included.
        first: First day of the span.
        last: Last day of the span; earlier than asked for if exchange-calendars does not know later days.
    """

    name: str
    sessions: Days
    first: date
    last: date

    def is_session(self, days: Days) -> NDArray[np.bool_]:
        """Whether the exchange trades on each day; true outside the span, where that is unknown."""
        outside = (days < np.datetime64(self.first)) | (days > np.datetime64(self.last))
        found: NDArray[np.bool_] = outside | np.isin(days, self.sessions)
        return found

    def ages(self, last_bars: Sequence[date], run_date: date) -> list[int]:
        """The age of each series: the number of sessions after its last bar and before the run date.

        Args:
            last_bars: Day of the last bar of each series; for one before the span, the age is a lower bound.
            run_date: The day of the run; its own session does not count.

        Raises:
            PredictorError: The span ends before the run date, so no age is known.
        """
        if self.last < run_date - timedelta(days=1):
            raise PredictorError(
                f"calendar {self.name!r} ends on {self.last}, before the run date {run_date}: install a newer "
                "exchange-calendars"
            )
        bars = np.array(last_bars, dtype="datetime64[D]")
        before_run = int(np.searchsorted(self.sessions, np.datetime64(run_date), side="left"))
        after_bar = np.searchsorted(self.sessions, bars, side="right")
        return [int(age) for age in np.maximum(0, before_run - after_bar)]


def calendar(name: str, first: date, last: date) -> Calendar:
    """Look up the sessions of an exchange in a span of days, as far as exchange-calendars knows them.

    Args:
        name: Name in exchange-calendars.
        first: First day, included.
        last: Last day, included.

    Raises:
        PredictorError: The calendar is unknown.
    """
    low, high, days = _whole_years(name, min(first, last).year, last.year)
    first, last = max(first, low, EARLIEST), min(last, high)
    kept: Days = days[(days >= np.datetime64(first)) & (days <= np.datetime64(last))]
    return Calendar(name, kept, first, last)


@cache
def _whole_years(name: str, first: int, last: int) -> tuple[date, date, Days]:
    """The limits of a calendar, and its sessions in a span of years, which can take seconds."""
    import exchange_calendars
    import pandas as pd

    try:
        # Every calendar knows this month (a test tries them all), and its class the limits that must not be exceeded.
        known = exchange_calendars.get_calendar(name, start="2021-06-01", end="2021-06-30")
        low = date.min if known.bound_min() is None else known.bound_min().date()
        high = date.max if known.bound_max() is None else known.bound_max().date()
        start, end = max(date(first, 1, 1), low, EARLIEST), min(date(last, 12, 31), high)
        days: Days = np.array([], dtype="datetime64[D]")
        if start <= end:
            bounds = {"start": pd.Timestamp(start), "end": pd.Timestamp(end)}
            days = exchange_calendars.get_calendar(name, **bounds).sessions.to_numpy().astype("datetime64[D]")
    except Exception as error:  # exchange-calendars has no common base for its errors
        raise PredictorError(f"cannot use calendar {name!r}: {one_line(error)}") from error
    return low, high, days
