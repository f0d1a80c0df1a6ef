"""Prices for the embedded AWS: real ones from installed packages, or synthetic ones.

Real: the wheel of `skfolio` has 20 stocks of the S&P 500 and the index, 1990 to 2022; that of `arch` the NASDAQ
composite (1999 to 2018) and the VIX (2014 to 2019). Nothing is downloaded, shifted or extended.

Call this outside the process that serves S3: ArcticDB holds the interpreter lock while it talks to S3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

UNIVERSE, MACRO = "universe", "macro"
"""Names of the libraries."""

CLOSE = "close"

_START_PRICE = 100.0
_DAILY_VOLATILITY = 0.018


@dataclass(frozen=True)
class SeedReport:
    """Written and unchanged series (`library/symbol`), series per library, first and last day of the universe."""

    written: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    symbols: dict[str, int] = field(default_factory=dict)
    first: date | None = None
    last: date | None = None


def load_real_prices(uri: str) -> SeedReport:
    """Write the bundled real prices to ArcticDB; a second call changes nothing.

    The libraries are `universe` (20 symbols) and `macro` (SPX, NASDAQ, VIX), each symbol with one column `close` and a
    daily index without time zone. `uri` is an address of S3 or of LMDB.
    """
    return _write(uri, {UNIVERSE: _stocks(), MACRO: _macro()}, _REAL, UNIVERSE)


def write_synthetic(
    uri: str,
    *,
    symbols: int,
    days: int,
    end: date,
    seed: int,
    first: int = 0,
    universe: str = UNIVERSE,
    macro: str | None = None,
) -> SeedReport:
    """Write random walks, for tests and benchmarks; the metadata of every symbol is `{"synthetic": True, "seed": …}`.

    Args:
        uri: ArcticDB address.
        symbols: Number of series, named `SYN00000` and so on.
        days: Bars of each, on weekdays.
        end: Day of the last bar; on a weekend the weekday before it.
        seed: The same seed gives the same prices.
        first: Number of the first series, so that a large universe can be written in batches.
        universe: Library for the stocks.
        macro: Library for a synthetic `SPX`; None for none.

    Raises:
        ValueError: `symbols` or `days` is below 1.
    """
    if symbols < 1 or days < 1:
        raise ValueError(f"symbols and days: expected at least 1, got {symbols} and {days}")
    index = pd.bdate_range(end=pd.Timestamp(end), periods=days, name="date")
    random = np.random.default_rng(seed)
    # A common factor, so that the cross-section has a market in it.
    market = random.normal(0.0003, _DAILY_VOLATILITY / 2, (days, 1))
    own = random.normal(0.0, _DAILY_VOLATILITY, (days, symbols))
    close = _START_PRICE * np.exp(np.cumsum(market + own, axis=0))
    libraries = {universe: {f"SYN{first + place:05}": _frame(index, close[:, place]) for place in range(symbols)}}
    if macro is not None:
        libraries[macro] = {"SPX": _frame(index, _START_PRICE * np.exp(np.cumsum(market[:, 0])))}
    metadata = {"synthetic": True, "seed": seed, "source": "local_aws.prices.write_synthetic"}
    return _write(uri, libraries, metadata, universe)


_REAL = {"synthetic": False, "source": "skfolio.datasets, arch.data"}


def _stocks() -> dict[str, pd.DataFrame]:
    from skfolio.datasets import load_sp500_dataset

    prices = load_sp500_dataset()
    return {str(symbol): _frame(prices.index, prices[symbol]) for symbol in prices.columns}


def _macro() -> dict[str, pd.DataFrame]:
    from arch.data import nasdaq, vix
    from skfolio.datasets import load_sp500_index

    index, composite, volatility = load_sp500_index(), nasdaq.load(), vix.load()
    return {
        "SPX": _frame(index.index, index["SP500"]),
        "NASDAQ": _frame(composite.index, composite["Close"]),
        # It has holidays as gaps.
        "VIX": _frame(volatility.index, volatility["vix"]),
    }


def _frame(days: Any, closes: Any) -> pd.DataFrame:
    index = pd.DatetimeIndex(days).as_unit("ns").rename("date")
    frame = pd.DataFrame({CLOSE: np.asarray(closes, dtype=np.float64)}, index=index)
    return frame.dropna().sort_index()


def _write(
    uri: str, libraries: Mapping[str, Mapping[str, pd.DataFrame]], metadata: Mapping[str, Any], main: str
) -> SeedReport:
    import arcticdb

    report = SeedReport(
        first=min(frame.index[0] for frame in libraries[main].values()).date(),
        last=max(frame.index[-1] for frame in libraries[main].values()).date(),
    )
    arctic = arcticdb.Arctic(uri)
    for name, frames in libraries.items():
        library = arctic.get_library(name, create_if_missing=True)
        stale = _differing(library, frames)
        payloads = [arcticdb.WritePayload(symbol, frames[symbol], metadata=dict(metadata)) for symbol in stale]
        if payloads:
            _raise_first_error(library.write_batch(payloads))
        report.written.extend(f"{name}/{symbol}" for symbol in stale)
        report.unchanged.extend(f"{name}/{symbol}" for symbol in frames if symbol not in set(stale))
        report.symbols[name] = len(library.list_symbols())
    return report


def _differing(library: Any, frames: Mapping[str, pd.DataFrame]) -> list[str]:
    from arcticdb.version_store.library import DataError

    there = list(set(library.list_symbols()).intersection(frames))
    items = zip(there, library.read_batch(there), strict=True) if there else ()
    same = {name for name, item in items if not isinstance(item, DataError) and _equal(item.data, frames[name])}
    return [symbol for symbol in frames if symbol not in same]


def _equal(found: pd.DataFrame, wanted: pd.DataFrame) -> bool:
    # Not DataFrame.equals: it compares the memory layout too, and ArcticDB's differs.
    return (
        list(found.columns) == list(wanted.columns)
        and found.index.equals(wanted.index)
        and bool(np.array_equal(found.to_numpy(), wanted.to_numpy()))
    )


def _raise_first_error(results: list[Any]) -> None:
    """Raise the first error in a batch: ArcticDB returns errors as elements."""
    from arcticdb.version_store.library import DataError

    for result in results:
        if isinstance(result, DataError):
            raise RuntimeError(f"cannot write {result.symbol}: {result.exception_string}")
