"""The labels: forward returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.training.panel import LONGEST_PAUSE

Wide = NDArray[np.float64]
"""Shape (T, S): days x symbols."""


@dataclass(frozen=True)
class Labels:
    """Labels of every row, shape (T, S); NaN where the horizon exceeds the data.

    Attributes:
        forward: Return from the row's close to the close `horizon` days later, clipped.
        relative: The return less that day's mean over the symbols, clipped: the target of layer 2, which ranks symbols
            and so ignores the market's move.
        move: Absolute value of `forward`: the target of the volatility model.
    """

    forward: Wide
    relative: Wide
    move: Wide


def compute(close: Wide, horizon: int, clip: float, position: NDArray[np.int64] | None = None) -> Labels:
    """Compute the labels for the whole panel.

    Args:
        close: Closing prices, shape (T, S).
        horizon: Trading days ahead.
        clip: Bound on both sides, as a fraction.
        position: Shape (T,): index of each day among the sessions, if days may be missing (`Panel.position`). A label
            that would reach over more than `LONGEST_PAUSE` missing sessions is NaN.
    """
    forward = np.full_like(close, np.nan)
    forward[:-horizon] = close[horizon:] / close[:-horizon] - 1
    if position is not None:
        forward[:-horizon][position[horizon:] - position[:-horizon] > horizon + LONGEST_PAUSE] = np.nan
    known = np.isfinite(forward)
    counts = known.sum(axis=1, keepdims=True)
    sums = np.where(known, forward, 0).sum(axis=1, keepdims=True)
    # A single symbol has no meaningful distance from the mean.
    mean = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 1)
    clipped = np.clip(forward, -clip, clip)
    return Labels(clipped, np.clip(forward - mean, -clip, clip), np.abs(clipped))
