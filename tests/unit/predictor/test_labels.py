from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from predictor.training import features, labels, rows


def test_label_is_the_return_over_the_horizon() -> None:
    closes = np.array([[100.0, 100.0], [110.0, 100.0], [121.0, 90.0], [121.0, 99.0]])

    made = labels.compute(closes, horizon=2, clip=1.0)

    np.testing.assert_allclose(made.forward[:2], [[0.21, -0.10], [0.10, -0.01]])
    assert np.isnan(made.forward[2:]).all()
    np.testing.assert_allclose(made.relative[0], [0.155, -0.155])
    np.testing.assert_allclose(made.move[0], [0.21, 0.10])


def test_labels_are_clipped_on_both_sides() -> None:
    closes = np.array([[100.0, 100.0, 100.0], [300.0, 20.0, 100.0]])

    made = labels.compute(closes, horizon=1, clip=0.25)

    assert made.forward[0].tolist() == [0.25, -0.25, 0.0]
    assert made.move[0].tolist() == [0.25, 0.25, 0.0]
    assert np.abs(made.relative[0]).max() == 0.25


def test_relative_labels_of_a_day_sum_to_0(walks: Any) -> None:
    made = labels.compute(walks(80, 6), horizon=21, clip=10.0)

    np.testing.assert_allclose(made.relative[:59].sum(axis=1), 0, atol=1e-12)


def test_single_symbol_of_a_day_has_no_relative_label() -> None:
    closes = np.array([[100.0, np.nan], [101.0, np.nan], [102.0, 5.0], [103.0, 6.0]])

    made = labels.compute(closes, horizon=1, clip=1.0)

    assert np.isnan(made.relative[0]).all()
    assert np.isfinite(made.relative[2]).all()


def test_rows_are_ordered_by_day_and_have_label_and_return(walks: Any) -> None:
    closes = walks(60, 3)
    closes[:30, 1] = np.nan
    targets = labels.compute(closes, 5, 0.25)

    made = rows.build(features.compute(closes), targets)

    assert (np.diff(made.day) >= 0).all()
    assert made.day[0] == 5
    assert made.day[-1] == 54
    assert (made.day[made.symbol == 1] >= 35).all()
    assert np.isfinite(made.relative).all()
    place = made.first_row(40)
    assert made.day[place] == 40
    assert made.day[place - 1] == 39
    assert made.forward[place] == targets.forward[40, made.symbol[place]]
    with pytest.raises(KeyError):
        made.matrix(["absent"])
