from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from predictor.training import features
from predictor.training.features import compute


@pytest.mark.parametrize("name", features.ALL)
def test_future_prices_do_not_change_past_features(walks: Any, name: str) -> None:
    closes = walks(400, 4)
    shifted = closes.copy()
    shifted[300:] *= np.random.default_rng(3).uniform(0.5, 2.0, shifted[300:].shape)

    before, after = compute(closes)[name], compute(shifted)[name]

    np.testing.assert_array_equal(before[:300], after[:300])
    assert not np.array_equal(before[300:], after[300:], equal_nan=True)


@pytest.mark.parametrize("name", features.ALL)
def test_features_are_known_once_their_window_is_full(walks: Any, name: str) -> None:
    values = compute(walks(400, 4))[name]

    assert np.isnan(values[0]).all()
    assert np.isfinite(values[252:]).all()


@given(st.integers(2, 398), st.integers(0, 2**32 - 1), st.floats(0, 0.3))
@settings(max_examples=30)
def test_no_change_of_the_future_changes_the_past(day: int, seed: int, missing: float) -> None:
    """Changes of prices, changes of gaps, or no future."""
    random = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(random.normal(0, 0.02, (400, 3)), axis=0))
    closes[random.random(closes.shape) < missing] = np.nan
    changed = closes.copy()
    changed[day:] *= random.uniform(0.1, 10, changed[day:].shape)
    changed[day:][random.random(changed[day:].shape) < missing] = np.nan

    whole, other, cut = compute(closes), compute(changed), compute(closes[:day])

    for name in features.ALL:
        np.testing.assert_array_equal(whole[name][:day], other[name][:day], err_msg=name)
        np.testing.assert_array_equal(whole[name][:day], cut[name], err_msg=name)


def test_symbols_are_independent(walks: Any) -> None:
    closes = walks(120, 3)
    other = closes.copy()
    other[:, 2] = np.nan

    for name, values in compute(closes).items():
        np.testing.assert_array_equal(values[:, :2], compute(other)[name][:, :2])
        assert np.isnan(compute(other)[name][:, 2]).all()


def test_returns_and_averages_match_their_definitions() -> None:
    closes = np.arange(100.0, 400.0)[:, None]

    made = compute(closes)

    assert made["m5"][60, 0] == pytest.approx(160 / 155 - 1)
    assert made["m20"][60, 0] == pytest.approx(160 / 140 - 1)
    assert made["price_vs_ma50"][60, 0] == pytest.approx(160 / np.mean(np.arange(111, 161)) - 1)
    assert made["m12_1"][299, 0] == pytest.approx(378 / 147 - 1)
    log_returns = np.diff(np.log(closes[:, 0]))
    assert made["rv20"][60, 0] == pytest.approx(np.std(log_returns[40:60], ddof=1))
    assert made["largest_move20"][60, 0] == pytest.approx(log_returns[40])
    assert made["downside_rv20"][60, 0] == 0


def test_rsi_of_rising_falling_and_constant_prices() -> None:
    rising, falling, flat = np.arange(100.0, 140.0), np.arange(140.0, 100.0, -1), np.full(40, 100.0)

    rsi = compute(np.column_stack([rising, falling, flat]))["rsi14"]

    assert rsi[-1].tolist() == pytest.approx([100, 0, 50])


def test_rsi_follows_wilders_recursion() -> None:
    closes = np.array([44.0, 44.3, 44.1, 43.6, 44.3, 44.8, 45.1, 45.4, 45.8, 46.1, 45.9, 46.3, 46.2, 46.0, 46.0, 46.4])
    gain = loss = 0.0
    for place, change in enumerate(np.diff(closes)):
        share = 1.0 if place == 0 else 1 / 14
        gain = (1 - share) * gain + share * max(change, 0)
        loss = (1 - share) * loss + share * max(-change, 0)

    assert compute(closes[:, None])["rsi14"][-1, 0] == pytest.approx(100 * gain / (gain + loss))


def test_constant_prices_cause_no_division_by_zero() -> None:
    with np.errstate(all="raise"):
        made = compute(np.full((300, 2), 50.0))

    assert np.isnan(made["rv5_to_rv60"]).all()
    assert (made["rv20"][100:] == 0).all()
