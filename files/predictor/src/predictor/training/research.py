"""Research inputs: numbers about a stock other than prices, from an optional library."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.config import Config
from predictor.errors import TrainingError
from predictor.store import ReadOnlyStore, list_symbols
from predictor.training.panel import Panel, read_all

Wide = NDArray[np.float64]
"""Shape (T, S): days x symbols."""

PREFIX = "research."
"""Prefix of the columns' names, which distinguishes them from price features."""


@dataclass(frozen=True)
class Research:
    """Research inputs on the panel's days and symbols.

    Attributes:
        columns: Wide array by prefixed column name; empty without research.
        skipped: Why research is skipped; empty if it is not.
        versions: ArcticDB version read, by symbol.
    """

    columns: dict[str, Wide] = field(default_factory=dict)
    skipped: str = ""
    versions: dict[str, int] = field(default_factory=dict)

    def digest(self) -> str:
        """SHA-256 over the columns, in hexadecimal; the panel's digest covers their days and symbols."""
        whole = hashlib.sha256()
        for name, values in sorted(self.columns.items()):
            whole.update(f"{name}\0{hashlib.sha256(values.tobytes()).hexdigest()}\n".encode())
        return whole.hexdigest()


def read(store: ReadOnlyStore, panel: Panel, before: date, config: Config) -> Research:
    """Read the research library, if it exists.

    Args:
        store: ArcticDB.
        panel: The days and symbols.
        before: Values of this day or later are left out.
        config: Whether to use research, and its library.

    Returns:
        On each day, the last known value.

    Raises:
        StoreError: The library cannot be read.
        TrainingError: The library is malformed.
    """
    name = config.data.research_library
    if "research" not in config.models:
        return Research(skipped="models does not list it")
    if not store.has_library(name):
        return Research(skipped=f"library {name!r} does not exist")
    library = store.library(name)
    wanted = [symbol for symbol in list_symbols(library) if symbol in set(panel.symbols)]
    items = read_all(library, wanted, None)
    frames = {symbol: _frame(symbol, item.data, before) for symbol, item in items.items()}
    names = sorted({column for frame in frames.values() for column in frame.columns})
    if not names:
        return Research(skipped=f"library {name!r} has no numbers for symbols of the universe")
    days = pd.DatetimeIndex(panel.days)
    columns = {PREFIX + column: np.full(panel.close.shape, np.nan) for column in names}
    for place, symbol in enumerate(panel.symbols):
        if symbol in frames:
            aligned = frames[symbol].reindex(days, method="ffill")
            for column in aligned.columns:
                columns[PREFIX + column][:, place] = aligned[column].to_numpy(dtype=np.float64)
    return Research(columns, "", {symbol: int(item.version) for symbol, item in items.items()})


def _frame(symbol: str, data: pd.DataFrame, before: date) -> pd.DataFrame:
    """One symbol's numeric columns by day."""
    if not isinstance(data.index, pd.DatetimeIndex):
        raise TrainingError(f"research on {symbol}: its index has no timestamps")
    frame = data.select_dtypes("number").set_axis(data.index.tz_localize(None).normalize())
    if not frame.index.is_unique or not frame.index.is_monotonic_increasing:
        raise TrainingError(f"research on {symbol}: days are repeated or out of order")
    return frame[frame.index < pd.Timestamp(before)].rename(columns=str)
