"""Wide arrays made long: one row a day and symbol that can be learned from, ordered by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.training.labels import Labels

Vector = NDArray[np.float64]
"""Shape (N,): one value a row."""

Wide = NDArray[np.float64]
"""Shape (T, S): days x symbols."""


@dataclass(frozen=True)
class Rows:
    """The N rows that have a label and at least a 5-day return.

    Attributes:
        day: Shape (N,), ascending: index of the row's day in the panel.
        symbol: Shape (N,): index of its symbol.
        features: Shape (N,) for each feature; NaN where its window was not full.
        forward: Forward return (`labels.Labels`).
        relative: Forward return relative to the day's mean.
        move: Absolute forward return.
    """

    day: NDArray[np.int64]
    symbol: NDArray[np.int64]
    features: dict[str, Vector]
    forward: Vector
    relative: Vector
    move: Vector

    def __len__(self) -> int:
        """N."""
        return len(self.day)

    def matrix(self, names: Sequence[str], start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
        """Features side by side.

        Args:
            names: Which, in this order.
            start: First row.
            stop: Row after the last.

        Returns:
            Shape (stop - start, len(names)).
        """
        return np.column_stack([self.features[name][start:stop] for name in names])

    def first_row(self, day: int) -> int:
        """The first row of a day or, if it has none, of the next."""
        return int(np.searchsorted(self.day, day, side="left"))


def build(features: dict[str, Wide], labels: Labels) -> Rows:
    """Pick the rows that can be learned from.

    Args:
        features: Wide features (`features.compute`), and any others of that shape.
        labels: Wide labels.

    Returns:
        The rows.
    """
    usable = np.isfinite(labels.relative) & np.isfinite(features["m5"])
    day, symbol = np.nonzero(usable)
    return Rows(
        day,
        symbol,
        {name: values[usable] for name, values in features.items()},
        labels.forward[usable],
        labels.relative[usable],
        labels.move[usable],
    )
