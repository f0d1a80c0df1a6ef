"""Features of a day from the closing prices up to that day.

A window runs over a symbol's own bars and ends on the row's own day: nothing looks ahead. An incomplete window gives
NaN.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.exchange import Days
from predictor.training.panel import Panel

Wide = NDArray[np.float64]
"""Shape (T, S): days x symbols."""

NEUTRAL_RSI = 50.0

SHORTEST_PIECE = 6
"""Bars that a 5-day return needs, which every row has."""

TOGETHER = 256
"""Series whose features are computed at once, which limits the memory."""

MOMENTUM = ("m5", "m20", "price_vs_ma50", "rsi14")
"""Inputs of the momentum score."""

VOLATILITY = ("rv5", "rv20", "rv60", "rv5_to_rv60", "downside_rv20", "largest_move20")
"""Inputs of the volatility model."""

META = ("m5", "m20", "price_vs_ma50", "rsi14", "m12_1", "rv20")
"""Inputs of the meta-model in addition to the outputs of layer 1."""

ALL = tuple(dict.fromkeys((*MOMENTUM, *VOLATILITY, *META)))


def of_panel(panel: Panel) -> dict[str, Wide]:
    """Compute every feature over each symbol's own bars.

    Returns:
        For each name of `ALL` an array of the shape of `panel.close`, NaN on a common day without a bar.
    """
    features = {name: np.full(panel.close.shape, np.nan) for name in ALL}
    # Pieces of similar length in one array, so that the padding stays small.
    alike: dict[int, list[tuple[int, Days, Wide]]] = defaultdict(list)
    for place, symbol in enumerate(panel.symbols):
        days, values = panel.bars[symbol].days, panel.bars[symbol].values
        cuts = panel.pauses.get(symbol, np.array([], dtype=np.int64))
        for piece_days, piece in zip(np.split(days, cuts), np.split(values, cuts), strict=True):
            if len(piece) >= SHORTEST_PIECE:
                alike[len(piece).bit_length()].append((place, piece_days, piece))
    for pieces in alike.values():
        for start in range(0, len(pieces), TOGETHER):
            batch = pieces[start : start + TOGETHER]
            close = np.full((max(len(piece) for _, _, piece in batch), len(batch)), np.nan)
            for column, (_, _, piece) in enumerate(batch):
                close[: len(piece), column] = piece
            computed = compute(close)
            for column, (place, days, _) in enumerate(batch):
                _, common, own = np.intersect1d(panel.days, days, assume_unique=True, return_indices=True)
                for name in ALL:
                    features[name][common, place] = computed[name][own, column]
    return features


def compute(close: Wide) -> dict[str, Wide]:
    """Compute every feature of series of bars.

    Args:
        close: Closing prices, shape (bars, series), NaN where unknown.

    Returns:
        For each name of `ALL` an array of the same shape:

        - `m5`, `m20`: return over 5 and 20 days.
        - `price_vs_ma50`: close over its mean of 50 days, less 1.
        - `rsi14`: relative strength index, 0 to 100, with J. W. Wilder's smoothing (factor 1/14).
        - `m12_1`: return from 252 to 21 days ago (twelve-month momentum without the last month).
        - `rv5`, `rv20`, `rv60`: standard deviation of daily log returns.
        - `rv5_to_rv60`: `rv5 / rv60`.
        - `downside_rv20`: root of the mean square of the negative daily log returns.
        - `largest_move20`: largest absolute daily log return.
    """
    prices = pd.DataFrame(close)
    log_returns = pd.DataFrame(np.diff(np.log(close), axis=0, prepend=np.nan))
    rv5, rv60 = log_returns.rolling(5).std(), log_returns.rolling(60).std()
    made: dict[str, Callable[[], pd.DataFrame]] = {
        "m5": lambda: prices / prices.shift(5) - 1,
        "m20": lambda: prices / prices.shift(20) - 1,
        "price_vs_ma50": lambda: prices / prices.rolling(50).mean() - 1,
        "rsi14": lambda: _rsi(prices, 14),
        "m12_1": lambda: prices.shift(21) / prices.shift(252) - 1,
        "rv5": lambda: rv5,
        "rv20": lambda: log_returns.rolling(20).std(),
        "rv60": lambda: rv60,
        # A price that has not moved for 60 days has no ratio.
        "rv5_to_rv60": lambda: rv5 / rv60.where(rv60 > 0),
        "downside_rv20": lambda: (log_returns.clip(upper=0) ** 2).rolling(20).mean().clip(lower=0) ** 0.5,
        "largest_move20": lambda: log_returns.abs().rolling(20).max(),
    }
    return {name: made[name]().to_numpy(dtype=np.float64) for name in ALL}


def _rsi(prices: pd.DataFrame, days: int) -> pd.DataFrame:
    """100 * gains / (gains + losses), each an exponential mean with factor 1/days; 50 without moves."""
    change = prices.diff()
    gain, loss = (
        part.ewm(alpha=1 / days, adjust=False, min_periods=days).mean()
        for part in (change.clip(lower=0), -change.clip(upper=0))
    )
    total = gain + loss
    # The exponential mean continues over missing prices; the index must not.
    return (100 * gain / total.where(total > 0)).where(total != 0, NEUTRAL_RSI).where(prices.notna() & total.notna())
