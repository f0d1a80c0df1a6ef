from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from predictor.training import diagnostics
from predictor.training.folds import Fold
from predictor.training.panel import Panel
from predictor.training.rows import Rows
from predictor.training.walk_forward import FoldRows, WalkForwardResult

Vector = NDArray[np.float64]
SYMBOLS = 4


def _rows(relative: Vector) -> Rows:
    """Four symbols a day, in order."""
    day = np.repeat(np.arange(len(relative) // SYMBOLS), SYMBOLS)
    symbol = np.tile(np.arange(SYMBOLS), len(relative) // SYMBOLS)
    return Rows(day, symbol, {}, relative, relative, np.abs(relative))


def _panel(days: int) -> Panel:
    first = np.datetime64("2020-01-01")
    return Panel.of(first + np.arange(days), [f"S{n}" for n in range(SYMBOLS)], np.ones((days, SYMBOLS)), {})


def _part(start: int, score: Vector, calibrated: Vector | None = None, **importance: dict[str, float]) -> FoldRows:
    nothing = np.empty((len(score), 0))
    return FoldRows(
        Fold(0, 0, 0, 0, 0),
        start,
        start + len(score),
        {},
        nothing,
        score,
        score if calibrated is None else calibrated,
        importance,
    )


def test_curve_sums_daily_rank_correlations_over_folds() -> None:
    relative = np.tile([1.0, 2.0, 3.0, 4.0], 4)
    right, wrong = np.tile([1.0, 2.0, 3.0, 4.0], 2), np.tile([4.0, 3.0, 2.0, 1.0], 2)

    curve = diagnostics.cumulative_ic(_panel(4), _rows(relative), WalkForwardResult([_part(0, right), _part(8, wrong)]))

    assert [point["date"] for point in curve] == ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"]
    assert [point["value"] for point in curve] == [1, 2, 1, 0]


def test_fold_without_layer_2_is_not_on_the_curve() -> None:
    relative = np.tile([1.0, 2.0, 3.0, 4.0], 2)
    unscored = _part(0, np.full(4, np.nan))

    curve = diagnostics.cumulative_ic(_panel(2), _rows(relative), WalkForwardResult([unscored, _part(4, relative[4:])]))

    assert curve == [{"date": "2020-01-02", "value": 1.0}]
    assert diagnostics.cumulative_ic(_panel(2), _rows(relative), WalkForwardResult([unscored])) == []


def test_long_curve_is_thinned_to_400_points_with_both_ends() -> None:
    days = 1999
    relative = np.tile([1.0, 2.0, 3.0, 4.0], days)

    curve = diagnostics.cumulative_ic(_panel(days), _rows(relative), WalkForwardResult([_part(0, relative)]))

    assert len(curve) == 400
    assert (curve[0]["value"], curve[-1]["value"]) == (1, days)
    assert curve[-1]["date"] == str(_panel(days).days[-1])
    steps = np.diff([point["value"] for point in curve])
    assert steps.max() - steps.min() <= 1


def test_bins_have_mean_forecast_and_mean_label() -> None:
    forecast = np.arange(400.0)
    rows = _rows(2 * forecast + 1)

    bins = diagnostics.calibration(rows, WalkForwardResult([_part(0, forecast)]), 1)

    assert len(bins) == 10
    assert [one["rows"] for one in bins] == [40] * 10
    assert [one["forecast"] for one in bins] == [place * 40 + 19.5 for place in range(10)]
    assert [one["realised"] for one in bins] == [2 * one["forecast"] + 1 for one in bins]
    assert all(one["low"] < one["realised"] < one["high"] for one in bins)


def test_equal_forecasts_share_a_bin() -> None:
    forecast = np.repeat([0.0, 1.0], 20)
    rows = _rows(np.tile([0.5, 1.5], 20))

    bins = diagnostics.calibration(rows, WalkForwardResult([_part(0, forecast)]), 1)

    assert [(one["forecast"], one["realised"], one["rows"]) for one in bins] == [(0, 1, 20), (1, 1, 20)]


def test_folds_without_forecasts_have_no_calibration() -> None:
    result = WalkForwardResult([_part(0, np.full(8, np.nan))])

    assert diagnostics.calibration(_rows(np.zeros(8)), result, 21) == []


def test_interval_of_independent_days_is_the_usual_one() -> None:
    values = np.random.default_rng(1).normal(0, 1, 500)

    low, high = diagnostics.interval(values, np.arange(500), 0)

    assert low is not None and high is not None
    assert (low + high) / 2 == pytest.approx(values.mean())
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / np.sqrt(500), rel=1e-4)


def test_equal_rows_of_one_day_count_once() -> None:
    daily = np.random.default_rng(2).normal(0, 1, 100)
    once = diagnostics.interval(daily, np.arange(100), 5)

    assert diagnostics.interval(np.repeat(daily, 50), np.repeat(np.arange(100), 50), 5) == pytest.approx(once)


def test_interval_covers_the_mean_of_overlapping_labels() -> None:
    random = np.random.default_rng(3)
    horizon, days, tries = 10, 1500, 300
    covered = {lag: 0 for lag in (0, 2 * horizon)}
    for _ in range(tries):
        steps = random.normal(0, 1, days + horizon)
        labels = np.convolve(steps, np.ones(horizon), "valid")[:days]
        for lag in covered:
            low, high = diagnostics.interval(labels, np.arange(days), lag)
            assert low is not None and high is not None
            covered[lag] += low <= 0 <= high

    assert covered[2 * horizon] / tries > 0.9
    # Treated as independent, the coverage is far lower: the test can fail.
    assert covered[0] / tries < 0.6


def test_one_day_has_no_interval() -> None:
    assert diagnostics.interval(np.array([1.0, 2.0]), np.array([3, 3]), 1) == (None, None)


def test_importance_has_mean_and_range_over_the_models_folds() -> None:
    score = np.zeros(4)
    result = WalkForwardResult(
        [
            _part(0, score, volatility={"rv5": 0.25, "rv20": 0.75}),
            _part(4, score, volatility={"rv20": 1.0}, meta={"m5": 1.0}),
        ]
    )

    found = diagnostics.importance(result)

    assert found == [
        {"model": "volatility", "feature": "rv20", "mean": 0.875, "low": 0.75, "high": 1.0, "folds": 2},
        {"model": "volatility", "feature": "rv5", "mean": 0.125, "low": 0.0, "high": 0.25, "folds": 2},
        {"model": "meta", "feature": "m5", "mean": 1.0, "low": 1.0, "high": 1.0, "folds": 1},
    ]


def test_no_folds_give_empty_lists() -> None:
    empty = diagnostics.compute(_panel(1), _rows(np.zeros(4)), WalkForwardResult(), 21)

    assert empty == {"cumulative_ic": [], "calibration": [], "importance": []}
