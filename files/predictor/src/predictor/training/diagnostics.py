"""Diagnostics of the walk-forward for people to look at, from out-of-sample rows only; gates do not use them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.config import MODELS
from predictor.training import ic
from predictor.training.panel import Panel
from predictor.training.rows import Rows
from predictor.training.walk_forward import WalkForwardResult

MAX_POINTS = 400
"""Maximum number of points of the curve: about what a page can show."""

MAX_BINS = 10

NORMAL_95 = 1.959963984540054
"""Half the width of a 95 % interval, in standard errors."""

DECIMALS = 6
"""Decimals in the result, as for the folds' ICs."""

Vector = NDArray[np.float64]
Days = NDArray[np.int64]


def compute(panel: Panel, rows: Rows, result: WalkForwardResult, horizon: int) -> dict[str, Any]:
    """All diagnostics of a walk-forward as JSON: the results of the functions below, by name."""
    return {
        "cumulative_ic": cumulative_ic(panel, rows, result),
        "calibration": calibration(rows, result, horizon),
        "importance": importance(result),
    }


def cumulative_ic(panel: Panel, rows: Rows, result: WalkForwardResult) -> list[dict[str, Any]]:
    """The running sum of the daily rank ICs over all scored folds: a steady climb is skill, one jump is luck.

    Returns:
        `{date, value}` in order of time: at most `MAX_POINTS`, evenly spaced, including the first and the last.
    """
    days, values = [], []
    for part in result.parts:
        if np.isfinite(part.score).all():
            day, value = ic.by_day(part.score, rows.relative[part.start : part.stop], rows.day[part.start : part.stop])
            days.append(day)
            values.append(value)
    if not days:
        return []
    day, running = np.concatenate(days), np.cumsum(np.concatenate(values))
    shown = np.unique(np.linspace(0, len(day) - 1, min(len(day), MAX_POINTS)).round().astype(np.int64))
    return [{"date": str(panel.days[day[place]]), "value": round(float(running[place]), DECIMALS)} for place in shown]


def calibration(rows: Rows, result: WalkForwardResult, horizon: int) -> list[dict[str, Any]]:
    """Forecasts against labels: rows binned by forecast, each bin with its mean forecast and mean label.

    Args:
        rows: All rows.
        result: The walk-forward.
        horizon: Horizon of the labels, in trading days.

    Returns:
        `{forecast, realised, low, high, rows}` by ascending forecast, as fractions: at most `MAX_BINS` bins between
        quantiles of the forecast, fewer if many forecasts are equal. `low` and `high` are from `interval`.
    """
    scored = WalkForwardResult([part for part in result.parts if np.isfinite(part.calibrated).all()])
    place = scored.rows()
    if not len(place):
        return []
    forecast = np.concatenate([part.calibrated for part in scored.parts])
    realised, day = rows.relative[place], rows.day[place]
    edges = np.unique(np.quantile(forecast, np.linspace(0, 1, MAX_BINS + 1)[1:-1]))
    # An edge belongs to the bin below it, so that equal forecasts share a bin.
    number = np.searchsorted(edges, forecast, side="left")
    bins = []
    for one in np.unique(number):
        inside = number == one
        low, high = interval(realised[inside], day[inside], horizon - 1)
        bins.append(
            {
                "forecast": round(float(forecast[inside].mean()), DECIMALS),
                "realised": round(float(realised[inside].mean()), DECIMALS),
                "low": None if low is None else round(low, DECIMALS),
                "high": None if high is None else round(high, DECIMALS),
                "rows": int(inside.sum()),
            }
        )
    return bins


def interval(values: Vector, days: Days, lag: int) -> tuple[float | None, float | None]:
    """95 % interval of a mean over rows that are not independent.

    Rows of one day move together and labels of neighbouring days overlap, so the usual standard error would be far too
    small. Instead it is from each day's sum of deviations (`ic.deviation_of_sum`), 0 for a day without rows.

    Args:
        values: Shape (N,), finite.
        days: Shape (N,): index of each row's day.
        lag: Days over which the sums are correlated: the horizon less one.

    Returns:
        Both ends; None for a single day.
    """
    if not len(days) or days.min() == days.max():
        return None, None
    mean = float(values.mean())
    daily = np.bincount(days - days.min(), weights=values - mean).astype(np.float64)
    half = NORMAL_95 * ic.deviation_of_sum(daily, lag) / len(values)
    return mean - half, mean + half


def importance(result: WalkForwardResult) -> list[dict[str, Any]]:
    """The weight of each feature in each model, and its range over the folds.

    Returns:
        `{model, feature, mean, low, high, folds}`: mean, smallest and largest share (0 to 1) over the folds that have
        the model, by layer, then by descending mean. A feature that is absent from a fold has a share of 0 there.
    """
    found = []
    for model in MODELS:
        folds = [part.importance[model] for part in result.parts if part.importance.get(model)]
        features = dict.fromkeys(feature for fold in folds for feature in fold)
        shares = {feature: [fold.get(feature, 0.0) for fold in folds] for feature in features}
        found += [
            {
                "model": model,
                "feature": feature,
                "mean": round(float(np.mean(values)), DECIMALS),
                "low": round(min(values), DECIMALS),
                "high": round(max(values), DECIMALS),
                "folds": len(values),
            }
            for feature, values in sorted(shares.items(), key=lambda pair: (-float(np.mean(pair[1])), pair[0]))
        ]
    return found
