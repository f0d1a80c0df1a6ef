"""The walk-forward finds nothing in noise, detects leaks, and recovers a planted signal.

The labels are sums over the horizon of random daily returns, independent of prices and features, so that the labels of
neighbouring days overlap as real ones do. Two research columns are the numbers of the stock and the day, so that trees
can memorise which stock did well lately. Without a purge, or with training rows among the test rows, these labels have
a large IC, although they cannot be forecast.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from predictor.config import Config
from predictor.training import features, folds, ic, labels, rows
from predictor.training.labels import Labels
from predictor.training.layer1 import Layer1
from predictor.training.rows import Rows
from predictor.training.walk_forward import WalkForward, WalkForwardResult

Wide = NDArray[np.float64]

HORIZON, SYMBOLS, DAYS = 10, 40, 300
COLUMNS = ["research.stock", "research.day", "research.view"]
SEEDS = (1, 2, 3)


@pytest.fixture
def noisy(config: Config) -> Config:
    """Short test windows, whose labels mostly overlap with unpurged training rows, and trees that memorise."""
    return replace(
        config,
        labels=replace(config.labels, horizon=HORIZON),
        walk_forward=replace(
            config.walk_forward, min_train_days=60, test_days=10, purge_days=HORIZON, min_train_rows=100
        ),
        lightgbm=replace(config.lightgbm, trees=30, leaves=63, min_rows_in_leaf=3, learning_rate=0.3),
        # A model this small is not faster on two threads, and much slower on a busy machine.
        run=replace(config.run, threads=1),
    )


def _noise_labels(random: np.random.Generator) -> Labels:
    daily = random.normal(0, 0.02, (DAYS, SYMBOLS))
    ahead = np.vstack([np.zeros((1, SYMBOLS)), np.cumsum(daily, axis=0)])
    forward = np.full((DAYS, SYMBOLS), np.nan)
    forward[:-HORIZON] = ahead[1 + HORIZON :] - ahead[1:-HORIZON]
    return Labels(forward, forward - forward.mean(axis=1, keepdims=True), np.abs(forward))


def _noise(walks: Callable[..., Wide], seed: int, peek: float = 0.0) -> Rows:
    """Rows with random labels; one column is noise plus `peek` times the normalised label."""
    random = np.random.default_rng(seed)
    made = _noise_labels(random)
    shape = (DAYS, SYMBOLS)
    view = random.normal(0, 1, shape)
    if peek:
        view += peek * made.relative / made.relative[:-HORIZON].std()
    stock, day = np.meshgrid(np.arange(SYMBOLS, dtype=float), np.arange(DAYS, dtype=float))
    computed = {
        **features.compute(walks(*shape, seed=seed + 100)),
        **dict(zip(COLUMNS, (stock, day, view), strict=True)),
    }
    return rows.build(computed, made, [features.VOLATILITY, COLUMNS])


def _run(data: Rows, config: Config) -> WalkForwardResult:
    plan = folds.split(DAYS - HORIZON, config.walk_forward)
    return WalkForward(data, COLUMNS, config).run(plan, lambda done: None)


def _finds_something(data: Rows, config: Config) -> bool:
    """Whether the interval of the median IC excludes 0."""
    result = _run(data, config)
    interval = ic.median_interval(result.ics())
    assert interval is not None
    assert len(result.ics()) > 15
    return not interval[0] <= 0 <= interval[1]


def test_noise_has_no_ic(walks: Any, noisy: Config) -> None:
    # A 95 % interval misses once in twenty; the three seeds were not selected.
    assert not any(_finds_something(_noise(walks, seed), noisy) for seed in SEEDS)


def test_missing_purge_is_detected(walks: Any, noisy: Config) -> None:
    # `parse` would refuse a purge below the horizon.
    leaking = replace(noisy, walk_forward=replace(noisy.walk_forward, purge_days=0))

    assert all(_finds_something(_noise(walks, seed), leaking) for seed in SEEDS)


def test_feature_that_contains_the_label_is_detected(walks: Any, noisy: Config) -> None:
    assert all(_finds_something(_noise(walks, seed, peek=1.0), noisy) for seed in SEEDS)


def test_in_sample_layer_1_output_is_detected(walks: Any, noisy: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layer 1 of every fold is fitted on the rows that layer 2 is fitted and tested on."""
    original = Layer1.fit

    def on_all_rows(data: Rows, stop: int, columns: list[str], config: Config) -> Layer1:
        return original(data, len(data), columns, config)

    monkeypatch.setattr(Layer1, "fit", on_all_rows)

    assert all(_finds_something(_noise(walks, seed), noisy) for seed in SEEDS)


def test_in_sample_meta_model_is_detected(walks: Any, noisy: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    original = WalkForward._score

    def peeking(self: WalkForward, fold: Any, start: int, stop: int, outputs: Any, inputs: Any, earlier: Any) -> Any:
        own, _ = original(self, fold, start, stop, outputs, inputs, [])
        model = self._fit_meta([own], stop)
        score = model.score(inputs)
        return replace(own, score=score, calibrated=model.calibrate(score)), ""

    monkeypatch.setattr(WalkForward, "_score", peeking)

    assert all(_finds_something(_noise(walks, seed), noisy) for seed in SEEDS)


def test_planted_signal_is_recovered_within_0_02(walks: Any, config: Config) -> None:
    """For jointly normal label and column, Spearman's coefficient is 6/pi asin(r/2) (K. Pearson, 1907)."""
    correlation, days, symbols = 0.15, 900, 40
    expected = 6 / math.pi * math.asin(correlation / 2)
    random = np.random.default_rng(6)
    column = random.normal(size=(days, symbols))
    label = 0.05 * (correlation * column + math.sqrt(1 - correlation**2) * random.normal(size=(days, symbols)))
    label[-HORIZON:] = np.nan
    computed = {**features.compute(walks(days, symbols, seed=7)), "research.view": column}
    data = rows.build(computed, Labels(label, label, np.abs(label)), [["research.view"]])
    plan = folds.split(days - HORIZON, config.walk_forward)

    result = WalkForward(data, ["research.view"], config).run(plan, lambda done: None)

    assert len(result.ics()) >= 10
    assert np.median(result.ics()) == pytest.approx(expected, abs=0.02)
    # Each fold has its own interval; most of them cover the true value.
    within = [fold["ic_low"] <= expected <= fold["ic_high"] for fold in result.folds]
    assert np.mean(within) >= 0.8
    low, high = ic.median_interval(result.ics()) or (0.0, 0.0)
    assert 0 < low < high


def test_features_and_label_share_only_the_days_price(walks: Any) -> None:
    """Later prices do not change a feature, and earlier prices do not change the label."""
    closes = walks(400, 4)
    day = 300
    earlier, later = closes.copy(), closes.copy()
    earlier[:day] *= np.random.default_rng(1).uniform(0.5, 2, earlier[:day].shape)
    later[day + 1 :] *= np.random.default_rng(2).uniform(0.5, 2, later[day + 1 :].shape)

    before, after = (labels.compute(some, HORIZON, 0.25).forward[day] for some in (closes, earlier))

    np.testing.assert_array_equal(before, after)
    for name, values in features.compute(closes).items():
        np.testing.assert_array_equal(values[day], features.compute(later)[name][day])
