from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from predictor.training import ic
from scipy import stats

ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 3), st.integers(-3, 3)), max_size=40)


def _columns(rows: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    made = np.array(sorted(rows), dtype=float).reshape(-1, 3)
    return made[:, 0].astype(np.int64), made[:, 1], made[:, 2]


@given(ROWS)
def test_ranks_equal_scipys_within_each_day(rows: list[tuple[int, int, int]]) -> None:
    days, values, _ = _columns(rows)

    found = ic.ranks(values, days)

    for day in set(days.tolist()):
        np.testing.assert_allclose(found[days == day], stats.rankdata(values[days == day]) - 1)


@given(ROWS)
def test_daily_coefficients_equal_scipys(rows: list[tuple[int, int, int]]) -> None:
    days, scores, labels = _columns(rows)
    expected = {
        day: float(stats.spearmanr(scores[days == day], labels[days == day]).statistic)
        for day in sorted(set(days.tolist()))
        if (days == day).sum() >= ic.MIN_SYMBOLS
        and len(set(scores[days == day])) > 1
        and len(set(labels[days == day])) > 1
    }

    found_days, found = ic.by_day(scores, labels, days)

    assert found_days.tolist() == list(expected)
    np.testing.assert_allclose(found, list(expected.values()), atol=1e-12)


def test_mean_without_coefficients_is_none() -> None:
    days = np.zeros(5, dtype=np.int64)

    assert ic.mean(np.ones(5), np.arange(5.0), days) is None
    assert ic.mean(np.array([]), np.array([]), np.array([], dtype=np.int64)) is None


def test_centred_ranks_put_unknown_values_in_the_middle() -> None:
    days = np.array([0, 0, 0, 0, 1, 2, 2])
    values = np.array([5.0, np.nan, 1.0, 3.0, 9.0, np.nan, np.nan])

    assert ic.centred_ranks(values, days).tolist() == [0.5, 0.0, -0.5, 0.0, 0.0, 0.0, 0.0]


def test_pearson_of_a_constant_is_0() -> None:
    assert ic.pearson(np.ones(9), np.arange(9.0)) == 0.0
    assert ic.pearson(np.arange(9.0), np.arange(9.0) * 2) == pytest.approx(1.0)


def test_interval_of_a_mean_matches_newey_west() -> None:
    values = np.array([0.1, 0.3, -0.2, 0.05, 0.2])
    away = values - values.mean()
    covariance = [sum(away[t] * away[t - lag] for t in range(lag, 5)) / 5 for lag in range(3)]
    variance = (covariance[0] + 2 * (2 / 3 * covariance[1] + 1 / 3 * covariance[2])) / 5
    factor = 1.96 + 2.9694 * 0.6 + 0.4160 * 0.6**2 - 0.5324 * 0.6**3

    low, high = ic.interval(values, lag=2)

    assert (high + low) / 2 == pytest.approx(values.mean())
    assert (high - low) / 2 == pytest.approx(factor * np.sqrt(variance))


@pytest.mark.parametrize(("days", "share", "with_196"), [(60, 0.81, 0.65), (126, 0.88, 0.80), (500, 0.89, 0.87)])
def test_interval_coverage_with_21_overlapping_days(days: int, share: float, with_196: float) -> None:
    """Less than 95 %, since the weights underestimate the correlation of distant days; the docstring says so."""
    random = np.random.default_rng(days)
    sums = np.cumsum(np.pad(random.normal(0, 0.3, (2000, days + 20)), ((0, 0), (1, 0))), axis=1)
    series = 0.02 + (sums[:, 21:] - sums[:, :-21]) / 21
    half = np.array([ic.interval(one, 20)[1] for one in series]) - series.mean(axis=1)
    away = np.abs(series.mean(axis=1) - 0.02)
    overlap = 21 / days
    factor = (1.96 + 2.9694 * overlap + 0.4160 * overlap**2 - 0.5324 * overlap**3) / 1.96

    assert np.mean(away <= half) == pytest.approx(share, abs=0.02)
    assert np.mean(away <= half / factor) == pytest.approx(with_196, abs=0.02)


def test_interval_of_independent_days_has_95_percent_coverage() -> None:
    series = np.random.default_rng(1).normal(0.02, 0.3, (2000, 126))

    held = np.mean([low <= 0.02 <= high for low, high in (ic.interval(one, 0) for one in series)])

    assert held == pytest.approx(0.95, abs=0.015)


def test_interval_is_bounded_and_covers_all_for_one_day() -> None:
    assert ic.interval(np.array([0.4]), 20) == (-1.0, 1.0)
    assert ic.interval(np.array([0.9, 1.0, 0.2]), 20)[1] <= 1.0
    assert ic.interval(np.full(9, 0.25), 2) == (0.25, 0.25)


@pytest.mark.parametrize(("count", "place"), [(6, 0), (8, 0), (9, 1), (15, 3), (61, 22)])
def test_median_interval_matches_the_binomial_distribution(count: int, place: int) -> None:
    values = np.random.default_rng(count).permutation(np.arange(count)).tolist()

    assert ic.median_interval(values) == (place, count - 1 - place)
    assert stats.binom.cdf(place, count, 0.5) <= 0.025 < stats.binom.cdf(place + 1, count, 0.5)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_fewer_than_six_folds_have_no_median_interval(count: int) -> None:
    assert ic.median_interval([0.1] * count) is None
