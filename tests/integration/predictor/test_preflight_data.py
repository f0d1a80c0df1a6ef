"""Faults of the data that the preflight finds, in ArcticDB on an S3."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.predictor import END

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def series() -> Callable[..., pd.DataFrame]:
    """A calm series that ends on a day."""

    def make(end: date = END, bars: int = 30, seed: int = 0) -> pd.DataFrame:
        index = pd.bdate_range(end=pd.Timestamp(end), periods=bars, name="date")
        closes = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, bars)))
        return pd.DataFrame({"close": closes}, index=index)

    return make


def test_stale_symbols_of_500_are_found_without_writes(preflight: Any, bucket: Any, series: Any) -> None:
    bucket.write("universe", {f"Q{number:03}": series(seed=number) for number in range(500)})
    bucket.write("macro", {"SPX": series()})
    bucket.write("universe", {"Q250": series(date(2022, 12, 20))})
    before = bucket.server.writes(bucket.name)

    assert preflight(bucket.name) == 1

    assert preflight.bad() == ["freshness"]
    assert preflight.detail("freshness") == (
        "1 of 500 symbols are more than 3 trading days old: Q250 (5, ends 2022-12-20)"
    )
    assert "Update these prices" in preflight.check("freshness")["remedy"]

    preflight.run_date = "2023-02-01"
    assert preflight(bucket.name) == 1

    check = preflight.check("freshness")
    assert check["detail"].startswith(
        "500 of 500 symbols are more than 3 trading days old: Q250 (27, ends 2022-12-20), Q000 (22, ends 2022-12-28)"
    )
    assert check["detail"].endswith("and 450 more")
    assert len(check["items"]) == len(preflight.report["stale"]) == 500
    assert set(preflight.report["ages"].values()) == {22, 27}
    # The symbol list is not compacted, so a default handle would have written while it listed.
    assert bucket.server.writes(bucket.name) == before


@pytest.mark.parametrize(
    ("ends", "run", "age"),
    [
        # New Year's holiday is on Monday, so Friday's bars are the newest on Tuesday.
        (date(2022, 12, 30), "2023-01-03", 0),
        # Thanksgiving is not a session, but the half-day after it is.
        (date(2022, 11, 23), "2022-11-25", 0),
        (date(2022, 11, 25), "2022-11-28", 0),
        (date(2022, 11, 23), "2022-11-28", 1),
    ],
)
def test_long_weekend_and_half_day_count_correctly(
    preflight: Any, bucket: Any, series: Any, settings: dict[str, Any], ends: date, run: str, age: int
) -> None:
    settings["data"]["stale_after_sessions"] = {"universe": 0, "macro": 0, "research": 0}
    bucket.write("universe", {"A": series(ends), "B": series(ends, seed=1)})
    bucket.write("macro", {"SPX": series(ends)})
    preflight.run_date = run

    assert preflight(bucket.name) == (1 if age else 0)

    assert preflight.report["ages"] == {"A": age, "B": age}
    assert preflight.bad() == (["freshness", "macro"] if age else [])


def test_each_library_has_its_own_threshold(
    preflight: Any, universe: Any, series: Any, settings: dict[str, Any]
) -> None:
    universe.write("research", {"S00": series(date(2022, 12, 20))})
    settings["data"]["stale_after_sessions"] = {"universe": 0, "macro": 0, "research": 5}
    assert preflight(universe.name) == 0
    assert preflight.detail("research") == "1 symbols, the oldest 5 trading days old"

    settings["data"]["stale_after_sessions"]["research"] = 4
    assert preflight(universe.name) == 1
    assert preflight.bad() == ["research"]
    assert "S00 (5, ends 2022-12-20)" in preflight.detail("research")


def test_missing_and_new_symbols_are_named(
    preflight: Any, universe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"S{number:02}" for number in range(12)]
    expected = tmp_path / "expected.txt"

    expected.write_text("\n".join([*names, "GONE1", "GONE2", "  # a comment", ""]))
    assert preflight(universe.name, "--expected-symbols", str(expected)) == 1
    assert preflight.detail("symbols") == "14 symbols expected, 2 missing: GONE1, GONE2"
    assert preflight.check("symbols")["items"] == ["GONE1", "GONE2"]
    assert (preflight.report["missing"], preflight.report["new"]) == (["GONE1", "GONE2"], [])

    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(names[1:])))
    assert preflight(universe.name, "--expected-symbols", "-") == 0
    assert preflight.status()["symbols"] == "warn"
    assert preflight.detail("symbols") == "11 symbols expected, all present, 1 new: S00"
    assert preflight.report["new"] == ["S00"]


@pytest.mark.parametrize(
    ("text", "message"), [(None, "cannot read the expected symbols"), ("# none\n", "list.txt is empty: omit")]
)
def test_empty_list_of_expected_symbols_is_an_error(
    preflight: Any, universe: Any, tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "list.txt"
    if text is not None:
        path.write_text(text)

    with pytest.raises(FileNotFoundError):  # no report is written
        preflight(universe.name, "--expected-symbols", str(path))

    assert message in preflight.error


def test_faulty_symbols_are_listed_worst_first(preflight: Any, universe: Any, series: Any) -> None:
    def with_last(*closes: float) -> pd.DataFrame:
        frame = series()
        frame.iloc[-len(closes) :, 0] = closes
        return frame

    unsorted = series().iloc[[*range(28), 29, 28]]
    universe.write(
        "universe",
        {
            "S01": with_last(np.nan),
            "S02": with_last(100.0, 50.0),
            "S03": with_last(-1.0),
            "S04": series().rename(columns={"close": "price"}),
            "S05": series(date(2022, 11, 14)),
            "S06": pd.concat([series(), series().iloc[-1:]]),
            "S07": series().assign(volume=1),
        },
    )
    universe.write_unsorted("universe", "S08", unsorted)

    assert preflight(universe.name) == 1

    assert preflight.bad() == ["universe", "freshness", "last_rows"]
    assert "S08 (its bars are out of order)" in preflight.detail("universe")
    assert "S05 (30, ends 2022-11-14)" in preflight.detail("freshness")
    assert [item.split(" (")[0] for item in preflight.check("last_rows")["items"]] == [
        "S04", "S08", "S06", "S01", "S03", "S02", "S04", "S07",
    ]  # fmt: skip
    detail = preflight.detail("last_rows")
    assert "S04 (no column 'close')" in detail
    assert "S02 (-50% on 2022-12-28 looks like an unadjusted 2:1 split)" in detail
    assert "S01 (close is NaN in the last row, 2022-12-28)" in detail
    assert "S03 (close of -1)" in detail
    assert "S06 (two rows on 2022-12-28)" in detail
    assert "2 suspicious: S04 (unlike most: lacks close, has price too), S07 (unlike most: has volume too)" in detail


def test_known_jump_passes(preflight: Any, universe: Any, series: Any, settings: dict[str, Any]) -> None:
    frame = series()
    frame.iloc[-1, 0] = frame.iloc[-2, 0] / 2
    universe.write("universe", {"S02": frame})
    assert preflight(universe.name) == 1

    settings["data"]["last_rows"]["known_jumps"] = ["S02"]

    assert preflight(universe.name) == 0
