"""What the checks share: their input, their result, and work that more than one of them needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictor import aws, exchange, store
from predictor.config import Config, load
from predictor.errors import PredictorError

if TYPE_CHECKING:
    from predictor.store import ReadOnlyStore


@dataclass(frozen=True)
class Finding:
    """What a check found: `status` is pass, warn or fail, `detail` one line."""

    status: str
    detail: str


@dataclass(frozen=True)
class LastBars:
    """Where each series of a library ends.

    Attributes:
        days: Day of the last bar, by symbol.
        ages: Trading days between it and the run date, by symbol (`exchange.ages`).
        unreadable: Why a symbol's description could not be had, by symbol.
    """

    days: dict[str, date]
    ages: dict[str, int]
    unreadable: dict[str, str]

    def older_than(self, sessions: int) -> list[str]:
        """Symbols with an age above `sessions`, oldest first, then by name."""
        stale = [symbol for symbol, age in self.ages.items() if age > sessions]
        return sorted(stale, key=lambda symbol: (-self.ages[symbol], symbol))


@dataclass
class Context:
    """What the checks are about. Nothing is read before the first check that needs it."""

    data_bucket: str
    run_date: date
    config_path: Path
    lock_path: Path
    arctic_prefix: str
    _libraries: dict[str, Any] = field(default_factory=dict)
    _bars: dict[str, LastBars] = field(default_factory=dict)
    _failures: dict[str, PredictorError] = field(default_factory=dict)

    @cached_property
    def config(self) -> Config:
        """The configuration.

        Raises:
            ConfigError: See `predictor.config.load`.
        """
        return load(self.config_path)

    @cached_property
    def store(self) -> ReadOnlyStore:
        """ArcticDB, read-only.

        Raises:
            PredictorError: No region, or ArcticDB cannot be opened.
        """
        uri = store.arctic_uri(self.data_bucket, aws.region(), self.arctic_prefix, aws.endpoint())
        return store.ReadOnlyStore(uri)

    def library(self, name: str) -> Any:
        """A library, opened once.

        Raises:
            PredictorError: It is absent, or cannot be opened read-only.
        """
        if name not in self._libraries:
            self._libraries[name] = self.store.library(name)
        return self._libraries[name]

    def last_bars(self, library_name: str) -> LastBars:
        """Where each series of a library ends, asked once: two requests a symbol.

        Raises:
            PredictorError: The library or the calendar cannot be used; one bad symbol does not raise.
        """
        # A server that does not answer costs half a minute a question: the second check gets the first one's answer.
        if library_name in self._failures:
            raise self._failures[library_name]
        if library_name not in self._bars:
            try:
                self._bars[library_name] = self._ask_last_bars(library_name)
            except PredictorError as error:
                self._failures[library_name] = error
                raise
        return self._bars[library_name]

    def _ask_last_bars(self, library_name: str) -> LastBars:
        library = self.library(library_name)
        days, unreadable = _last_days(library, store.list_symbols(library))
        ages: dict[str, int] = {}
        if days:
            sessions = exchange.sessions_between(self.config.data.calendar, min(days.values()), self.run_date)
            ages = dict(zip(days, exchange.ages(sessions, list(days.values()), self.run_date), strict=True))
        return LastBars(days, ages, unreadable)

    def freshness_report(self) -> dict[str, Any]:
        """The universe's ages for the report; zero, empty or None where they were not to be had."""
        try:
            name, limit = self.config.data.universe_library, self.config.data.stale_after_sessions
        except PredictorError:
            name, limit = "", 0
        bars = self._bars.get(name, LastBars({}, {}, {}))
        return {
            "symbols": len(bars.days) + len(bars.unreadable),
            "stale": bars.older_than(limit),
            "unreadable": bars.unreadable,
            "newest": max(bars.days.values()).isoformat() if bars.days else None,
            "oldest": min(bars.days.values()).isoformat() if bars.days else None,
            "ages": bars.ages,
        }


def _last_days(library: Any, symbols: list[str]) -> tuple[dict[str, date], dict[str, str]]:
    """Day of the last bar of each symbol, and why the others have none."""
    from arcticdb.version_store.library import DataError

    days: dict[str, date] = {}
    unreadable: dict[str, str] = {}
    # A symbol that cannot be read comes back as a DataError in its place, not as an exception.
    for symbol, description in zip(symbols, library.get_description_batch(symbols) if symbols else [], strict=True):
        if isinstance(description, DataError):
            unreadable[symbol] = " ".join(str(description.exception_string).split())[:200]
        elif description.row_count == 0:
            unreadable[symbol] = "it has no rows"
        elif description.index_type != "index":
            unreadable[symbol] = "its index holds no times"
        else:
            days[symbol] = _day(description.date_range[1])
    return days, unreadable


def _day(last: Any) -> date:
    # A bar stamped in a zone belongs to that zone's day, so the zone is dropped, not converted.
    day: date = last.date()
    return day


def name_some(names: list[str], limit: int = 50) -> str:
    """Join names for a detail; after `limit` of them say how many more there are."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
