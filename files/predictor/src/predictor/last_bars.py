"""The last bar of each series of a library, in one batch: two requests per symbol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from predictor import store

Columns = tuple[tuple[str, str], ...]
"""Name and ArcticDB type (`FLOAT64`, `UTF_DYNAMIC64`, …) of each column, in order."""


@dataclass(frozen=True)
class LastBars:
    """ArcticDB's descriptions of the series of a library; no prices are read.

    Attributes:
        days: Day of the last bar, by symbol.
        ages: Trading days between it and the run date, by symbol (`exchange.ages`).
        unreadable: Why a symbol's last bar is unknown, by symbol.
        columns: Columns of each symbol that has a description.
    """

    days: dict[str, date] = field(default_factory=dict)
    ages: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    columns: dict[str, Columns] = field(default_factory=dict)

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


def ask(library: Any, calendar: str, run_date: date) -> LastBars:
    """Read the last bar of each series of a library.

    Args:
        library: A library of `store.ReadOnlyStore`.
        calendar: Name in exchange-calendars.
        run_date: The day that ages are counted to.

    Raises:
        PredictorError: The library cannot be listed, or the calendar cannot be used.
    """
    symbols = store.list_symbols(library)
    days: dict[str, date] = {}
    unreadable: dict[str, str] = {}
    columns: dict[str, Columns] = {}
    for symbol, answer in zip(symbols, library.get_description_batch(symbols) if symbols else [], strict=True):
        if (why := _unusable(answer)) is not None:
            unreadable[symbol] = why
        else:
            # A bar belongs to the day of its own time zone, so the zone is dropped, not converted.
            days[symbol] = answer.date_range[1].date()
        if hasattr(answer, "columns"):
            columns[symbol] = tuple((str(column.name), _type_name(column.dtype)) for column in answer.columns)
    return LastBars(days, _ages(days, calendar, run_date), unreadable, columns)


def _ages(days: Mapping[str, date], calendar: str, run_date: date) -> dict[str, int]:
    if not days:
        return {}
    from predictor import exchange  # here, so that a machine without numpy still gets a report

    sessions = exchange.sessions_between(calendar, min(days.values()), run_date)
    return dict(zip(days, exchange.ages(sessions, list(days.values()), run_date), strict=True))


def _unusable(answer: Any) -> str | None:
    """Why a description has no last day; None if it has one."""
    if (why := store.failure(answer)) is not None:
        return why[:200]
    if answer.row_count == 0:
        return "it has no rows"
    if answer.index_type != "index" or "NANOSECONDS" not in str(answer.index[0].dtype):
        return "its index has no timestamps"
    if answer.sorted != "ASCENDING":  # ArcticDB then reports no date range
        return "its bars are out of order"
    return None


def _type_name(dtype: Any) -> str:
    """`FLOAT64` of `TD<type=FLOAT64, dim=0>`."""
    return str(dtype).partition("type=")[2].partition(",")[0] or str(dtype)
