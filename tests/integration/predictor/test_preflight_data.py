"""Faults of the data that the preflight finds, in ArcticDB on an S3."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import exchange_calendars
import numpy as np
import pandas as pd
import pytest
from predictor import exchange

from tests.support.predictor import END, sessions

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def series() -> Callable[..., pd.DataFrame]:
    """A calm series that ends on a day."""

    def make(end: date = END, bars: int = 380, seed: int = 0) -> pd.DataFrame:
        index = sessions(end, bars)
        closes = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, bars)))
        return pd.DataFrame({"close": closes}, index=index)

    return make


def test_stale_symbols_of_500_are_found_without_writes(preflight: Any, bucket: Any, series: Any) -> None:
    bucket.write("universe", {f"Q{number:03}": series(bars=60, seed=number) for number in range(500)})
    bucket.write("macro", {"SPX": series()})
    bucket.write("universe", {"Q250": series(date(2022, 12, 20), 60)})
    before = bucket.server.writes(bucket.name)

    assert preflight(bucket.name) == 1

    assert preflight.bad() == ["freshness", "folds"]
    assert preflight.detail("folds").startswith("too few days for a fold: expected at least 201 labelled days")
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
    settings["walk_forward"].update(min_train_rows=100, min_test_rows=50)
    bucket.write("universe", {name: series(ends, seed=seed) for seed, name in enumerate("ABC")})
    bucket.write("macro", {"SPX": series(ends)})
    preflight.run_date = run

    assert preflight(bucket.name) == (1 if age else 0)

    assert preflight.report["ages"] == dict.fromkeys("ABC", age)
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

    expected.write_text("\n".join([*names, "GONE1", "GONE2", ""]), encoding="utf-8-sig")
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
    ("text", "message"), [(None, "cannot read the expected symbols"), ("\n", "list.txt is empty: omit")]
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

    unsorted = series().iloc[[*range(378), 379, 378]]
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

    assert preflight.bad() == ["universe", "freshness", "prices", "last_rows"]
    assert "S08 (its bars are out of order)" in preflight.detail("universe")
    assert "S05 (30, ends 2022-11-14)" in preflight.detail("freshness")
    assert preflight.check("prices")["items"] == [
        "S03 (close of 0 or less on 2022-12-28)",
        "S04 (it has no column 'close', or more than one)",
        "S06 (more than one row on 2022-12-28)",
        "S08 (rows out of order on 2022-12-27)",
        "S01 (close is NaN on 2022-12-28)",
    ]
    assert preflight.check("last_rows")["items"] == [
        "S01 (close is NaN in the last row, 2022-12-28)",
        "S02 (-50% on 2022-12-28 looks like an unadjusted 2:1 split)",
        "S04 (unlike most: lacks close, has price too)",
        "S07 (unlike most: has volume too)",
    ]


@pytest.mark.parametrize("name", ["#1", "ES#F", " padded ", "a/b", "'q'", "a,b", '"'])
def test_any_symbol_of_the_library_can_be_expected(
    preflight: Any, universe: Any, series: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    universe.write("universe", {name: series(seed=7)})
    assert preflight(universe.name) == 0
    names = "\n".join(preflight.report["ages"])
    assert name in preflight.report["ages"]

    monkeypatch.setattr("sys.stdin", io.StringIO(names))
    assert preflight(universe.name, "--expected-symbols", "-") == 0

    assert preflight.detail("symbols") == "13 symbols expected, all present and no others"


def test_odd_symbols_are_named_and_hide_nothing(preflight: Any, universe: Any, series: Any) -> None:
    two_closes = pd.concat([series(), series()], axis=1)
    universe.write(
        "universe",
        {
            "SERIES": series()["close"],
            "TWO": two_closes,
            "ROWS": series().reset_index(drop=True),
            "INFINITE": series().replace(series().iloc[50, 0], np.inf),
            "OLD_ZERO": series().replace(series().iloc[60, 0], 0.0),
        },
    )
    old = series(bars=380, seed=4)
    universe.write("universe", {"GAP": old.drop(old.index[100:120]), "SHORT": series(bars=20, seed=5)})

    assert preflight(universe.name) == 1

    # The universe cannot be described, the prices cannot be trained on; the other checks judge the other symbols.
    assert preflight.bad() == ["universe", "prices", "last_rows", "days", "folds"]
    assert [item.split(" ")[0] for item in preflight.check("universe")["items"]] == ["ROWS", "SERIES"]
    assert preflight.check("prices")["items"] == [
        f"INFINITE (close is infinite on {old.index[50].date()})",
        f"OLD_ZERO (close of 0 or less on {old.index[60].date()})",
        "ROWS (its index has no timestamps)",
        "SERIES (expected a table, got Series)",
        "TWO (it has no column 'close', or more than one)",
    ]
    [missing] = preflight.check("days")["items"]
    assert missing.startswith(f"GAP (no bars on XNYS sessions: {old.index[100].date()}, ")
    assert "training leaves out SHORT (expected at least 60 bars" in preflight.detail("folds")


def test_rows_of_the_run_date_are_not_judged(preflight: Any, universe: Any, series: Any) -> None:
    """A half-day tick or NaN of today fails nothing, and a bar of today hides no hole."""
    today = pd.DatetimeIndex(["2022-12-29"], name="date")
    tick = pd.DataFrame({"close": [np.nan]}, index=today)
    crash = pd.DataFrame({"close": [0.01]}, index=today)
    stale = series(date(2022, 12, 20), seed=2)
    universe.write("universe", {"S01": pd.concat([series(), tick]), "S02": pd.concat([series(seed=1), crash])})
    assert preflight(universe.name) == 0
    assert preflight.bad() == ["freshness"]
    assert "S01 (has bars on or after the run date)" in preflight.detail("freshness")

    universe.write("universe", {"S03": pd.concat([stale, tick.fillna(50.0)])})

    assert preflight(universe.name) == 1
    assert preflight.detail("freshness").endswith("trading days old: S03 (5, ends 2022-12-20)")


def test_run_for_a_past_day_judges_the_rows_before_it(preflight: Any, universe: Any, series: Any) -> None:
    later = series()
    later.iloc[-5:, 0] = [np.nan, np.inf, -1, 1e9, 1e-9]
    hole = series(seed=3)
    universe.write("universe", {"S01": later, "S02": hole.drop(hole.index[-15:-6])})
    preflight.run_date = str(later.index[-6].date())

    assert preflight(universe.name) == 1

    assert preflight.status()["freshness"] == "fail"
    assert "S02 (9, ends" in preflight.detail("freshness")
    assert "S01" not in preflight.detail("freshness")
    assert preflight.status()["prices"] == preflight.status()["last_rows"] == "pass"


def test_stray_bar_is_named_and_hides_no_hole(preflight: Any, universe: Any, series: Any) -> None:
    stale = series(date(2022, 12, 20), seed=2)
    saturday = pd.DataFrame({"close": [50.0]}, index=pd.DatetimeIndex(["2022-12-24"], name="date"))
    universe.write("universe", {"S03": pd.concat([stale, saturday])})

    assert preflight(universe.name) == 1

    assert preflight.bad() == ["freshness", "days"]
    assert preflight.detail("freshness").endswith("trading days old: S03 (5, ends 2022-12-20)")
    assert preflight.detail("days") == "S03 (bars on days that are no XNYS sessions: 2022-12-24)"


def test_symbols_with_calendars_of_their_own_pass(
    preflight: Any, universe: Any, series: Any, settings: dict[str, Any]
) -> None:
    coin = series(bars=552)
    coin.index = pd.date_range(end="2022-12-28", periods=552, name="date")
    universe.write("universe", {"BTC": coin})
    assert preflight(universe.name) == 0
    assert "bars on days that are no XNYS sessions" in preflight.detail("days")

    settings["data"]["calendars"] = {"symbols": {"BTC": "24/7"}, "libraries": {"macro": "XLON"}}

    assert preflight(universe.name) == 0
    assert preflight.bad() == []
    assert preflight.detail("macro") == "SPX ends 2022-12-28"


@pytest.fixture
def calendar_ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[type, str], None]]:
    """End a calendar on a day."""

    def end(kind: type, day: str) -> None:
        monkeypatch.setattr(kind, "bound_max", classmethod(lambda cls: pd.Timestamp(day)))
        exchange._whole_years.cache_clear()

    yield end
    exchange._whole_years.cache_clear()


def test_calendar_that_ends_soon_is_a_warning(preflight: Any, universe: Any, calendar_ends: Any) -> None:
    calendar_ends(exchange_calendars.exchange_calendar_xnys.XNYSExchangeCalendar, "2022-12-31")
    assert preflight(universe.name) == 0
    assert preflight.detail("days") == "calendar XNYS ends on 2022-12-31"

    preflight.run_date = "2023-01-03"
    assert preflight(universe.name) == 1
    assert "calendar 'XNYS' ends on 2022-12-31, before the run date 2023-01-03" in preflight.detail("freshness")


def test_ended_symbol_of_an_ended_calendar_breaks_no_check(
    preflight: Any, universe: Any, series: Any, settings: dict[str, Any], calendar_ends: Any
) -> None:
    calendar_ends(exchange_calendars.exchange_calendar_xshg.XSHGExchangeCalendar, "2022-11-30")
    settings["data"]["calendars"]["symbols"] = {"CN": "XSHG", "TYPO": "XLON"}
    universe.write("universe", {"CN": series(date(2022, 10, 31))})
    assert preflight(universe.name) == 1
    assert preflight.bad() == ["freshness", "days"]
    assert "CN (calendar 'XSHG' ends on 2022-11-30, before the run date" in preflight.detail("freshness")

    settings["data"]["known_ended"] = ["CN"]
    assert preflight(universe.name) == 0
    assert preflight.status()["freshness"] == "pass"
    assert "data.calendars.symbols names no symbols of the universe: TYPO" in preflight.detail("days")


def test_symbol_listed_after_the_run_date_is_left_out(preflight: Any, universe: Any, series: Any) -> None:
    unordered = pd.concat([series()[:-10], series()[-1:], series()[-2:-1]])
    universe.write("universe", {"NEW": series(bars=5)})
    universe.write_unsorted("universe", "S01", unordered)
    preflight.run_date = "2022-12-10"

    assert preflight(universe.name) == 0

    assert "NEW (expected at least 60 bars" in preflight.detail("folds")
    assert preflight.status()["universe"] == preflight.status()["prices"] == "pass"


def test_research_on_weekends_is_as_old_as_its_last_row(preflight: Any, universe: Any, series: Any) -> None:
    weekly = pd.DataFrame({"view": np.arange(80.0)}, index=pd.date_range(end="2022-12-24", periods=80, freq="7D"))
    universe.write("research", {"S00": weekly})

    assert preflight(universe.name) == 0

    assert preflight.detail("research") == "1 symbols, the oldest 2 trading days old"


def test_research_that_training_ignores_fails_nothing(
    preflight: Any, universe: Any, series: Any, settings: dict[str, Any]
) -> None:
    settings["data"]["known_ended"] = ["GONE"]
    universe.write("universe", {"GONE": series(date(2022, 6, 30))})
    universe.write("research", {"S00": series(), "GONE": series(date(2022, 6, 30)), "OTHER": series()["close"]})
    assert preflight(universe.name) == 0
    assert preflight.status()["research"] == "pass"

    universe.write("research", {"S00": series().assign(note="x")})
    assert preflight(universe.name) == 0
    assert preflight.detail("research") == "training ignores columns that are not numeric: S00 (note)"

    universe.write("research", {"S00": series(date(2022, 6, 30))})
    settings["models"] = ["momentum", "volatility", "meta"]
    assert preflight(universe.name) == 0
    assert preflight.detail("research") == "models does not list it: training omits the research layer"


def test_ended_symbols_are_spared_by_name(preflight: Any, universe: Any, series: Any, settings: dict[str, Any]) -> None:
    universe.write("universe", {"GONE": series(date(2022, 6, 30)), "S01": series(date(2022, 11, 1))})
    settings["data"]["known_ended"] = ["GONE", "S02"]
    assert preflight(universe.name) == 1
    assert "trading days old: S01 (39, ends 2022-11-01); ended: GONE (125, ends" in preflight.detail("freshness")
    assert preflight.report["stale"] == ["S01"]

    settings["data"]["known_ended"] = ["GONE", "S01"]
    assert preflight(universe.name) == 0
    assert preflight.status()["freshness"] == "pass"
    assert "; ended: GONE (125, ends 2022-06-30), S01 (39, ends 2022-11-01)" in preflight.detail("freshness")

    settings["data"]["known_ended"] += ["S02", "TYPO"]
    assert preflight(universe.name) == 0
    assert "S02 (in data.known_ended, but only 0 trading days old)" in preflight.detail("freshness")
    assert "TYPO (in data.known_ended, but not in the library)" in preflight.detail("freshness")


@pytest.mark.parametrize(
    ("research", "fault"),
    [
        (lambda frame: pd.concat([frame, frame.iloc[-1:]]), "more than one row on 2022-12-28"),
        (lambda frame: pd.concat([frame, frame], axis=1), "repeated columns close"),
        (lambda frame: frame.replace(frame.iloc[-1, 0], np.inf), "close is infinite on 2022-12-28"),
        (lambda frame: frame["close"], "expected a table, got Series"),
    ],
    ids=["rows", "columns", "infinite", "series"],
)
def test_odd_research_is_named(preflight: Any, universe: Any, series: Any, research: Any, fault: str) -> None:
    universe.write("research", {"S00": series(), "S01": research(series()), "OTHER": series()})

    assert preflight(universe.name) == 1

    assert preflight.bad() == ["research"]
    assert f"1 cannot be read: S01 ({fault})" in preflight.detail("research")


def test_research_of_other_symbols_is_ignored_by_name(preflight: Any, universe: Any, series: Any) -> None:
    universe.write("research", {"S00": series().rename(columns={"close": "eps:fy1"}), "OTHER": series()})

    assert preflight(universe.name) == 0

    assert preflight.detail("research").endswith("; not in the universe and ignored: OTHER")


def test_known_jump_passes(preflight: Any, universe: Any, series: Any, settings: dict[str, Any]) -> None:
    frame = series()
    frame.iloc[-1, 0] = frame.iloc[-2, 0] / 2
    universe.write("universe", {"S02": frame})
    assert preflight(universe.name) == 1

    settings["data"]["last_rows"]["known_jumps"] = ["S02"]

    assert preflight(universe.name) == 0
