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
def test_ranks_are_scipys_within_each_day(rows: list[tuple[int, int, int]]) -> None:
    days, values, _ = _columns(rows)

    found = ic.ranks(values, days)

    for day in set(days.tolist()):
        np.testing.assert_allclose(found[days == day], stats.rankdata(values[days == day]) - 1)


@given(ROWS)
def test_the_coefficient_is_scipys_on_every_day_that_has_one(rows: list[tuple[int, int, int]]) -> None:
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


def test_no_day_with_a_coefficient_has_no_mean() -> None:
    days = np.zeros(5, dtype=np.int64)

    assert ic.mean(np.ones(5), np.arange(5.0), days) is None
    assert ic.mean(np.array([]), np.array([]), np.array([], dtype=np.int64)) is None


def test_centred_ranks_span_a_day_and_put_the_unknown_in_the_middle() -> None:
    days = np.array([0, 0, 0, 0, 1, 2, 2])
    values = np.array([5.0, np.nan, 1.0, 3.0, 9.0, np.nan, np.nan])

    assert ic.centred_ranks(values, days).tolist() == [0.5, 0.0, -0.5, 0.0, 0.0, 0.0, 0.0]


def test_pearson_of_something_that_does_not_vary_is_nothing() -> None:
    assert ic.pearson(np.ones(9), np.arange(9.0)) == 0.0
    assert ic.pearson(np.arange(9.0), np.arange(9.0) * 2) == pytest.approx(1.0)
