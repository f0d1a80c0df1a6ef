"""Closing prices of the universe, aligned: each symbol's own bars, and the days that the symbols have in common.

Symbols of several exchanges trade on different days. A window (a 60-day volatility) runs over a symbol's own bars, so
that another exchange's holidays leave no gap in it. A label and a cross-section compare symbols, so they need days on
which the symbols trade together: the sessions of every calendar in use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor import exchange
from predictor.config import Config
from predictor.errors import TrainingError
from predictor.exchange import Calendar, Days
from predictor.series import Closes, Reading, read
from predictor.store import list_symbols

LONGEST_PAUSE = 10
"""No window or label reaches over more sessions without a bar."""


@dataclass(frozen=True)
class Sessions:
    """The bars of a universe compared with the sessions of their calendars.

    Attributes:
        calendars: The calendar of each symbol.
        bars: The bars of each symbol that are on a session.
        off_session: Days of the other bars, which are left out, by symbol.
    """

    calendars: dict[str, Calendar]
    bars: dict[str, Closes]
    off_session: dict[str, Days]


@dataclass(frozen=True)
class Panel:
    """Aligned closing prices.

    Attributes:
        days: Shape (T,), ascending: the common days.
        symbols: S names, sorted.
        close: Shape (T, S), NaN where a symbol has no bar.
        versions: ArcticDB version of each symbol read, including those left out.
        bars: The bars of each symbol that are on a session of its calendar, for windows.
        left_out: `{symbol, reason}` of each symbol with too few bars.
        sparse: Days that are left out because fewer than half of the symbols that trade at the time have a bar.
        pauses: Index of the first bar after each long pause, by symbol; no window reaches over it.
        position: Shape (T,): index of each common day among all common sessions, with bars or without.
    """

    days: Days
    symbols: list[str]
    close: NDArray[np.float64]
    versions: dict[str, int]
    bars: dict[str, Closes]
    left_out: list[dict[str, str]] = field(default_factory=list)
    sparse: Days = field(default_factory=lambda: np.array([], dtype="datetime64[D]"))
    pauses: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    position: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, days: Days, symbols: list[str], close: NDArray[np.float64], versions: dict[str, int]) -> Panel:
        """A panel of symbols that have no bars on other days."""
        no_days = days[:0]
        known = np.isfinite(close)
        bars = {
            symbol: Closes(days[known[:, place]], close[known[:, place], place], no_days)
            for place, symbol in enumerate(symbols)
        }
        return cls(days, symbols, close, versions, bars)

    def digest(self) -> str:
        """SHA-256 over days, symbols, prices and bars."""
        parts = [self.days.astype("int64").tobytes(), "\0".join(self.symbols).encode(), self.close.tobytes()]
        for closes in self.bars.values():
            parts += [closes.days.astype("int64").tobytes(), closes.values.tobytes()]
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def load(library: Any, before: date, config: Config) -> Panel:
    """Read and align every symbol's closing prices.

    Args:
        library: ArcticDB library with one symbol per ticker and a column `close`.
        before: Bars on this day or later are ignored.
        config: Calendars, and the bars that a symbol needs.

    Raises:
        PredictorError: The library cannot be listed, or a calendar cannot be used.
        TrainingError: See `align`.
    """
    reading = read(library, list_symbols(library), before)
    return align(reading, on_sessions(reading, before, config), config)


def on_sessions(reading: Reading, before: date, config: Config) -> Sessions:
    """Compare the closes of a universe with the sessions of their calendars.

    Raises:
        PredictorError: A calendar cannot be used.
    """
    firsts = [closes.days[0].item() for closes in reading.closes.values() if len(closes.days)]
    names = {symbol: config.data.calendar_of(config.data.universe_library, symbol) for symbol in sorted(reading.closes)}
    made = {name: exchange.calendar(name, min(firsts, default=before), before) for name in set(names.values())}
    found = Sessions({symbol: made[name] for symbol, name in names.items()}, {}, {})
    for symbol, calendar in found.calendars.items():
        closes = reading.closes[symbol]
        kept = calendar.is_session(closes.days)
        missing = closes.missing[calendar.is_session(closes.missing)]
        found.bars[symbol] = Closes(closes.days[kept], closes.values[kept], missing)
        if not kept.all():
            found.off_session[symbol] = closes.days[~kept]
    return found


def align(reading: Reading, sessions: Sessions, config: Config) -> Panel:
    """Align the bars of a universe.

    Raises:
        TrainingError: The universe is empty, series are malformed (the text names all of them), or no symbol has a
            test window's worth of bars.
    """
    if reading.malformed:
        named = "; ".join(f"{symbol}: {why}" for symbol, why in sorted(reading.malformed.items()))
        total = len(reading.malformed) + len(reading.closes)
        raise TrainingError(f"{len(reading.malformed)} of {total} symbols cannot be trained on: {named}")
    bars, needed = sessions.bars, config.walk_forward.test_days
    if not bars:
        raise TrainingError(f"library {config.data.universe_library!r} holds no symbol that can be trained on")
    kept = {symbol: closes for symbol, closes in bars.items() if len(closes.days) >= needed}
    left_out = [
        {"symbol": symbol, "reason": f"expected at least {needed} bars (a fold's test window), got {len(closes.days)}"}
        for symbol, closes in bars.items()
        if symbol not in kept
    ]
    if not kept:
        longest = max(bars, key=lambda symbol: len(bars[symbol].days))
        raise TrainingError(
            f"none of {len(bars)} symbols has the {needed} bars of a fold's test window; {longest} has the most, "
            f"{len(bars[longest].days)}"
        )
    calendars = {symbol: sessions.calendars[symbol] for symbol in kept}
    days = _common(np.unique(np.concatenate([closes.days for closes in kept.values()])), kept, calendars)
    close = np.full((len(days), len(kept)), np.nan)
    for place, closes in enumerate(kept.values()):
        _, here, there = np.intersect1d(days, closes.days, assume_unique=True, return_indices=True)
        close[here, place] = closes.values[there]
    few = _few_bars(days, close, kept)
    every = {calendar.name: calendar.sessions for calendar in calendars.values()}
    return Panel(
        days[~few],
        list(kept),
        np.ascontiguousarray(close[~few]),
        reading.versions,
        kept,
        left_out,
        days[few],
        {symbol: _pauses(closes.days, calendars[symbol].sessions) for symbol, closes in kept.items()},
        np.searchsorted(_common(np.unique(np.concatenate([*every.values()])), kept, calendars), days[~few]),
    )


def _pauses(days: Days, sessions: Days) -> NDArray[np.int64]:
    """Index of the first of `days` after each pause of more than `LONGEST_PAUSE` sessions."""
    missed = np.diff(np.searchsorted(sessions, days)) - 1
    return np.flatnonzero(missed > LONGEST_PAUSE) + 1


def _common(days: Days, bars: Mapping[str, Closes], calendars: Mapping[str, Calendar]) -> Days:
    """The days that are sessions of every calendar with a symbol that trades at the time."""
    for calendar in {calendar.name: calendar for calendar in calendars.values()}.values():
        traded = [bars[symbol].days for symbol, other in calendars.items() if other.name == calendar.name]
        idle = (days < min(one[0] for one in traded)) | (days > max(one[-1] for one in traded))
        days = days[idle | calendar.is_session(days)]
    return days


def _few_bars(days: Days, close: NDArray[np.float64], bars: Mapping[str, Closes]) -> NDArray[np.bool_]:
    """Whether fewer than half of the symbols between their first and last bar have one, for each day."""
    firsts = np.sort([closes.days[0] for closes in bars.values()])
    lasts = np.sort([closes.days[-1] for closes in bars.values()])
    trading = np.searchsorted(firsts, days, side="right") - np.searchsorted(lasts, days, side="left")
    few: NDArray[np.bool_] = 2 * np.isfinite(close).sum(axis=1) < trading
    return few
