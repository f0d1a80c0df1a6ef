"""Universes of several calendars: windows run over a symbol's own bars, labels over common days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from predictor.config import Config, parse
from predictor.errors import TrainingError
from predictor.exchange import calendar
from predictor.series import Closes, Reading
from predictor.training import features, labels
from predictor.training.panel import Panel, Sessions, align, on_sessions

FIRST, RUN_DATE = date(2021, 1, 1), date(2022, 12, 29)


def bars(calendar_name: str = "XNYS", seed: int = 0, first: date = FIRST) -> pd.Series:
    """A random walk on every session of a calendar before the run date."""
    days = calendar(calendar_name, first, date(2022, 12, 28)).sessions
    walk = np.cumsum(np.random.default_rng(seed).normal(0, 0.01, len(days)))
    return pd.Series(100 * np.exp(walk), index=days)


def aligned(series: Mapping[str, pd.Series], config: Config) -> Panel:
    made = {
        symbol: Closes(one.index.to_numpy().astype("datetime64[D]"), one.to_numpy(), np.array([], "datetime64[D]"))
        for symbol, one in series.items()
    }
    reading = Reading(made, {}, dict.fromkeys(made, 1))
    return align(reading, on_sessions(reading, RUN_DATE, config), config)


def stocks(count: int) -> dict[str, pd.Series]:
    return {f"S{seed:02}": bars(seed=seed) for seed in range(count)}


def with_calendars(settings: dict[str, Any], **calendars: str) -> Config:
    settings["data"]["calendars"]["symbols"] = calendars
    return parse(settings)


def assert_equal(one: Panel, other: Panel, symbols: list[str]) -> None:
    """The features and labels of symbols are equal on the common days of both panels."""
    _, here, there = np.intersect1d(one.days, other.days, return_indices=True)
    for name, values in features.of_panel(one).items():
        for symbol in symbols:
            np.testing.assert_array_equal(
                values[here, one.symbols.index(symbol)],
                features.of_panel(other)[name][there, other.symbols.index(symbol)],
                err_msg=f"{name} of {symbol}",
            )


def test_stray_bar_costs_no_other_symbol_a_value(config: Config) -> None:
    universe = stocks(20)
    alone = aligned(universe, config)
    universe["S07"] = pd.concat([universe["S07"], pd.Series(50.0, index=[pd.Timestamp("2022-12-24")])]).sort_index()

    panel = aligned(universe, config)

    assert panel.digest() == alone.digest()


def test_holidays_of_another_exchange_cost_no_value(settings: dict[str, Any]) -> None:
    london = [f"L{seed}" for seed in range(10)]
    config = with_calendars(settings, **dict.fromkeys(london, "XLON"))
    universe = {**stocks(10), **{name: bars("XLON", seed) for seed, name in enumerate(london, 50)}}

    panel = aligned(universe, config)

    assert np.isfinite(panel.close).all()
    values = features.of_panel(panel)["rv60"]
    assert np.isfinite(values[62:]).all()
    assert np.isfinite(labels.compute(panel.close, 21, 0.25).relative[:-21]).all()
    shared = set(bars().index) & set(bars("XLON").index)
    assert panel.days.tolist() == sorted(day.date() for day in shared)
    assert len(panel.sparse) == 0
    assert_equal(panel, aligned(stocks(10), config), ["S00", "S09"])


def test_cryptocurrency_uses_its_weekends(settings: dict[str, Any]) -> None:
    config = with_calendars(settings, BTC="24/7")
    coin = bars("24/7", 99)

    panel = aligned({**stocks(20), "BTC": coin}, config)

    # Before the exchange's first bar, only the coin's calendar counts.
    assert panel.days.tolist()[3:] == aligned(stocks(20), config).days.tolist()
    # 20 bars of a coin are 20 days, on Monday including the weekend.
    monday = panel.days.tolist().index(date(2022, 12, 19))
    returns = np.diff(np.log(coin[: pd.Timestamp("2022-12-19")].to_numpy()))
    volatility = features.of_panel(panel)["rv20"][monday, panel.symbols.index("BTC")]
    assert volatility == pytest.approx(np.std(returns[-20:], ddof=1))


def test_mixed_universe_without_calendars_keeps_its_windows(config: Config) -> None:
    universe = {**stocks(10), **{f"L{seed}": bars("XLON", seed + 50) for seed in range(10)}}

    panel = aligned(universe, config)

    known = np.isfinite(features.of_panel(panel)["rv60"][62:])
    assert known[:, panel.symbols.index("S00")].all()
    assert known.mean() > 0.97


def test_day_that_few_symbols_have_is_left_out(config: Config) -> None:
    universe = stocks(20)
    feed_lost = pd.Timestamp("2022-11-09")
    for number in range(1, 20):
        universe[f"S{number:02}"] = universe[f"S{number:02}"].drop(feed_lost)

    panel = aligned(universe, config)

    assert panel.sparse.tolist() == [feed_lost.date()]
    assert feed_lost.date() not in panel.days.tolist()
    assert np.isfinite(labels.compute(panel.close, 21, 0.25).relative[:-21]).all()


def test_symbols_that_started_late_or_ended_make_no_day_sparse(config: Config) -> None:
    universe = stocks(3)
    for number in range(20):
        universe[f"OLD{number}"] = bars(seed=number)[:200]
        universe[f"NEW{number}"] = bars(seed=number)[-200:]

    assert len(aligned(universe, config).sparse) == 0


def test_no_window_reaches_over_a_long_pause(config: Config) -> None:
    universe = stocks(5)
    pause = (universe["S00"].index > "2022-03-01") & (universe["S00"].index < "2022-05-01")
    universe["S00"] = universe["S00"][~pause]

    panel = aligned(universe, config)

    after = int(np.searchsorted(panel.days, np.datetime64("2022-05-01")))
    found = features.of_panel(panel)
    assert np.isnan(found["m5"][after : after + 5, 0]).all()
    assert np.isfinite(found["m5"][after + 5 :, 0]).all()
    assert np.isnan(found["rv20"][after : after + 20, 0]).all()
    # A week without a bar is shorter than some exchange's holidays.
    universe["S00"] = bars().drop(bars().index[100:105])
    assert np.isfinite(features.of_panel(aligned(universe, config))["m5"][105:, 0]).all()


def test_future_bars_do_not_change_past_features(config: Config) -> None:
    universe = stocks(4)
    universe["S01"] = universe["S01"].drop(universe["S01"].index[50:90])
    cut = {symbol: one[:"2022-06-30"] for symbol, one in universe.items()}

    whole, past = aligned(universe, config), aligned(cut, config)

    assert len(past.days) < len(whole.days)
    assert_equal(past, whole, whole.symbols)


def test_each_piece_between_long_pauses_has_its_own_windows(config: Config) -> None:
    universe = stocks(2)
    position = np.arange(len(universe["S00"])) % 30
    universe["S00"] = universe["S00"][position < 10]

    found = features.of_panel(aligned(universe, config))["m5"][:, 0]

    np.testing.assert_array_equal(np.isfinite(found), (position >= 5) & (position < 10))


def test_long_holidays_are_no_pause(settings: dict[str, Any]) -> None:
    settings["data"]["calendar"] = "XSHG"
    whole = {f"C{seed}": bars("XSHG", seed, date(1999, 1, 1)) for seed in range(3)}
    assert np.diff(whole["C0"].index).max() > np.timedelta64(14, "D")

    panel = aligned(whole, parse(settings))

    assert np.isfinite(features.of_panel(panel)["rv60"][62:]).all()


def test_no_label_reaches_over_a_long_pause_of_all(config: Config) -> None:
    universe = {symbol: pd.concat([one[:100], one[190:]]) for symbol, one in stocks(4).items()}

    panel = aligned(universe, config)

    known = np.isfinite(labels.compute(panel.close, 21, 0.25, panel.position).forward[:, 0])
    assert known[:79].all() and not known[79:100].any() and known[100:-21].all()


def test_calendar_counts_only_while_its_symbols_trade(settings: dict[str, Any]) -> None:
    config = with_calendars(settings, TEL="XTAE")
    alone = aligned(stocks(5), config)

    panel = aligned({**stocks(5), "TEL": bars("XTAE", 9)["2022-07-01":]}, config)

    before = np.datetime64("2022-07-01")
    assert panel.days[panel.days < before].tolist() == alone.days[alone.days < before].tolist()
    assert len(panel.days) < len(alone.days)


def test_missing_closes_between_sessions_are_ignored(config: Config) -> None:
    universe = stocks(2)
    days = universe["S00"].index.to_numpy().astype("datetime64[D]")
    closes = Closes(days, universe["S00"].to_numpy(), np.array(["2022-12-26"], "datetime64[D]"))

    found = on_sessions(Reading({"S00": closes}, {}, {}), RUN_DATE, config)

    assert len(found.bars["S00"].missing) == 0


def test_bars_before_a_calendar_begins_count(settings: dict[str, Any]) -> None:
    settings["data"]["calendar"] = "XBOM"
    early = pd.Series(np.arange(1.0, 101), index=pd.bdate_range("1996-01-01", periods=100))

    panel = aligned({"OLD": early, **{f"B{n}": bars("XBOM", n, date(2020, 1, 1)) for n in range(3)}}, parse(settings))

    assert panel.symbols[-1] == "OLD"
    assert len(panel.bars["OLD"].days) == 100


def test_every_malformed_symbol_is_named(config: Config) -> None:
    with pytest.raises(TrainingError, match=r"^2 of 2 symbols cannot be trained on: A: odd; B: worse$"):
        align(Reading({}, {"B": "worse", "A": "odd"}, {}), Sessions({}, {}, {}), config)
