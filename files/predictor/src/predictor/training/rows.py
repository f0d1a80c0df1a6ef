"""Wide arrays made long: one row per day and symbol, ordered by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from predictor.errors import TrainingError
from predictor.training.labels import Labels

Vector = NDArray[np.float64]
"""Shape (N,): one value per row."""

Wide = NDArray[np.float64]
"""Shape (T, S): days x symbols."""

Matrix = NDArray[np.float64]
"""Shape (N, F): one column per feature."""

CONSTANT = 1e-12
"""Labels that differ by less are equal up to rounding."""


@dataclass(frozen=True)
class Rows:
    """The N rows that have a label and at least a 5-day return.

    Attributes:
        day: Shape (N,), ascending: index of the row's day in the panel.
        symbol: Shape (N,): index of its symbol.
        features: Shape (N,) for each feature; NaN where its window is incomplete.
        forward: Forward return (`labels.Labels`).
        relative: Forward return relative to the day's mean.
        move: Absolute forward return.
        blocks: Features that a model uses together, by their names. Their columns of `features` are views of one
            C-ordered matrix, so that a fold's rows are a slice and not a copy.
    """

    day: NDArray[np.int64]
    symbol: NDArray[np.int64]
    features: dict[str, Vector]
    forward: Vector
    relative: Vector
    move: Vector
    blocks: dict[tuple[str, ...], Matrix] = field(default_factory=dict)

    def __len__(self) -> int:
        """N."""
        return len(self.day)

    def matrix(self, names: Sequence[str], start: int = 0, stop: int | None = None) -> Matrix:
        """Features side by side, shape (stop - start, len(names)); read-only, as it may be a view."""
        block = self.blocks.get(tuple(names))
        if block is not None:
            return block[start:stop]
        return np.column_stack([self.features[name][start:stop] for name in names])

    def first_row(self, day: int) -> int:
        """The first row of a day or of the next day that has rows."""
        return int(np.searchsorted(self.day, day, side="left"))


def build(features: dict[str, Wide], labels: Labels, together: Sequence[Sequence[str]] = ()) -> Rows:
    """Select the rows that have a label and a 5-day return.

    Args:
        features: Wide features (`features.compute`), and any others of that shape.
        labels: Wide labels.
        together: Disjoint groups of features that a model uses together (`Rows.blocks`).
    """
    usable = np.isfinite(labels.relative) & np.isfinite(features["m5"])
    day, symbol = np.nonzero(usable)
    blocks = {tuple(names): np.empty((len(day), len(names))) for names in together if names}
    columns = {name: block[:, place] for names, block in blocks.items() for place, name in enumerate(names)}
    long: dict[str, Vector] = {}
    for name, values in features.items():
        if name in columns:
            columns[name][:] = values[usable]
            long[name] = columns[name]
        else:
            long[name] = values[usable]
    return Rows(day, symbol, long, labels.forward[usable], labels.relative[usable], labels.move[usable], blocks)


def check(rows: Rows) -> None:
    """Refuse rows that cannot be trained on.

    Raises:
        TrainingError: There are no rows, all labels are equal, or features have no values; the text names them.
    """
    if not len(rows):
        raise TrainingError("no day has two symbols with a label and a 5-day return: no ranking can be learned")
    if np.ptp(rows.relative) < CONSTANT:
        raise TrainingError(
            f"the labels are constant: on each day, all symbols have the same forward return ({len(rows)} rows), so no "
            "ranking can be learned"
        )
    empty = [name for name, values in rows.features.items() if not np.isfinite(values).any()]
    if empty:
        raise TrainingError(f"none of {len(rows)} rows has a value for {', '.join(empty)}")
