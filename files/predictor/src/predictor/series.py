"""Closing prices as stored: read once, cut at the run date, checked. Preflight and training share this reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.exchange import Days
from predictor.store import failure

CLOSE = "close"
"""The column of prices."""

LOWEST, HIGHEST = 1e-12, 1e12
"""Prices beyond these are errors; their returns would overflow."""

Parsed = TypeVar("Parsed")

NAMED = 3
"""Maximum number of days in the text of a fault."""


@dataclass(frozen=True)
class Closes:
    """The closing prices of a symbol before the run date.

    Attributes:
        days: Shape (n,), ascending, unique. A bar belongs to the day of its own time zone.
        values: Shape (n,), finite, above 0.
        missing: Days of the bars whose close is NaN, which count as no bar.
    """

    days: Days
    values: NDArray[np.float64]
    missing: Days


class MalformedSeriesError(ValueError):
    """A series that cannot be trained on; the text has its faults, without the symbol."""


@dataclass(frozen=True)
class Reading:
    """The universe's closes.

    Attributes:
        closes: By symbol.
        malformed: Why a symbol cannot be read or trained on, by symbol.
        versions: ArcticDB version of each symbol that could be read.
    """

    closes: dict[str, Closes]
    malformed: dict[str, str]
    versions: dict[str, int]


def _read_batch(library: Any, symbols: Sequence[str], columns: list[str] | None) -> list[Any]:
    """Read columns of symbols, None for all: for each symbol, in order, a versioned item or ArcticDB's error."""
    from arcticdb import ReadRequest

    answers: list[Any] = []
    if symbols:
        answers = library.read_batch([ReadRequest(symbol, columns=columns) for symbol in symbols])
    return answers


def read(library: Any, symbols: Sequence[str], before: date) -> Reading:
    """Read the closes of symbols, in one batch: three requests per symbol.

    Args:
        library: A library of `store.ReadOnlyStore`.
        symbols: The symbols.
        before: Bars on this day or later are ignored.
    """
    return Reading(*read_each(library, symbols, [CLOSE], lambda frame: closes(frame, before)))


def read_each(
    library: Any, symbols: Sequence[str], columns: list[str] | None, parse: Callable[[Any], Parsed]
) -> tuple[dict[str, Parsed], dict[str, str], dict[str, int]]:
    """Read symbols and parse each; a fault of one does not affect the others.

    Returns:
        Three dictionaries by symbol: what `parse` returns, why a symbol cannot be read or parsed
        (`MalformedSeriesError`), and the ArcticDB version of each that could be read.
    """
    parsed: dict[str, Parsed] = {}
    malformed: dict[str, str] = {}
    versions: dict[str, int] = {}
    for symbol, item in zip(symbols, _read_batch(library, symbols, columns), strict=True):
        if (why := failure(item)) is not None:
            malformed[symbol] = why[:200]
            continue
        versions[symbol] = int(item.version)
        try:
            parsed[symbol] = parse(item.data)
        except MalformedSeriesError as error:
            malformed[symbol] = str(error)
    return parsed, malformed, versions


def bar_days(library: Any, symbols: Sequence[str]) -> dict[str, Days]:
    """The days of the rows of symbols, as stored; a symbol that cannot be read has none."""
    found = {}
    for symbol, item in zip(symbols, _read_batch(library, symbols, []), strict=True):
        index = None if failure(item) is not None else item.data.index
        found[symbol] = _days(index) if _has_days(index) else np.array([], dtype="datetime64[D]")
    return found


def closes(frame: Any, before: date) -> Closes:
    """Check what is stored for one symbol.

    Args:
        frame: Its data.
        before: Bars on this day or later are ignored.

    Raises:
        MalformedSeriesError: All faults of the series.
    """
    column = numbers_by_day(frame, before, [CLOSE])[CLOSE]
    values, days = column.to_numpy(dtype=np.float64), column.index.to_numpy().astype("datetime64[D]")
    faults = []
    if fault := infinite(column):
        faults.append(fault)
    if (extreme := np.isfinite(values) & (values > 0) & ((values < LOWEST) | (values > HIGHEST))).any():
        faults.append(f"{CLOSE} is not within {LOWEST:g} and {HIGHEST:g} on {listed(days[extreme])}")
    if (wrong := values <= 0).any():
        faults.append(f"{CLOSE} of 0 or less on {listed(days[wrong])}")
    if faults:
        raise MalformedSeriesError("; ".join(faults))
    known = ~np.isnan(values)
    return Closes(days[known], values[known], days[~known])


def numbers_by_day(frame: Any, before: date, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The numeric columns of stored data by day, before a day.

    Args:
        frame: The data.
        before: Rows on this day or later are ignored.
        columns: Columns that must exist once and be numeric; None for all that are numeric.

    Raises:
        MalformedSeriesError: The data is not a table of numbers by day.
    """
    if not isinstance(frame, pd.DataFrame):
        raise MalformedSeriesError(f"expected a table, got {type(frame).__name__}")
    if not _has_days(frame.index):
        raise MalformedSeriesError("its index has no timestamps")
    for name in columns or ():
        # ArcticDB renames columns that it has twice.
        if list(frame.columns).count(name) != 1:
            raise MalformedSeriesError(f"it has no column {name!r}, or more than one")
        if frame[name].dtype.kind not in "iuf":
            raise MalformedSeriesError(f"{name}: expected numbers, got {frame[name].dtype}")
    numeric = [place for place, dtype in enumerate(frame.dtypes) if dtype.kind in "iuf"]
    chosen = frame.iloc[:, numeric] if columns is None else frame[list(columns)]
    days = _days(frame.index)
    faults = []
    if repeated := sorted(name for name, count in Counter(map(str, chosen.columns)).items() if count > 1):
        faults.append(f"repeated columns {', '.join(repeated)}")
    if np.isnat(days).any():
        faults.append("rows without a timestamp")
    kept = days < np.datetime64(before)
    days, chosen = days[kept], chosen[kept]
    if (falls := np.flatnonzero(np.diff(days) < np.timedelta64(0))).size:
        faults.append(f"rows out of order on {listed(days[falls + 1])}")
    unique, counts = np.unique(days, return_counts=True)
    if (counts > 1).any():
        faults.append(f"more than one row on {listed(unique[counts > 1])}")
    if faults:
        raise MalformedSeriesError("; ".join(faults))
    return chosen.set_axis(pd.DatetimeIndex(days)).rename(columns=str)


def infinite(column: pd.Series) -> str:
    """On which days a column of `numbers_by_day` is infinite; empty if it never is."""
    found = np.isinf(column.to_numpy(dtype=np.float64))
    days = column.index.to_numpy().astype("datetime64[D]")
    return f"{column.name} is infinite on {listed(days[found])}" if found.any() else ""


def listed(days: Days) -> str:
    """The first days for a message, and the number of the others."""
    shown = ", ".join(str(day) for day in days[:NAMED])
    return shown if len(days) <= NAMED else f"{shown} and {len(days) - NAMED} more"


def _has_days(index: Any) -> bool:
    return isinstance(index, pd.DatetimeIndex)


def _days(index: pd.DatetimeIndex) -> Days:
    """Days of an index, in its own time zone."""
    days: Days = index.tz_localize(None).to_numpy().astype("datetime64[D]")
    return days
