"""Closing prices from ArcticDB, as one wide array."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.errors import StoreError, TrainingError
from predictor.last_rows import CLOSE
from predictor.store import failure, list_symbols


@dataclass(frozen=True)
class Panel:
    """Closing prices.

    Attributes:
        days: Shape (T,), `datetime64[D]`, ascending: every day on which any symbol has a bar.
        symbols: S names, sorted.
        close: Shape (T, S), NaN where a symbol has no bar.
        versions: ArcticDB version of each symbol read, including those left out.
    """

    days: NDArray[np.datetime64]
    symbols: list[str]
    close: NDArray[np.float64]
    versions: dict[str, int]

    def digest(self) -> str:
        """SHA-256 over days, symbols and prices."""
        parts = (self.days.astype("int64").tobytes(), "\0".join(self.symbols).encode(), self.close.tobytes())
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def read(library: Any, before: date) -> Panel:
    """Read every symbol's closing prices.

    Args:
        library: ArcticDB library with one symbol per ticker and a column `close`.
        before: Bars on this day or later are left out.

    Raises:
        StoreError: Symbols cannot be read; the text names all of them.
        TrainingError: The library is empty, or series are malformed; the text names all of them.
    """
    symbols = list_symbols(library)
    if not symbols:
        raise TrainingError(f"library {library.name!r} holds no symbol")
    series: dict[str, pd.Series] = {}
    versions: dict[str, int] = {}
    malformed: dict[str, str] = {}
    for symbol, item in read_all(library, symbols, [CLOSE]).items():
        try:
            series[symbol] = _closes(item.data, before)
        except ValueError as error:
            malformed[symbol] = str(error)
        versions[symbol] = int(item.version)
    if malformed:
        named = "; ".join(f"{symbol}: {why}" for symbol, why in malformed.items())
        raise TrainingError(f"{len(malformed)} of {len(symbols)} symbols cannot be trained on: {named}")
    wide = pd.concat(series, axis=1, sort=True).dropna(how="all")
    if wide.empty:
        raise TrainingError(f"no symbol of library {library.name!r} has a bar before {before}")
    return Panel(
        wide.index.to_numpy().astype("datetime64[D]"),
        [str(symbol) for symbol in wide.columns],
        np.ascontiguousarray(wide.to_numpy(dtype=np.float64)),
        versions,
    )


def leave_out_short(panel: Panel, bars: int) -> tuple[Panel, list[dict[str, str]]]:
    """Leave out the symbols that have fewer than `bars` bars, a test window's worth.

    Returns:
        The panel of the other symbols, on the days of their bars; and `{symbol, reason}` of those left out.

    Raises:
        TrainingError: No symbol has enough bars.
    """
    known = np.isfinite(panel.close)
    counts = known.sum(axis=0)
    kept = counts >= bars
    left_out = [
        {"symbol": symbol, "reason": f"expected at least {bars} bars (a fold's test window), got {count}"}
        for symbol, count in zip(panel.symbols, counts.tolist(), strict=True)
        if count < bars
    ]
    if not left_out:
        return panel, []
    if not kept.any():
        longest = panel.symbols[int(counts.argmax())]
        raise TrainingError(
            f"none of {len(panel.symbols)} symbols has the {bars} bars of a fold's test window; "
            f"{longest} has the most, {counts.max()}"
        )
    days = known[:, kept].any(axis=1)
    symbols = [symbol for symbol, keep in zip(panel.symbols, kept.tolist(), strict=True) if keep]
    close = np.ascontiguousarray(panel.close[days][:, kept])
    return Panel(panel.days[days], symbols, close, panel.versions), left_out


def read_all(library: Any, symbols: Sequence[str], columns: list[str] | None) -> dict[str, Any]:
    """Read symbols in one batch.

    Args:
        library: ArcticDB library.
        symbols: The symbols.
        columns: The columns, None for all.

    Returns:
        Versioned items by symbol, in the given order.

    Raises:
        StoreError: Symbols cannot be read; the text names all of them.
    """
    from arcticdb import ReadRequest

    items = library.read_batch([ReadRequest(symbol, columns=columns) for symbol in symbols])
    found = dict(zip(symbols, items, strict=True))
    bad = {symbol: why for symbol, item in found.items() if (why := failure(item)) is not None}
    if bad:
        named = "; ".join(f"{symbol}: {why[:120]}" for symbol, why in bad.items())
        raise StoreError(f"{len(bad)} of {len(symbols)} symbols of {library.name!r} cannot be read: {named}")
    return found


def _closes(frame: pd.DataFrame, before: date) -> pd.Series:
    """One symbol's closes by day.

    Raises:
        ValueError: The series is malformed.
    """
    if CLOSE not in frame.columns:
        raise ValueError(f"it has no column {CLOSE!r}")
    if not isinstance(frame.index, pd.DatetimeIndex):
        raise ValueError("its index has no timestamps")
    days = frame.index.tz_localize(None).normalize()
    if not days.is_unique:
        raise ValueError("it has two bars on one day")
    if not days.is_monotonic_increasing:
        raise ValueError("its bars are out of order")
    closes = frame[CLOSE].set_axis(days).astype(np.float64)
    closes = closes[days < pd.Timestamp(before)]
    if (closes <= 0).any():
        raise ValueError("it has prices of zero or less")
    return closes
