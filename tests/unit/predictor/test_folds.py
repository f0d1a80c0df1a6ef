from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from predictor.config import WalkForward
from predictor.errors import TrainingError
from predictor.training.folds import split


def _settings(train: int = 504, test: int = 126, purge: int = 21) -> WalkForward:
    return WalkForward(train, test, purge, 1, 1)


@given(st.integers(1, 3000), st.integers(1, 300), st.integers(1, 100), st.integers(0, 40))
def test_folds_expand_with_purge_and_end_with_the_data(days: int, train: int, test: int, purge: int) -> None:
    if days < train + purge + test:
        with pytest.raises(TrainingError, match="too few days for a fold"):
            split(days, _settings(train, test, purge))
        return
    folds = split(days, _settings(train, test, purge))

    assert [fold.number for fold in folds] == list(range(len(folds)))
    assert {fold.train_start for fold in folds} == {0}
    assert {fold.test_start - fold.train_end for fold in folds} == {purge}
    assert {fold.test_end - fold.test_start for fold in folds} == {test}
    assert [fold.test_start for fold in folds[1:]] == [fold.test_end for fold in folds[:-1]]
    assert folds[-1].test_end == days
    assert train <= folds[0].train_end < train + test


def test_33_years_make_61_folds() -> None:
    assert len(split(8313 - 21, _settings())) == 61


def test_short_history_error_states_the_minimum() -> None:
    with pytest.raises(TrainingError, match=r"expected at least 651 labelled days \(.*\), got 650"):
        split(650, _settings())
