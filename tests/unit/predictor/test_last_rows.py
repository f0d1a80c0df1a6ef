from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from predictor.last_rows import look_at, split_ratio

DAYS = pd.bdate_range("2022-12-19", periods=6)


def frame(*closes: float, index: pd.DatetimeIndex = DAYS) -> pd.DataFrame:
    return pd.DataFrame({"close": closes}, index=index[: len(closes)])


def said(data: pd.DataFrame, **options: Any) -> list[str]:
    return [("fail " if fault.fatal else "warn ") + str(fault) for fault in look_at("X", data, **options)]


def test_ordinary_prices_are_in_order() -> None:
    assert said(frame(100, 101, 99, 104, 103.5, 103)) == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (frame(100, 101, np.nan), "fail X (close is NaN in the last row, 2022-12-21)"),
        (frame(100, np.nan, 101), "warn X (close is NaN in 1 of the last rows)"),
        (frame(100, 0, 101), "fail X (close of 0)"),
        (frame(100, -3, 101), "fail X (close of -3)"),
        (frame(100, np.inf, 101), "fail X (close is infinite)"),
        (frame(100, 101, index=DAYS[[0, 0]]), "fail X (two rows on 2022-12-19)"),
        (frame(100, 101, 102, index=DAYS[[0, 2, 1]]), "fail X (rows out of order)"),
        (frame(100, 101, 50, 51), "fail X (-50% on 2022-12-21 looks like an unadjusted 2:1 split)"),
        (frame(100, 101, 25.6, 26), "fail X (-75% on 2022-12-21 looks like an unadjusted 4:1 split)"),
        (frame(10, 101, 102), "fail X (+910% on 2022-12-20 looks like an unadjusted 1:10 reverse split)"),
        (frame(100, np.nan, 50.5, 51), "fail X (-50% on 2022-12-21 looks like an unadjusted 2:1 split)"),
        (frame(100, 155, 156), "warn X (+55% on 2022-12-20)"),
        (pd.DataFrame({"close": ["1", "2"]}, index=DAYS[:2]), "fail X (close is no number but object)"),
        (pd.DataFrame({"close": [1.0, 2.0]}), "fail X (its index holds no times)"),
    ],
)
def test_what_is_wrong_is_named_with_its_day(data: pd.DataFrame, expected: str) -> None:
    assert expected in said(data)


def test_a_fall_by_a_third_is_no_split() -> None:
    assert said(frame(100, 101, 67.3, 66)) == []


def test_a_jump_that_somebody_has_looked_at_is_left_alone() -> None:
    assert said(frame(100, 101, 50, 51), jump_is_known=True) == []


def test_two_bars_of_one_day_in_another_zone_are_two_bars_of_one_day() -> None:
    index = pd.DatetimeIndex(["2022-12-19 09:30", "2022-12-19 16:00"], tz="America/New_York")

    assert said(frame(100, 101, index=index)) == ["fail X (two rows on 2022-12-19)"]


@pytest.mark.parametrize(
    ("ratio", "split"), [(0.5, 2), (2.05, 2), (1 / 3, 3), (0.1, 10), (1.5, None), (0.67, None), (1.0, None)]
)
def test_a_split_is_known_by_its_ratio(ratio: float, split: float | None) -> None:
    assert split_ratio(ratio) == split
