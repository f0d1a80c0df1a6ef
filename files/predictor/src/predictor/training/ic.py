"""Information coefficient: how well scores order the symbols of a day."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MIN_SYMBOLS = 3
"""Days with fewer rows have no coefficient: two points always correlate perfectly."""

Vector = NDArray[np.float64]


def ranks(values: Vector, groups: NDArray[np.int64]) -> Vector:
    """Rank within each group, ties sharing their mean rank.

    Args:
        values: Shape (N,), finite.
        groups: Shape (N,), ascending: the day of each row.

    Returns:
        Shape (N,): 0 to n-1 in a group of n.
    """
    order = np.lexsort((values, groups))
    sorted_groups, sorted_values = groups[order], values[order]
    position = np.arange(len(values), dtype=np.float64)
    new_group = np.diff(sorted_groups, prepend=sorted_groups[:1] - 1) != 0
    new_tie = new_group | (np.diff(sorted_values, prepend=np.nan) != 0)
    tie = np.cumsum(new_tie) - 1
    group = np.cumsum(new_group) - 1
    mean_position = np.bincount(tie, weights=position) / np.bincount(tie)
    result = np.empty(len(values))
    result[order] = mean_position[tie] - position[new_group][group]
    return result


def centred_ranks(values: Vector, groups: NDArray[np.int64]) -> Vector:
    """Ranks within each day, from -0.5 to 0.5; a missing value gets the middle.

    Args:
        values: Shape (N,), NaN where unknown.
        groups: Shape (N,), ascending.

    Returns:
        Shape (N,): comparable between days, whatever the level of the day.
    """
    known = np.isfinite(values)
    result = np.zeros(len(values))
    if not known.any():
        return result
    inside = groups[known]
    _, group, counts = np.unique(inside, return_inverse=True, return_counts=True)
    # A group of one has rank 0 of 0: it sits in the middle.
    span = np.maximum(counts[group] - 1, 1)
    result[known] = np.where(counts[group] > 1, ranks(values[known], inside) / span - 0.5, 0.0)
    return result


def by_day(scores: Vector, labels: Vector, days: NDArray[np.int64]) -> tuple[NDArray[np.int64], Vector]:
    """Spearman's rank correlation of scores and labels on each day.

    Args:
        scores: Shape (N,), finite.
        labels: Shape (N,), finite.
        days: Shape (N,), ascending.

    Returns:
        The days that have a coefficient, and it: at least `MIN_SYMBOLS` rows, and neither side all equal.
    """
    if not len(days):
        return np.array([], dtype=np.int64), np.array([])
    unique, group, counts = np.unique(days, return_inverse=True, return_counts=True)
    middle = (counts[group] - 1) / 2
    a, b = ranks(scores, days) - middle, ranks(labels, days) - middle
    covariance = np.bincount(group, weights=a * b)
    spread = np.sqrt(np.bincount(group, weights=a * a) * np.bincount(group, weights=b * b))
    usable = (counts >= MIN_SYMBOLS) & (spread > 0)
    return unique[usable], covariance[usable] / spread[usable]


def mean(scores: Vector, labels: Vector, days: NDArray[np.int64]) -> float | None:
    """Mean of `by_day`, None if no day has a coefficient."""
    _, values = by_day(scores, labels, days)
    return float(values.mean()) if len(values) else None


def pearson(a: Vector, b: Vector) -> float:
    """Pearson correlation over all rows, 0 where one side does not vary."""
    if len(a) < 2 or a.std() < 1e-12 or b.std() < 1e-12:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
