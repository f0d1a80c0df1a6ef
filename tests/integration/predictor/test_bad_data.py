"""Data that cannot be trained on fails with one line, and nothing is written."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.predictor import END

pytestmark = pytest.mark.slow


def _refused(training: Any, bucket: Any, message: str) -> None:
    assert training(bucket.name) == 1

    assert training.error.startswith("predictor: error: ")
    assert training.error.count("\n") == 1
    assert message in training.error
    assert training.result["error"] in training.error
    assert training.result["promoted"] is False
    assert bucket.result_keys() == set()


def test_symbol_with_fewer_bars_than_a_test_window_is_left_out(
    training: Any, momentum: Any, frames: Any, walks: Any
) -> None:
    momentum.write("universe", {"S04": frames(walks(59, 1), END)["S00"], "S05": frames(walks(60, 1), END)["S00"]})

    assert training(momentum.name, "--dry-run") == 0

    reason = "expected at least 60 bars (a fold's test window), got 59"
    assert training.result["left_out"] == [{"symbol": "S04", "reason": reason}]
    assert training.result["symbols"] == 11


def test_days_of_a_left_out_symbol_do_not_count(training: Any, momentum: Any, frames: Any, walks: Any) -> None:
    assert training(momentum.name, "--dry-run") == 0
    before = [fold["test_start"] for fold in training.result["fold_ics"]]
    momentum.write("universe", {"NEW": frames(walks(20, 1), date(2018, 1, 5))["S00"]})

    assert training(momentum.name, "--dry-run") == 0

    assert [one["symbol"] for one in training.result["left_out"]] == ["NEW"]
    assert [fold["test_start"] for fold in training.result["fold_ics"]] == before


def test_longest_symbol_is_named_if_all_are_too_short(training: Any, bucket: Any, frames: Any, walks: Any) -> None:
    made = frames(walks(40, 3), END)
    made["S01"] = frames(walks(55, 1), END)["S00"]
    bucket.write("universe", made)

    message = "none of 3 symbols has the 60 bars of a fold's test window; S01 has the most, 55"
    _refused(training, bucket, message)


def test_empty_research_column_is_named(training: Any, momentum: Any) -> None:
    days = pd.bdate_range(end=pd.Timestamp(END), periods=620)
    empty = pd.DataFrame({"empty": np.nan, "view": np.arange(620.0)}, index=days)
    momentum.write("research", {f"S{number:02}": empty for number in range(12)})

    _refused(training, momentum, "has a value for research.empty")


def test_feature_without_enough_history_is_named(
    training: Any, bucket: Any, frames: Any, walks: Any, settings: dict[str, Any]
) -> None:
    settings["walk_forward"]["min_train_days"] = 60
    bucket.write("universe", frames(walks(260, 12), END))

    _refused(training, bucket, "has a value for m12_1")


def test_constant_prices_have_constant_labels(training: Any, bucket: Any, frames: Any) -> None:
    bucket.write("universe", frames(np.full((620, 12), 50.0), END))

    _refused(training, bucket, "the labels are constant: on each day, all symbols have the same forward return")


def test_parallel_prices_have_constant_labels(training: Any, bucket: Any, frames: Any, walks: Any) -> None:
    scales = np.linspace(0.3, 7, 12)
    bucket.write("universe", frames(walks(620, 1) * scales, END))

    _refused(training, bucket, "the labels are constant")


def test_single_symbol_has_no_order(training: Any, bucket: Any, frames: Any, walks: Any) -> None:
    bucket.write("universe", frames(walks(620, 1), END))

    _refused(training, bucket, "no day has two symbols with a label and a 5-day return")


def test_folds_and_their_median_have_intervals(training: Any, momentum: Any) -> None:
    assert training(momentum.name, "--dry-run") == 0

    result = training.result
    for fold in result["fold_ics"]:
        assert -1 <= fold["ic_low"] <= fold["ic"] <= fold["ic_high"] <= 1
        assert fold["ic_low"] < fold["ic_high"]
    low, high = result["median_ic_interval"]
    assert low <= result["median_ic"] <= high
    assert {round(low, 6), round(high, 6)} <= {fold["ic"] for fold in result["fold_ics"]}


def test_median_of_few_folds_has_no_interval(training: Any, momentum: Any, settings: dict[str, Any]) -> None:
    settings["walk_forward"]["test_days"] = 120

    assert training(momentum.name, "--dry-run") == 0

    assert len(training.result["fold_ics"]) < 6
    assert training.result["median_ic_interval"] is None
