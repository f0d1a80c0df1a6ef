from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from predictor.last_rows import check, split_ratio

DAYS = pd.bdate_range("2022-12-19", periods=6)


def frame(*closes: float, index: pd.DatetimeIndex = DAYS) -> pd.DataFrame:
    return pd.DataFrame({"close": closes}, index=index[: len(closes)])


def faults(data: pd.DataFrame, **options: Any) -> list[str]:
    return [("fail " if fault.fatal else "warn ") + str(fault) for fault in check("X", data, **options)]


def test_ordinary_prices_have_no_faults() -> None:
    assert faults(frame(100, 101, 99, 104, 103.5, 103)) == []


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
        (pd.DataFrame({"close": ["1", "2"]}, index=DAYS[:2]), "fail X (close: expected numbers, got object)"),
        (pd.DataFrame({"close": [1.0, 2.0]}), "fail X (its index has no timestamps)"),
    ],
)
def test_fault_is_named_with_its_day(data: pd.DataFrame, expected: str) -> None:
    assert expected in faults(data)


def test_fall_by_a_third_is_not_a_split() -> None:
    assert faults(frame(100, 101, 67.3, 66)) == []


def test_known_jump_is_ignored() -> None:
    assert faults(frame(100, 101, 50, 51), jump_is_known=True) == []


def test_bars_count_by_the_day_of_their_time_zone() -> None:
    index = pd.DatetimeIndex(["2022-12-19 09:30", "2022-12-19 16:00"], tz="America/New_York")

    assert faults(frame(100, 101, index=index)) == ["fail X (two rows on 2022-12-19)"]


@pytest.mark.parametrize(
    ("ratio", "split"), [(0.5, 2), (2.05, 2), (1 / 3, 3), (0.1, 10), (1.5, None), (0.67, None), (1.0, None)]
)
def test_split_is_recognised_by_its_ratio(ratio: float, split: float | None) -> None:
    assert split_ratio(ratio) == split
