"""Generated universes: the preflight never crashes; what it passes trains; it names what the training leaves out."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import arcticdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from predictor import exchange, preflight, store
from predictor.checks.base import Context
from predictor.config import Config, parse
from predictor.errors import PredictorError
from predictor.training import data_changes, fingerprint, report, run
from predictor.training.incumbent import Incumbent
from predictor.training.progress import Progress

pytestmark = pytest.mark.slow

RUN_DATE = date(2022, 12, 29)
FIRST = date(2021, 1, 1)
CALENDARS = ("XNYS", "XLON", "XSHG", "24/7")
NAMES = ("A", "BRK.B", "ES#F", "#1", " padded ", "a/b", "'q'", "x,y", "eps:1[0]", "-", "..")
DATA_CHECKS = [name for name in preflight.names() if name[1:3] in {"60", *map(str, range(61, 70))}]

FAULTS = {
    # What the training refuses.
    "infinite": lambda frame, place: _with(frame, place, np.inf),
    "zero": lambda frame, place: _with(frame, place, 0.0),
    "negative": lambda frame, place: _with(frame, place, -5.0),
    "repeated day": lambda frame, place: pd.concat([frame[: place + 1], frame[place:]]),
    "out of order": lambda frame, place: pd.concat([frame[place:], frame[:place]]),
    "no close": lambda frame, place: frame.rename(columns={"close": "price"}),
    "two closes": lambda frame, place: pd.concat([frame, frame], axis=1),
    "text": lambda frame, place: frame.astype({"close": str}),
    "boolean": lambda frame, place: frame.astype({"close": bool}),
    "series": lambda frame, place: frame["close"],
    "no days": lambda frame, place: frame.reset_index(drop=True),
    "empty": lambda frame, place: frame[:0],
    # What it leaves out, or accepts.
    "missing close": lambda frame, place: _with(frame, place, np.nan),
    "missing last close": lambda frame, place: _with(frame, -1, np.nan),
    "all closes missing": lambda frame, place: frame.assign(close=np.nan),
    "missing day": lambda frame, place: frame.drop(frame.index[place]),
    "pause": lambda frame, place: frame.drop(frame.index[place : place + 40]),
    "short": lambda frame, place: frame[-20:],
    "ended": lambda frame, place: frame[: place + 30],
    "stray bar": lambda frame, place: _with_bar(frame, "2022-12-24"),
    "bar of today": lambda frame, place: _with_bar(frame, "2022-12-29"),
    "other zone": lambda frame, place: frame.tz_localize("Asia/Tokyo"),
    "float32": lambda frame, place: frame.astype("float32"),
    "integers": lambda frame, place: frame.round().astype("int64"),
    "more columns": lambda frame, place: frame.assign(volume=1, note="x"),
    "constant": lambda frame, place: frame.assign(close=50.0),
    "steep": lambda frame, place: frame.assign(close=np.geomspace(1e-9, 1e9, len(frame))),
    "none": lambda frame, place: frame,
}


def _with(frame: pd.DataFrame, place: int, close: float) -> pd.DataFrame:
    changed = frame.copy()
    changed.iloc[place, 0] = close
    return changed


def _with_bar(frame: pd.DataFrame, day: str) -> pd.DataFrame:
    bar = pd.DataFrame({"close": [np.nan]}, index=pd.DatetimeIndex([day]))
    return pd.concat([frame.drop(bar.index, errors="ignore"), bar.fillna(1.0)]).sort_index()


def _frame(calendar: str, seed: int) -> pd.DataFrame:
    days = exchange.calendar(calendar, FIRST, date(2022, 12, 28)).sessions
    walk = np.cumsum(np.random.default_rng(seed).normal(0, 0.01, len(days)))
    return pd.DataFrame({"close": 100 * np.exp(walk)}, index=pd.DatetimeIndex(days))


SYMBOL = st.tuples(
    st.sampled_from(["none"] * 2 * len(FAULTS) + list(FAULTS)),
    st.sampled_from(CALENDARS[:2] * 3 + CALENDARS),
    st.integers(5, 200),
)


@st.composite
def universes(draw: st.DrawFn) -> dict[str, Any]:
    """Symbols, each with a fault, a calendar and a place of its fault; research, and the calendars that are known."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=6, unique=True))
    return {
        "symbols": {name: draw(SYMBOL) for name in names},
        "research": {
            name: draw(SYMBOL) for name in draw(st.lists(st.sampled_from(NAMES[:3]), max_size=2, unique=True))
        },
        "known": draw(st.sampled_from([0, 1, 1, 1])),
        "horizon": draw(st.sampled_from([1, 5])),
        "test_days": draw(st.sampled_from([21, 60])),
        "min_rows_in_leaf": draw(st.sampled_from([1, 20])),
    }


