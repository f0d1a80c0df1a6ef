"""Information coefficient: how well scores order the symbols of a day."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MIN_SYMBOLS = 3
"""Minimum number of rows of a day for a coefficient: two points always correlate perfectly."""

Vector = NDArray[np.float64]


def ranks(values: Vector, groups: NDArray[np.int64]) -> Vector:
    """Rank within each group; ties share their mean rank.

    Args:
        values: Shape (N,), finite.
        groups: Shape (N,), ascending: the day of each row.

    Returns:
        Shape (N,): 0 to n-1 in a group of n.
    """
    if not len(values):
        return np.empty(0)
    # One line per group, padded with infinity: sorting many short lines is faster than one long one.
    _, sizes = _groups(groups)
    position = np.arange(sizes.max())
    inside = position < sizes[:, None]
    lines = np.full(inside.shape, np.inf)
    lines[inside] = values
    order = np.argsort(lines, axis=1)
    lines = np.take_along_axis(lines, order, axis=1)
    differs = lines[:, 1:] != lines[:, :-1]
    edge = np.ones((len(lines), 1), dtype=bool)
    # A tie extends from the last position that differs from its predecessor to the first that differs from the next.
    first = np.maximum.accumulate(np.where(np.hstack([edge, differs]), position, 0), axis=1)
    last = np.where(np.hstack([differs, edge]), position, len(position))
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    np.put_along_axis(lines, order, (first + last) / 2, axis=1)
    result: Vector = lines[inside]
    return result


def _groups(groups: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The start and size of each group; `groups` is ascending and not empty."""
    first = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    return first, np.diff(first, append=len(groups))


def centred_ranks(values: Vector, groups: NDArray[np.int64]) -> Vector:
    """Ranks within each day, from -0.5 to 0.5, comparable between days; 0 for a missing value.

    Args:
        values: Shape (N,), NaN where unknown.
        groups: Shape (N,), ascending.

    Returns:
        Shape (N,).
    """
    known = np.isfinite(values)
    result = np.zeros(len(values))
    if not known.any():
        return result
    inside = groups[known]
    _, sizes = _groups(inside)
    # A group of one is in the middle.
    size = np.repeat(sizes, sizes)
    result[known] = np.where(size > 1, ranks(values[known], inside) / np.maximum(size - 1, 1) - 0.5, 0.0)
    return result


def by_day(scores: Vector, labels: Vector, days: NDArray[np.int64]) -> tuple[NDArray[np.int64], Vector]:
    """Spearman's rank correlation of scores and labels on each day.

    Args:
        scores: Shape (N,), finite.
        labels: Shape (N,), finite.
        days: Shape (N,), ascending.

    Returns:
        The days that have a coefficient, and the coefficients. Such a day has at least `MIN_SYMBOLS` rows, and neither
        its scores nor its labels are all equal.
    """
    if not len(days):
        return np.array([], dtype=np.int64), np.array([])
    first, sizes = _groups(days)
    middle = np.repeat((sizes - 1) / 2, sizes)
    a, b = ranks(scores, days) - middle, ranks(labels, days) - middle
    covariance = np.add.reduceat(a * b, first)
    spread = np.sqrt(np.add.reduceat(a * a, first) * np.add.reduceat(b * b, first))
    usable = (sizes >= MIN_SYMBOLS) & (spread > 0)
    return days[first][usable], covariance[usable] / spread[usable]


def mean(scores: Vector, labels: Vector, days: NDArray[np.int64]) -> float | None:
    """Mean of `by_day`, None if no day has a coefficient."""
    _, values = by_day(scores, labels, days)
    return float(values.mean()) if len(values) else None


def interval(values: Vector, lag: int) -> tuple[float, float]:
    """95 % interval of the mean of an autocorrelated series.

    Unless the lag is a small share of the series, 1.96 standard errors are too few; the factor is from N. M. Kiefer and
    T. J. Vogelsang, "A New Asymptotic Theory for Heteroskedasticity-Autocorrelation Robust Tests", Econometric Theory
    21 (2005), pages 1130-1164, table 1 (Bartlett, 97.5 %). The weights of `deviation_of_sum` still underestimate the
    correlation of labels that overlap by `lag` days: with 21 days, the interval covers the mean in 88 % of cases over
    126 days and in 81 % over 60.

    Args:
        values: Shape (N,), N > 0: daily coefficients, in order.
        lag: Distance in days up to which they correlate.

    Returns:
        Both ends, within -1 and 1; for a single day, -1 and 1.
    """
    days, middle = len(values), float(values.mean())
    if days == 1:
        return -1.0, 1.0
    lag = min(lag, days - 1)
    share = (lag + 1) / days
    factor = 1.96 + 2.9694 * share + 0.4160 * share**2 - 0.5324 * share**3
    half = factor * deviation_of_sum(values - middle, lag) / days
    return max(middle - half, -1.0), min(middle + half, 1.0)


def deviation_of_sum(values: Vector, lag: int) -> float:
    """Standard deviation of the sum of autocorrelated values with mean 0.

    With weights `1 - l / (lag + 1)`, after W. K. Newey and K. D. West, "A Simple, Positive Semi-definite,
    Heteroskedasticity and Autocorrelation Consistent Covariance Matrix", Econometrica 55 (1987), pages 703-708.
    """
    distances = np.arange(1, min(lag, len(values) - 1) + 1)
    covariances = np.array([values[distance:] @ values[:-distance] for distance in distances])
    variance = values @ values + 2 * (1 - distances / (lag + 1)) @ covariances
    return float(np.sqrt(max(variance, 0.0)))  # only rounding makes it negative


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Distribution-free 95 % interval of the median, between two order statistics.

    The k-th smallest and the k-th largest of N independent values enclose the median unless fewer than k of them fall
    on one side of it, which has the binomial probability P(B(N, 1/2) < k) for each side. See W. J. Conover, Practical
    Nonparametric Statistics, 3rd edition (1999), section 3.2.

    Args:
        values: One per fold, in any order.

    Returns:
        Both ends, for the largest k that excludes at most 2.5 % on each side; None for fewer than 6 values.
    """
    count = len(values)
    left_out, place = 0.0, -1
    while (left_out := left_out + math.comb(count, place + 1) / 2**count) <= 0.025:
        place += 1
    if place < 0:
        return None
    ordered = sorted(values)
    return ordered[place], ordered[count - 1 - place]


def pearson(a: Vector, b: Vector) -> float:
    """Pearson correlation, 0 if one side does not vary."""
    if len(a) < 2 or a.std() < 1e-12 or b.std() < 1e-12:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
