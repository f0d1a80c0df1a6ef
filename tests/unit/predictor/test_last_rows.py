from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from predictor.config import LastRows
from predictor.last_rows import check, faults, split_ratio
from predictor.series import Closes, closes

DAYS = pd.bdate_range("2022-12-19", periods=6)


def series(*values: float) -> Closes:
    return closes(pd.DataFrame({"close": values}, index=DAYS[: len(values)]), date(2023, 1, 1))


def found(data: Closes, rows: int = 10, **options: Any) -> list[str]:
    return [("fail " if fault.fatal else "warn ") + str(fault) for fault in check("X", data, rows, **options)]


def test_ordinary_prices_have_no_faults() -> None:
    assert found(series(100, 101, 99, 104, 103.5, 103)) == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (series(100, 101, np.nan), "fail X (close is NaN in the last row, 2022-12-21)"),
        (series(100, 101, 50, 51), "fail X (-50% on 2022-12-21 looks like an unadjusted 2:1 split)"),
        (series(100, 101, 25.6, 26), "fail X (-75% on 2022-12-21 looks like an unadjusted 4:1 split)"),
        (series(10, 101, 102), "fail X (+910% on 2022-12-20 looks like an unadjusted 1:10 reverse split)"),
        (series(100, np.nan, 50.5, 51), "fail X (-50% on 2022-12-21 looks like an unadjusted 2:1 split)"),
        (series(100, 155, 156), "warn X (+55% on 2022-12-20)"),
    ],
)
def test_fault_is_named_with_its_day(data: Closes, expected: str) -> None:
    assert found(data) == [expected]


def test_fall_by_a_third_is_not_a_split() -> None:
    assert found(series(100, 101, 67.3, 66)) == []


def test_known_jump_is_ignored() -> None:
    assert found(series(100, 101, 50, 51), jump_is_known=True) == []


def test_move_before_the_last_rows_is_ignored() -> None:
    assert found(series(100, 50, 51, 52), rows=3) == []
    assert found(series(100, 50, np.nan, 52), rows=3) == []


def test_missing_last_close_of_an_ended_symbol_only_warns() -> None:
    assert found(series(100, np.nan), has_ended=True) == ["warn X (close is NaN in the last row, 2022-12-20)"]


def test_symbol_without_bars_has_no_faults() -> None:
    assert found(series()) == []


def test_columns_unlike_the_majority_are_suspicious() -> None:
    usual, other = (("close", "FLOAT64"),), (("close", "INT64"), ("volume", "INT64"))

    named = faults({}, {"A": usual, "B": usual, "C": other}, LastRows(10, []))

    assert [str(fault) for fault in named] == ["C (unlike most: close is INT64, not FLOAT64, has volume too)"]


@pytest.mark.parametrize(
    ("ratio", "split"), [(0.5, 2), (2.05, 2), (1 / 3, 3), (0.1, 10), (1.5, None), (0.67, None), (1.0, None)]
)
def test_split_is_recognised_by_its_ratio(ratio: float, split: float | None) -> None:
    assert split_ratio(ratio) == split
