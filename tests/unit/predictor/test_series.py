"""The reading of prices that preflight and training share."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from predictor.series import MalformedSeriesError, closes, numbers_by_day

DAYS = pd.bdate_range("2022-12-19", periods=6)
RUN_DATE = date(2022, 12, 26)


def frame(*values: Any, index: pd.DatetimeIndex = DAYS) -> pd.DataFrame:
    return pd.DataFrame({"close": values}, index=index[: len(values)])


TWO_CLOSES = pd.DataFrame([[1.0, 2.0]], columns=["close", "close"], index=DAYS[:1])


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (frame(100, 0, 101), "close of 0 or less on 2022-12-20"),
        (frame(100, -3, -4, -5, -6), "close of 0 or less on 2022-12-20, 2022-12-21, 2022-12-22 and 1 more"),
        (frame(100, np.inf, 101), "close is infinite on 2022-12-20"),
        (frame(100, 1e200, 1e-200), "close is not within 1e-12 and 1e+12 on 2022-12-20, 2022-12-21"),
        (frame(-np.inf, 0), "close is infinite on 2022-12-19; close of 0 or less on 2022-12-19, 2022-12-20"),
        (frame(100, 101, index=DAYS[[0, 0]]), "more than one row on 2022-12-19"),
        (frame(100, 101, 102, index=DAYS[[0, 2, 1]]), "rows out of order on 2022-12-20"),
        (frame("1", "2"), "close: expected numbers, got object"),
        (frame(True, False), "close: expected numbers, got bool"),
        (frame(1j), "close: expected numbers, got complex128"),
        (frame(1.0, 2.0).reset_index(drop=True), "its index has no timestamps"),
        (frame(1.0, 2.0).set_index([DAYS[:2], [1, 2]]), "its index has no timestamps"),
        (frame(1.0, 2.0, index=pd.DatetimeIndex([DAYS[0], None])), "rows without a timestamp"),
        (frame(1.0)["close"], "expected a table, got Series"),
        ({"close": 1}, "expected a table, got dict"),
        (pd.DataFrame({"open": [1.0]}, index=DAYS[:1]), "it has no column 'close', or more than one"),
        (TWO_CLOSES, "it has no column 'close', or more than one"),
    ],
)
def test_fault_is_named_with_its_days(data: Any, fault: str) -> None:
    with pytest.raises(MalformedSeriesError) as raised:
        closes(data, RUN_DATE)

    assert str(raised.value) == fault


@pytest.mark.parametrize("today", [np.nan, np.inf, -1.0], ids=str)
@pytest.mark.parametrize("times", [[26], [26, 26], [27, 26]], ids=str)
def test_rows_of_the_run_date_are_ignored(today: float, times: list[int]) -> None:
    late = pd.DatetimeIndex([f"2022-12-{day}" for day in times])
    whole = pd.concat([frame(1.0, 2.0, 3.0, 4.0, 5.0), frame(*[today] * len(late), index=late)])

    found = closes(whole, RUN_DATE)

    assert found.values.tolist() == [1, 2, 3, 4, 5]
    assert len(found.missing) == 0


def test_missing_closes_are_no_bars() -> None:
    found = closes(frame(1.0, np.nan, 3.0), RUN_DATE)

    assert found.days.tolist() == [date(2022, 12, 19), date(2022, 12, 21)]
    assert found.missing.tolist() == [date(2022, 12, 20)]


def test_bars_count_by_the_day_of_their_time_zone() -> None:
    index = pd.DatetimeIndex(["2022-12-19 19:30", "2022-12-20 19:30"], tz="America/New_York")

    assert closes(frame(1, 2, index=index), date(2022, 12, 20)).days.tolist() == [date(2022, 12, 19)]


@pytest.mark.parametrize("kind", ["int8", "uint64", "float32"])
def test_any_number_is_a_price(kind: str) -> None:
    assert closes(frame(1, 2).astype(kind), RUN_DATE).values.tolist() == [1, 2]


def test_only_numeric_columns_are_kept() -> None:
    data = pd.DataFrame({"eps:fy1": [1.0], "note": ["x"], 3: [True], "n": [2]}, index=DAYS[:1])

    assert numbers_by_day(data, RUN_DATE).to_dict("list") == {"eps:fy1": [1.0], "n": [2]}


def test_repeated_columns_are_named() -> None:
    with pytest.raises(MalformedSeriesError, match=r"^repeated columns 1, close$"):
        numbers_by_day(pd.DataFrame([[1, 2, 3, 4]], columns=["close", "close", 1, "1"], index=DAYS[:1]), RUN_DATE)
