"""Faults at the end of a price series, found in its last rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.config import LastRows
from predictor.exchange import Days
from predictor.last_bars import Columns
from predictor.series import CLOSE, Closes

SPLIT_RATIOS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 50.0, 100.0)
"""Usual ratios of stock splits and reverse splits, without 3:2: prices do fall by a third in one day."""

SPLIT_TOLERANCE = 0.06
"""Relative move of a price on the day of its split."""

LARGE_MOVE = 0.4
"""A daily move by more than this fraction is suspicious."""


@dataclass(frozen=True)
class Fault:
    """A fault of one symbol, `rank` 0 being the worst; a fault that is not `fatal` only warns."""

    rank: int
    symbol: str
    what: str
    fatal: bool

    def __str__(self) -> str:
        """The symbol and its fault."""
        return f"{self.symbol} ({self.what})"


def faults(
    series: Mapping[str, Closes], columns: Mapping[str, Columns], settings: LastRows, ended: Collection[str] = ()
) -> list[Fault]:
    """Check the last rows of symbols, and their columns.

    Args:
        series: Their closes before the run date.
        columns: Their columns (`LastBars.columns`).
        settings: Number of rows, and symbols with known jumps.
        ended: Symbols whose last rows are known to be their end; a missing last close only warns.

    Returns:
        The faults, worst first, then by symbol.
    """
    found = _odd_columns(columns)
    for symbol, closes in series.items():
        found += check(symbol, closes, settings.rows, symbol in settings.known_jumps, symbol in ended)
    return sorted(found, key=lambda fault: (not fault.fatal, fault.rank, fault.symbol))


def check(symbol: str, closes: Closes, rows: int, jump_is_known: bool = False, has_ended: bool = False) -> list[Fault]:
    """Check the last rows of one symbol.

    Args:
        symbol: Its name.
        closes: Its closes before the run date.
        rows: How many of the last rows, those without a close included.
        jump_is_known: Accept any move of the price.
        has_ended: A missing last close only warns.
    """
    days = np.union1d(closes.days, closes.missing)[-rows:]
    found = []
    if np.isin(days[-1:], closes.missing).any():
        found.append(Fault(0, symbol, f"{CLOSE} is NaN in the last row, {days[-1]}", not has_ended))
    if not jump_is_known and len(days):
        recent = closes.days >= days[0]
        found += _moves(symbol, closes.days[recent], closes.values[recent])
    return found


def _moves(symbol: str, days: Days, values: NDArray[np.float64]) -> list[Fault]:
    """The largest move between successive closes, if it resembles a split or is very large."""
    if len(values) < 2:
        return []
    ratios = values[1:] / values[:-1]
    place = int(np.argmax(np.abs(np.log(ratios))))
    ratio, day = float(ratios[place]), days[place + 1]
    if (split := split_ratio(ratio)) is not None:
        kind = f"1:{split:g} reverse split" if ratio > 1 else f"{split:g}:1 split"
        return [Fault(1, symbol, f"{ratio - 1:+.0%} on {day} looks like an unadjusted {kind}", True)]
    if abs(ratio - 1) > LARGE_MOVE:
        return [Fault(2, symbol, f"{ratio - 1:+.0%} on {day}", False)]
    return []


def split_ratio(ratio: float) -> float | None:
    """The split that a move resembles.

    Args:
        ratio: Price after divided by price before, above 0.

    Returns:
        N of an N:1 split, or of a 1:N reverse split if the price rose; None if it resembles neither.
    """
    size = max(ratio, 1 / ratio)
    nearest = min(SPLIT_RATIOS, key=lambda known: abs(size / known - 1))
    return nearest if abs(size / nearest - 1) <= SPLIT_TOLERANCE else None


def _odd_columns(columns: Mapping[str, Columns]) -> list[Fault]:
    """Symbols whose columns or types differ from the majority's."""
    if not columns:
        return []
    usual, count = Counter(columns.values()).most_common(1)[0]
    if 2 * count <= len(columns):
        kinds = len(set(columns.values()))
        return [Fault(3, "the universe", f"{kinds} sets of columns, none in the majority", False)]
    found = []
    for symbol, names in columns.items():
        other = dict(names)
        differences = [f"lacks {name}" for name, _ in usual if name not in other]
        differences += [f"{name} is {other[name]}, not {kind}" for name, kind in usual if other.get(name, kind) != kind]
        differences += [f"has {name} too" for name in other if name not in dict(usual)]
        if differences:
            found.append(Fault(3, symbol, f"unlike most: {', '.join(differences)}", False))
    return found
