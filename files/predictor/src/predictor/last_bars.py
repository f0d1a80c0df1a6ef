"""The last bar of each series of a library before the run date, in one batch: two requests per symbol."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from predictor import store

Columns = tuple[tuple[str, str], ...]
"""Name and ArcticDB type (`FLOAT64`, `UTF_DYNAMIC64`, …) of each column, in order."""


@dataclass(frozen=True)
class LastBars:
    """The last bars of the series of a library; no prices are read.

    Attributes:
        days: Day of the last bar before the run date that is on a session of the series' calendar, by symbol.
        ages: Sessions between it and the run date, by symbol (`exchange.Calendar.ages`).
        unreadable: Why a symbol's last bar is unknown, by symbol.
        columns: Columns of each symbol that has a description.
        ahead: Symbols with bars on the run date or later, which are ignored.
    """

    days: dict[str, date] = field(default_factory=dict)
    ages: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    columns: dict[str, Columns] = field(default_factory=dict)
    ahead: list[str] = field(default_factory=list)

    @property
    def symbols(self) -> list[str]:
        """Every symbol, readable or not, sorted."""
        return sorted({*self.days, *self.unreadable})

    def older_than(self, sessions: int) -> list[str]:
        """Symbols with an age above `sessions`, oldest first, then by name."""
        stale = [symbol for symbol, age in self.ages.items() if age > sessions]
        return sorted(stale, key=lambda symbol: (-self.ages[symbol], symbol))

    def name(self, symbol: str) -> str:
        """A symbol with its age and last day, for messages."""
        return f"{symbol} ({self.ages[symbol]}, ends {self.days[symbol]})"


def ask(library: Any, run_date: date, calendar_of: Callable[[str], str]) -> LastBars:
    """Read the last bar of each series of a library.

    Descriptions suffice, except for a series that ends on the run date or later, or between sessions: its index is
    read, too.

    Args:
        library: A library of `store.ReadOnlyStore`.
        run_date: The day that ages are counted to; later bars are ignored.
        calendar_of: The calendar of a series, by symbol.

    Raises:
        PredictorError: The library cannot be listed, or a calendar cannot be used.
    """
    symbols = store.list_symbols(library)
    bars = LastBars()
    for symbol, answer in zip(symbols, library.get_description_batch(symbols) if symbols else [], strict=True):
        if (why := _unusable(answer)) is not None:
            bars.unreadable[symbol] = why
        else:
            # A bar belongs to the day of its own time zone, so the zone is dropped, not converted.
            bars.days[symbol] = answer.date_range[1].date()
        if hasattr(answer, "columns"):
            bars.columns[symbol] = tuple((str(column.name), _type_name(column.dtype)) for column in answer.columns)
    alike: dict[str, list[str]] = defaultdict(list)
    for symbol in bars.days:
        alike[calendar_of(symbol)].append(symbol)
    for name, group in alike.items():
        _count_ages(library, bars, group, name, run_date)
    return bars


def _count_ages(library: Any, bars: LastBars, symbols: list[str], calendar_name: str, run_date: date) -> None:
    """Find the ages of the series of one calendar; correct the last bars that do not count."""
    import numpy as np

    from predictor import exchange, series  # here, so that a machine without pandas still gets a report

    # A year back, for series that turn out to end earlier; if that is not enough, the age is a lower bound.
    first = min(run_date - timedelta(days=366), *(bars.days[symbol] for symbol in symbols))
    calendar = exchange.calendar(calendar_name, first, run_date)
    last = np.array([bars.days[symbol] for symbol in symbols], dtype="datetime64[D]")
    ahead = last >= np.datetime64(run_date)
    bars.ahead.extend(symbol for symbol, late in zip(symbols, ahead, strict=True) if late)
    doubtful = [symbol for symbol, no in zip(symbols, ahead | ~calendar.is_session(last), strict=True) if no]
    for symbol, days in series.bar_days(library, doubtful, run_date).items():
        on_session = days[calendar.is_session(days)]
        if len(on_session):
            bars.days[symbol] = on_session[-1].item()
        else:
            del bars.days[symbol]
            bars.unreadable[symbol] = f"it has no bar on a session before {run_date}"
    known = [symbol for symbol in symbols if symbol in bars.days]
    bars.ages.update(zip(known, calendar.ages([bars.days[symbol] for symbol in known], run_date), strict=True))


def _unusable(answer: Any) -> str | None:
    """Why a description has no last day; None if it has one."""
    if (why := store.failure(answer)) is not None:
        return why[:200]
    if answer.row_count == 0:
        return "it has no rows"
    if answer.index_type != "index" or "NANOSECONDS" not in str(answer.index[0].dtype):
        return "it is not a table with timestamps"
    if answer.sorted != "ASCENDING":  # ArcticDB then reports no date range
        return "its bars are out of order"
    return None


def _type_name(dtype: Any) -> str:
    """`FLOAT64` of `TD<type=FLOAT64, dim=0>`."""
    return str(dtype).partition("type=")[2].partition(",")[0] or str(dtype)
