"""A universe of two exchanges with a stray bar and ticks of the run date: the preflight names them, nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
import pandas as pd
import pytest
from predictor.exchange import calendar

from tests.e2e.runs.conftest import NO_LEAKS, Account, Bucket, Run, source_options, start
from tests.support.account import project_copy

SESSIONS = 420
HORIZON = 21
END = date(2022, 12, 28)
NEW_YORK, LONDON = [f"N{number}" for number in range(6)], [f"L{number}" for number in range(6)]
CONFIG = {
    "symbols: {}": f"symbols: {{{', '.join(f'{name}: XLON' for name in LONDON)}}}",
    "min_train_days: 504": "min_train_days: 120",
    "test_days: 126": "test_days: 60",
    "trees: 60": "trees: 10",
}


def days(exchange: str) -> pd.DatetimeIndex:
    found = calendar(exchange, date(2020, 1, 1), END).sessions
    return pd.DatetimeIndex(found[-SESSIONS:], name="date")


def series(exchange: str, seed: int) -> pd.DataFrame:
    walk = np.cumsum(np.random.default_rng(seed).normal(0, 0.01, SESSIONS))
    return pd.DataFrame({"close": 100 * np.exp(walk)}, index=days(exchange))


def with_bar(frame: pd.DataFrame, day: str, close: float) -> pd.DataFrame:
    bar = pd.DataFrame({"close": [close]}, index=pd.DatetimeIndex([day], name="date"))
    return pd.concat([frame, bar]).sort_index()


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    account = Account(tmp_path_factory.mktemp("e2e-mixed"))
    start(account)
    yield account
    account.stop()


@pytest.fixture(scope="module")
def mixed(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A smoke training for 29 December 2022 on both exchanges."""
    arctic = Bucket(account).arctic("arcticdb/mixed")
    frames = {name: series("XNYS", seed) for seed, name in enumerate(NEW_YORK)}
    frames |= {name: series("XLON", seed) for seed, name in enumerate(LONDON, 50)}
    frames["N0"] = with_bar(frames["N0"], "2022-12-24", 1.0)
    frames["N1"] = with_bar(frames["N1"], "2022-12-29", np.nan)
    frames["L1"] = with_bar(frames["L1"], "2022-12-29", 1.0)
    universe, macro = arctic.create_library("universe"), arctic.create_library("macro")
    for name, frame in frames.items():
        universe.write(name, frame)
    for name in ("SPX", "VIX", "NASDAQ"):
        macro.write(name, series("XNYS", 99))
    folder = project_copy(tmp_path_factory.mktemp("mixed") / "predictor", CONFIG)
    options = source_options(folder, "predictor")
    return account.train("-e", "training_mode=smoke", "-e", "arctic_prefix=arcticdb/mixed", *options)


def test_mixed_universe_trains(account: Account, mixed: Run) -> None:
    assert mixed.code == 0, mixed.output
    assert (mixed.receipt["outcome"], mixed.receipt["smoke"]["symbols"]) == ("passed", 12)
    assert mixed.receipt["leaks"] == NO_LEAKS
    account.assert_nothing_left()


def test_stray_bar_and_ticks_of_today_are_named(mixed: Run) -> None:
    odd = {check["name"]: check for check in mixed.receipt["preflight"]["checks"] if check["status"] != "pass"}

    assert {name: check["status"] for name, check in odd.items()} == {"freshness": "warn", "days": "warn"}
    assert odd["days"]["detail"] == "N0 (bars on days that are no XNYS sessions: 2022-12-24)"
    assert sorted(odd["freshness"]["items"]) == [
        "L1 (has bars on or after the run date)",
        "N1 (has bars on or after the run date)",
    ]
    assert odd["days"]["detail"] in mixed.page


def test_no_row_is_lost(mixed: Run) -> None:
    """Every symbol has a row on each common day that has a label and five of the symbol's bars before it."""
    new_york, london = days("XNYS"), days("XLON")
    start = max(new_york[0], london[0])
    # Before the other exchange's first bar, one exchange's days are common to all symbols that trade.
    common = new_york.intersection(london).union(new_york[new_york < start]).union(london[london < start])
    labelled = common[:-HORIZON]

    expected = sum(6 * len(labelled[labelled.isin(own[5:])]) for own in (new_york, london))
    assert mixed.receipt["smoke"]["rows"] == expected


def test_gates_that_were_not_judged_are_no_pass(mixed: Run) -> None:
    unjudged = [gate["name"] for gate in mixed.receipt["smoke"]["gates"] if gate["passed"] is None]

    assert "beats_incumbent" in unjudged
    assert "? not judged" in mixed.page
    assert f"({', '.join(unjudged)} not judged)" in " ".join(mixed.output.split())
