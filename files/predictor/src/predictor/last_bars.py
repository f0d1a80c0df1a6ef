"""The last bar of each series of a library before the run date, in one batch: two requests per symbol."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from predictor import store
from predictor.errors import PredictorError

Columns = tuple[tuple[str, str], ...]
"""Name and ArcticDB type (`FLOAT64`, `UTF_DYNAMIC64`, …) of each column, in order."""


@dataclass(frozen=True)
class LastBars:
    """The last bars of the series of a library; no prices are read.

    Attributes:
        days: Day of the last bar before the run date, by symbol.
        ages: Sessions between it and the run date, by symbol (`exchange.Calendar.ages`).
        unknown_ages: Why the age of a symbol of `days` is unknown, by symbol.
        unreadable: Why a symbol's last bar is unknown, by symbol.
        columns: Columns of each symbol that has a description.
        ahead: Symbols with bars on the run date or later, which are ignored.
        later: Those of them that have no bar before the run date.
    """

    days: dict[str, date] = field(default_factory=dict)
    ages: dict[str, int] = field(default_factory=dict)
    unknown_ages: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    columns: dict[str, Columns] = field(default_factory=dict)
    ahead: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)

    @property
    def symbols(self) -> list[str]:
        """Every symbol, readable or not, sorted."""
        return sorted({*self.days, *self.unreadable, *self.later})

    def older_than(self, sessions: int) -> list[str]:
        """Symbols with an age that is unknown or above `sessions`, oldest first, then by name."""
        stale = [*self.unknown_ages, *(symbol for symbol, age in self.ages.items() if age > sessions)]
        return sorted(stale, key=lambda symbol: (-self.ages.get(symbol, 0), symbol))

    def name(self, symbol: str) -> str:
        """A symbol with its age and last day, for messages."""
        return f"{symbol} ({self.unknown_ages.get(symbol) or self.ages[symbol]}, ends {self.days[symbol]})"


def ask(library: Any, run_date: date, calendar_of: Callable[[str], str], only_sessions: bool) -> LastBars:
    """Read the last bar of each series of a library.

    Descriptions suffice, except for a series that ends on the run date or later, ends between sessions, or is not in
    order: its index is read, too.

    Args:
        library: A library of `store.ReadOnlyStore`.
        run_date: The day that ages are counted to; later bars are ignored.
        calendar_of: The calendar of a series, by symbol.
        only_sessions: Whether bars between sessions are ignored.

    Raises:
        PredictorError: The library cannot be listed, or a calendar cannot be used.
    """
    symbols = store.list_symbols(library)
    bars = LastBars()
    alike: dict[str, list[str]] = defaultdict(list)
    first = run_date
    for symbol, answer in zip(symbols, library.get_description_batch(symbols) if symbols else [], strict=True):
        if hasattr(answer, "columns"):
            bars.columns[symbol] = tuple((str(column.name), _type_name(column.dtype)) for column in answer.columns)
        if (why := _unusable(answer)) is not None:
            bars.unreadable[symbol] = why
            continue
        alike[calendar_of(symbol)].append(symbol)
        if answer.sorted == "ASCENDING":  # otherwise ArcticDB reports no date range
            # A bar belongs to the day of its own time zone, so the zone is dropped, not converted.
            first, bars.days[symbol] = min(first, answer.date_range[0].date()), answer.date_range[1].date()
    for name, group in alike.items():
        _count_ages(library, bars, group, name, first, run_date, only_sessions)
    return bars


def _count_ages(
    library: Any,
    bars: LastBars,
    symbols: list[str],
    calendar_name: str,
    first: date,
    run_date: date,
    only_sessions: bool,
) -> None:
    """Find the ages of the series of one calendar; correct the last bars that do not count."""
    import numpy as np

    from predictor import exchange, series  # here, so that a machine without pandas still gets a report

    calendar = exchange.calendar(calendar_name, first, run_date)

    def counts(days: exchange.Days) -> Any:
        return calendar.is_session(days) if only_sessions else np.ones(len(days), dtype=bool)

    doubtful = [
        symbol
        for symbol in symbols
        if (day := bars.days.get(symbol)) is None
        or day >= run_date
        or not counts(np.array([day], dtype="datetime64[D]"))[0]
    ]
    for symbol, days in series.bar_days(library, doubtful).items():
        bars.days.pop(symbol, None)
        before = days[days < np.datetime64(run_date)]
        if len(before) < len(days):
            bars.ahead.append(symbol)
        if (np.diff(before) < np.timedelta64(0)).any():
            bars.unreadable[symbol] = "its bars are out of order"
        elif counts(before).any():
            bars.days[symbol] = before[counts(before)][-1].item()
        elif len(before) or not len(days):
            bars.unreadable[symbol] = f"it has no bar on a session before {run_date}"
        else:
            bars.later.append(symbol)
    known = [symbol for symbol in symbols if symbol in bars.days]
    try:
        ages = calendar.ages([bars.days[symbol] for symbol in known], run_date)
    except PredictorError as error:
        bars.unknown_ages.update(dict.fromkeys(known, str(error)))
    else:
        bars.ages.update(zip(known, ages, strict=True))


def _unusable(answer: Any) -> str | None:
    """Why a description has no last day; None if it has one."""
    if (why := store.failure(answer)) is not None:
        return why[:200]
    if answer.row_count == 0:
        return "it has no rows"
    if answer.index_type != "index" or "NANOSECONDS" not in str(answer.index[0].dtype):
        return "it is not a table with timestamps"
    return None


def _type_name(dtype: Any) -> str:
    """`FLOAT64` of `TD<type=FLOAT64, dim=0>`."""
    return str(dtype).partition("type=")[2].partition(",")[0] or str(dtype)
