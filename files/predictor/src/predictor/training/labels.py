"""What is predicted: the forward return."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.float64]
"""Shape (T, S): days x symbols."""


@dataclass(frozen=True)
class Labels:
    """Labels of every row, shape (T, S); NaN where the horizon reaches past the data.

    Attributes:
        forward: Return from the row's close to the close `horizon` days on, clipped.
        relative: The same less the mean over the symbols of that day, clipped: what is ranked, and so what layer 2
            learns. The market's own move, the same for all, is no part of it.
        move: Absolute value of `forward`: what the volatility model learns.
    """

    forward: Wide
    relative: Wide
    move: Wide


def compute(close: Wide, horizon: int, clip: float) -> Labels:
    """Compute the labels for the whole panel.

    Args:
        close: Closing prices, shape (T, S).
        horizon: Trading days ahead.
        clip: Bound on both sides, as a fraction.

    Returns:
        The labels.
    """
    forward = np.full_like(close, np.nan)
    forward[:-horizon] = close[horizon:] / close[:-horizon] - 1
    known = np.isfinite(forward)
    counts = known.sum(axis=1, keepdims=True)
    sums = np.where(known, forward, 0).sum(axis=1, keepdims=True)
    # The mean of no symbol, or the distance of one symbol from itself, says nothing.
    mean = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 1)
    clipped = np.clip(forward, -clip, clip)
    return Labels(clipped, np.clip(forward - mean, -clip, clip), np.abs(clipped))
