"""Triple-barrier labels compared with fixed-horizon ones on the last out-of-sample days.

A triple-barrier label (M. López de Prado, Advances in Financial Machine Learning, chapter 3) is the return at the
first touch of an upper or lower barrier, or at the horizon. The barriers are the row's 20-day volatility, scaled to the
horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.config import Config
from predictor.training import ic
from predictor.training.rows import Rows
from predictor.training.walk_forward import WalkForwardResult

Vector = NDArray[np.float64]
Wide = NDArray[np.float64]


@dataclass(frozen=True)
class Observation:
    """The comparison.

    Attributes:
        pairs: Number of rows with both labels.
        days: Number of their days.
        barrier_ic: Mean rank IC of the score with the triple-barrier labels.
        fixed_ic: The same with the fixed-horizon labels.
        ratio: `barrier_ic / fixed_ic`; None with too few pairs, or if `fixed_ic` is not positive.
        detail: One line.
    """

    pairs: int
    days: int
    barrier_ic: float | None
    fixed_ic: float | None
    ratio: float | None
    detail: str


def labels(close: Wide, day: NDArray[np.int64], symbol: NDArray[np.int64], width: Vector, horizon: int) -> Vector:
    """Label rows by the barrier they touch first.

    Args:
        close: Closing prices, shape (T, S).
        day: Shape (N,): index of each row's day, at least `horizon` before the last.
        symbol: Shape (N,): index of its symbol.
        width: Shape (N,): distance of both barriers from the price, as a fraction.
        horizon: Days until the third barrier.

    Returns:
        Shape (N,): return at the first touch, NaN if the path has a gap before it.
    """
    start = close[day, symbol]
    result = np.full(len(day), np.nan)
    open_rows = np.ones(len(day), dtype=bool)
    for ahead in range(1, horizon + 1):
        move = close[day + ahead, symbol] / start - 1
        ends = open_rows & ((np.abs(move) >= width) | np.isnan(move) | (ahead == horizon))
        result[ends] = move[ends]
        open_rows &= ~ends
    return result


def observe(close: Wide, rows: Rows, result: WalkForwardResult, config: Config) -> Observation:
    """Compare both kinds of labels on the last out-of-sample days; `close` has the shape (T, S)."""
    settings, horizon = config.gates.triple_barrier, config.labels.horizon
    if not result.parts:
        return Observation(0, 0, None, None, None, "no out-of-sample rows")
    place = result.rows()
    score = np.concatenate([part.score for part in result.parts])
    first_day = rows.day[place].max() - settings.days + 1
    width = rows.features["rv20"][place] * np.sqrt(horizon)
    chosen = (rows.day[place] >= first_day) & np.isfinite(score) & (width > 0)
    place, score, width = place[chosen], score[chosen], width[chosen]
    day = rows.day[place]
    touched = labels(close, day, rows.symbol[place], width, horizon)
    both = np.isfinite(touched)
    pairs, days = int(both.sum()), len(np.unique(day[both]))
    if pairs < settings.min_pairs:
        detail = f"not judged: {pairs} pairs, {settings.min_pairs} needed"
        return Observation(pairs, days, None, None, None, detail)
    barrier_ic = ic.mean(score[both], touched[both], day[both])
    fixed_ic = ic.mean(score[both], rows.forward[place][both], day[both])
    if barrier_ic is None or fixed_ic is None or fixed_ic <= 0:
        return Observation(
            pairs, days, barrier_ic, fixed_ic, None, "no ratio: the IC with fixed labels is not positive"
        )
    detail = f"IC {barrier_ic:+.4f} with triple-barrier labels, {fixed_ic:+.4f} with fixed ones, {pairs} pairs"
    return Observation(pairs, days, barrier_ic, fixed_ic, barrier_ic / fixed_ic, detail)
