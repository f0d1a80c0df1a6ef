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
def test_folds_expand_are_purged_and_cover_the_end(days: int, train: int, test: int, purge: int) -> None:
    if days < train + purge + test:
        with pytest.raises(TrainingError, match="make no fold"):
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


def test_33_years_of_real_prices_make_61_folds() -> None:
    assert len(split(8313 - 21, _settings())) == 61


def test_too_short_a_history_says_how_much_is_needed() -> None:
    with pytest.raises(TrainingError, match="650 labelled days make no fold: 651 are needed"):
        split(650, _settings())