class Listed:
    """A library with a known list of symbols: in memory, ArcticDB waits half a second for a lock to list them."""

    def __init__(self, library: Any, symbols: list[str]) -> None:
        self._library, self._symbols = library, symbols

    def list_symbols(self) -> list[str]:
        return self._symbols

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)


class Memory:
    """ArcticDB in memory, as `ReadOnlyStore` offers it."""

    def __init__(self) -> None:
        self.arctic = arcticdb.Arctic("mem://")
        self.libraries: dict[str, Listed] = {}

    def has_library(self, name: str) -> bool:
        return name in self.libraries

    def library(self, name: str) -> Any:
        return self.libraries[name]

    @contextmanager
    def filled(self, libraries: dict[str, dict[str, Any]]) -> Iterator[None]:
        for name, content in libraries.items():
            library = self.arctic.create_library(name)
            for symbol, data in content.items():
                library.write(symbol, data, validate_index=False)
            self.libraries[name] = Listed(library, list(content))
        try:
            yield
        finally:
            self.libraries.clear()
            for name in libraries:
                self.arctic.delete_library(name)


@pytest.fixture(scope="module")
def memory() -> Memory:
    return Memory()


def _config(base: dict[str, Any], universe: dict[str, Any]) -> Config:
    small = copy.deepcopy(base)
    small["walk_forward"].update(
        min_train_days=60, test_days=universe["test_days"], purge_days=5, min_train_rows=30, min_test_rows=10
    )
    small["labels"]["horizon"] = universe["horizon"]
    small["lightgbm"].update(trees=2, leaves=4, min_rows_in_leaf=universe["min_rows_in_leaf"])
    small["research"]["min_rows"] = 50
    small["data"]["macro"] = {}
    if universe["known"]:
        small["data"]["calendars"]["symbols"] = {name: one[1] for name, one in universe["symbols"].items()}
    return parse(small)


def _train(memory: Memory, config: Config, folder: Path) -> dict[str, Any]:
    job = run.Job("data", RUN_DATE, folder, "run", "arcticdb", True, folder / "progress.jsonl", None)
    result = report.empty(True)
    with pytest.MonkeyPatch.context() as patch, Progress(job.progress_path) as progress:
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setattr(store, "ReadOnlyStore", lambda uri: memory)
        patch.setattr(data_changes, "last_manifest", lambda *about: None)
        patch.setattr(fingerprint, "compute", lambda *about: "")
        source = {"lock_sha256": None}
        run._fit(job, config, None, Incumbent(None, None, None), source, result, progress)
    return result


@given(universe=universes())
@settings(
    max_examples=2000,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_what_the_preflight_passes_trains(
    universe: dict[str, Any], memory: Memory, default_settings: dict[str, Any], tmp_path: Path
) -> None:
    config = _config(default_settings, universe)
    content = {
        library: {
            name: FAULTS[fault](_frame(calendar, seed), place)
            for seed, (name, (fault, calendar, place)) in enumerate(universe[kind].items())
        }
        for library, kind in (("universe", "symbols"), ("research", "research"))
    }
    libraries = {
        "universe": content["universe"],
        "macro": {},
        **({"research": r} if (r := content["research"]) else {}),
    }
    with memory.filled(libraries):
        context = Context("data", RUN_DATE, tmp_path, tmp_path, "arcticdb")
        context.__dict__.update(config=config, store=memory)
        found = {check.name: check for check in (preflight._run_one(name, context) for name in DATA_CHECKS)}

        crashed = [
            check.detail for check in found.values() if "crashed" in check.detail or "cannot load" in check.detail
        ]
        assert crashed == []
        fit = {name for name in ("universe", "prices", "research", "folds") if found[name].status != "fail"}
        try:
            result = _train(memory, config, tmp_path)
        except PredictorError:
            assert len(fit) < 4, "the training refused what the preflight passed"
            return
        # Training leaves out a symbol without rows, which the check `universe` refuses.
        assert {"prices", "folds"} <= fit, "the preflight refused what the training accepted"
        assert "research" in fit or "trading days old" in found["research"].detail
        assert result["folds"] > 0
        named = " ".join(item for check in found.values() for item in check.items)
        for one in result["left_out"]:
            assert f"{one['symbol']} ({one['reason']})" in named
        for symbol, closes in context.reading.closes.items():
            assert not len(closes.missing) or f"{symbol} (close is NaN on " in named
        for symbol in context.sessions.off_session:
            assert f"{symbol} (" in " ".join(found["days"].items)
        assert not len(context.panel.sparse) or "fewer than half of the symbols" in named
