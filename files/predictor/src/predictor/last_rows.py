"""Faults at the end of a price series, found in its last rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from predictor import store
from predictor.config import LastRows
from predictor.last_bars import Columns

if TYPE_CHECKING:
    import pandas as pd

CLOSE = "close"
"""The column of prices."""

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
    library: Any,
    symbols: Sequence[str],
    columns: Mapping[str, Columns],
    settings: LastRows,
    versions: dict[str, int],
) -> list[Fault]:
    """Check the last rows of symbols; three requests per symbol.

    Args:
        library: A library of `store.ReadOnlyStore`.
        symbols: Symbols that have a description.
        columns: Their columns (`LastBars.columns`).
        settings: Number of rows, and symbols with known jumps.
        versions: Receives the version of each readable symbol, which comes with its rows.

    Returns:
        The faults, worst first, then by symbol.
    """
    found = _odd_columns(columns, symbols)
    readable = [symbol for symbol in symbols if CLOSE in dict(columns[symbol])]
    found += [Fault(0, symbol, f"no column {CLOSE!r}", True) for symbol in symbols if symbol not in set(readable)]
    for symbol, answer in _read(library, readable, settings.rows, versions):
        if isinstance(answer, str):
            found.append(Fault(0, symbol, answer, True))
        else:
            found += check(symbol, answer, symbol in settings.known_jumps)
    return sorted(found, key=lambda fault: (not fault.fatal, fault.rank, fault.symbol))


def check(symbol: str, frame: pd.DataFrame, jump_is_known: bool = False) -> list[Fault]:
    """Check the last rows of one symbol.

    Args:
        symbol: Its name.
        frame: Its last rows, with a column `close`; shape (n, columns).
        jump_is_known: Accept any move of the price.
    """
    import numpy as np
    import pandas as pd

    closes = frame[CLOSE]
    if not pd.api.types.is_numeric_dtype(closes.dtype) or pd.api.types.is_bool_dtype(closes.dtype):
        return [Fault(1, symbol, f"{CLOSE}: expected numbers, got {closes.dtype}", True)]
    found = []
    index = frame.index
    if not isinstance(index, pd.DatetimeIndex):
        return [Fault(1, symbol, "its index has no timestamps", True)]
    days = index.tz_localize(None).normalize()
    if not days.is_monotonic_increasing:
        found.append(Fault(2, symbol, "rows out of order", True))
    if twice := sorted({day.date().isoformat() for day in days[days.duplicated()]}):
        found.append(Fault(3, symbol, f"two rows on {', '.join(twice)}", True))
    values = closes.to_numpy(dtype=np.float64)
    if np.isnan(values[-1:]).any():
        found.append(Fault(4, symbol, f"{CLOSE} is NaN in the last row, {days[-1].date()}", True))
    elif np.isnan(values).any():
        found.append(Fault(8, symbol, f"{CLOSE} is NaN in {int(np.isnan(values).sum())} of the last rows", False))
    if (values <= 0).any() or np.isinf(values).any():
        worst = float(np.nanmin(np.where(np.isinf(values), np.inf, values)))
        found.append(Fault(5, symbol, f"{CLOSE} of {worst:g}" if worst <= 0 else f"{CLOSE} is infinite", True))
    elif not jump_is_known:
        found += _moves(symbol, days, values)
    return found


def _moves(symbol: str, days: pd.DatetimeIndex, values: Any) -> list[Fault]:
    """The largest move between successive known closes, if it resembles a split or is very large."""
    import numpy as np

    known = ~np.isnan(values)
    prices, when = values[known], days[known]
    if len(prices) < 2:
        return []
    ratios = prices[1:] / prices[:-1]
    place = int(np.argmax(np.abs(np.log(ratios))))
    ratio, day = float(ratios[place]), when[place + 1].date()
    if (split := split_ratio(ratio)) is not None:
        kind = f"1:{split:g} reverse split" if ratio > 1 else f"{split:g}:1 split"
        return [Fault(6, symbol, f"{ratio - 1:+.0%} on {day} looks like an unadjusted {kind}", True)]
    if abs(ratio - 1) > LARGE_MOVE:
        return [Fault(7, symbol, f"{ratio - 1:+.0%} on {day}", False)]
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


def _odd_columns(columns: Mapping[str, Columns], symbols: Sequence[str]) -> list[Fault]:
    """Symbols whose columns or types differ from the majority's."""
    kinds = Counter(columns[symbol] for symbol in symbols)
    usual, count = kinds.most_common(1)[0]
    if 2 * count <= len(symbols):
        return [Fault(9, "the universe", f"{len(kinds)} sets of columns, none in the majority", False)]
    found = []
    for symbol in symbols:
        other = dict(columns[symbol])
        differences = [f"lacks {name}" for name, _ in usual if name not in other]
        differences += [f"{name} is {other[name]}, not {kind}" for name, kind in usual if other.get(name, kind) != kind]
        differences += [f"has {name} too" for name in other if name not in dict(usual)]
        if differences:
            found.append(Fault(9, symbol, f"unlike most: {', '.join(differences)}", False))
    return found


def _read(
    library: Any, symbols: Sequence[str], rows: int, versions: dict[str, int]
) -> list[tuple[str, pd.DataFrame | str]]:
    """The last rows of each symbol, or why they cannot be read."""
    from arcticdb import ReadRequest

    if not symbols:
        return []
    answers = library.read_batch([ReadRequest(symbol, row_range=(-rows, None)) for symbol in symbols])
    found: list[tuple[str, pd.DataFrame | str]] = []
    for symbol, item in zip(symbols, answers, strict=True):
        if (why := store.failure(item)) is not None:
            found.append((symbol, why[:200]))
        else:
            versions[symbol] = int(item.version)
            found.append((symbol, item.data))
    return found
