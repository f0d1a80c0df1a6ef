"""Trading days: the sessions of an exchange, and the age of a series in sessions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from predictor.errors import PredictorError, one_line

Days = NDArray[np.datetime64]
"""Array of `datetime64[D]`."""


def sessions_between(calendar: str, first: date, last: date) -> Days:
    """The sessions of an exchange in a span of days.

    Args:
        calendar: Name in exchange-calendars, for example `XNYS`.
        first: First day, included.
        last: Last day, included.

    Returns:
        Shape (n,), `datetime64[D]`, ascending; half-days included.

    Raises:
        PredictorError: The calendar is unknown or does not cover the span.
    """
    import exchange_calendars
    import pandas as pd

    if last < first:
        return np.array([], dtype="datetime64[D]")
    try:
        # The bounds must contain at least one session, which a weekend does not.
        bounds = {"start": first - timedelta(days=14), "end": last + timedelta(days=14)}
        found = exchange_calendars.get_calendar(calendar, **{k: pd.Timestamp(v) for k, v in bounds.items()})
        days: Days = found.sessions.to_numpy().astype("datetime64[D]")
    except Exception as error:  # exchange-calendars has no common base for its errors
        raise PredictorError(f"cannot use calendar {calendar!r}: {one_line(error)}") from error
    kept: Days = days[(days >= np.datetime64(first)) & (days <= np.datetime64(last))]
    return kept


def ages(sessions: Days, last_bars: Sequence[date], run_date: date) -> list[int]:
    """The age of each series in trading days: the number of sessions after its last bar and before the run date.

    Args:
        sessions: Ascending sessions, covering the oldest last bar up to the run date.
        last_bars: Day of the last bar of each series.
        run_date: The day of the run; its own session does not count.

    Returns:
        One age per series, 0 or more.
    """
    bars = np.array(last_bars, dtype="datetime64[D]")
    before_run = int(np.searchsorted(sessions, np.datetime64(run_date), side="left"))
    after_bar = np.searchsorted(sessions, bars, side="right")
    return [int(age) for age in np.maximum(0, before_run - after_bar)]
