"""Research inputs: numbers about a stock other than prices, from an optional library."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor import series
from predictor.config import Config
from predictor.errors import TrainingError
from predictor.series import MalformedSeriesError
from predictor.store import ReadOnlyStore, list_symbols
from predictor.training.panel import Panel

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


@dataclass(frozen=True)
class Frames:
    """The research library's numbers for symbols of the universe.

    Attributes:
        frames: Numeric columns by day, by symbol.
        malformed: Why a symbol cannot be read or used, by symbol.
        ignored: Columns that are not numeric, by symbol.
        versions: ArcticDB version of each symbol that could be read.
    """

    frames: dict[str, pd.DataFrame]
    malformed: dict[str, str]
    ignored: dict[str, list[str]]
    versions: dict[str, int]


def read_frames(library: Any, symbols: Collection[str], before: date) -> Frames:
    """Read symbols of the research library; values of `before` or later are ignored.

    Raises:
        StoreError: The library cannot be listed.
    """
    known = set(symbols)
    wanted = [symbol for symbol in list_symbols(library) if symbol in known]
    parsed, malformed, versions = series.read_each(library, wanted, None, lambda data: _parse(data, before))
    frames = {symbol: frame for symbol, (frame, _) in parsed.items()}
    return Frames(frames, malformed, {symbol: names for symbol, (_, names) in parsed.items() if names}, versions)


def _parse(data: Any, before: date) -> tuple[pd.DataFrame, list[str]]:
    """The numeric columns of a symbol by day, and the names of the others."""
    frame = series.numbers_by_day(data, before)
    for _, column in frame.items():
        if fault := series.infinite(column):
            raise MalformedSeriesError(fault)
    return frame, [str(name) for name in data.columns if str(name) not in frame.columns]


def read(store: ReadOnlyStore, panel: Panel, before: date, config: Config) -> Research:
    """Read the research library, if it exists, and align it.

    Raises:
        StoreError: The library cannot be read.
        TrainingError: See `align`.
    """
    if reason := unused(store, config):
        return Research(skipped=reason)
    return align(read_frames(store.library(config.data.research_library), panel.symbols, before), panel, config)


def unused(store: ReadOnlyStore, config: Config) -> str:
    """Why training uses no research; empty if it does.

    Raises:
        StoreError: The bucket cannot be read.
    """
    if "research" not in config.models:
        return "models does not list it"
    name = config.data.research_library
    return "" if store.has_library(name) else f"library {name!r} does not exist"


def align(found: Frames, panel: Panel, config: Config) -> Research:
    """Align research with a panel.

    Returns:
        On each day, the last known value.

    Raises:
        TrainingError: Symbols are malformed; the text names all of them.
    """
    if found.malformed:
        named = "; ".join(f"{symbol}: {why}" for symbol, why in sorted(found.malformed.items()))
        raise TrainingError(f"research on {len(found.malformed)} symbols cannot be trained on: {named}")
    frames = {symbol: frame for symbol, frame in found.frames.items() if symbol in panel.bars}
    names = sorted({column for frame in frames.values() for column in frame.columns})
    if not names:
        reason = f"library {config.data.research_library!r} has no numbers for symbols of the universe"
        return Research(skipped=reason)
    days = pd.DatetimeIndex(panel.days)
    columns = {PREFIX + column: np.full(panel.close.shape, np.nan) for column in names}
    for place, symbol in enumerate(panel.symbols):
        if symbol in frames:
            aligned = frames[symbol].reindex(days, method="ffill")
            for column in aligned.columns:
                columns[PREFIX + column][:, place] = aligned[column].to_numpy(dtype=np.float64)
    return Research(columns, "", found.versions)
