"""The comparison with the live set, on common rows and the candidate's labels."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from predictor.config import Config
from predictor.manifest import Manifest
from predictor.training import gates, ic, incumbent
from predictor.training.folds import Fold
from predictor.training.gates import Evidence, Gate
from predictor.training.incumbent import Comparison, Incumbent, OutOfSample
from predictor.training.layer1 import VOLATILITY
from predictor.training.panel import Panel
from predictor.training.rows import Rows
from predictor.training.triple_barrier import Observation
from predictor.training.walk_forward import FoldRows, WalkForwardResult

from tests.support.predictor import build_rows

THEIRS = Manifest("2022-12-22-them", "them", "2022-12-22", True, {}, None, {})
EDGES = (100, 160, 220, 270)
"""First days of the three folds, and the end of the last."""


@pytest.fixture
def panel(walks: Any) -> Panel:
    days = np.arange("2022-01-03", "2022-10-30", dtype="datetime64[D]")
    return Panel.of(days, [f"S{n:02}" for n in range(8)], walks(300, 8, seed=5), {})


@pytest.fixture
def data(panel: Panel) -> Rows:
    return build_rows(panel.close)


def _walked(data: Rows, score: Any) -> WalkForwardResult:
    """A walk-forward of three folds with these scores, one per row of `data`."""
    result = WalkForwardResult()
    for number, (first, end) in enumerate(itertools.pairwise(EDGES)):
        start, stop = data.first_row(first), data.first_row(end)
        said = score[start:stop]
        fold = Fold(number, 0, first - 21, first, end)
        value = ic.mean(said, data.relative[start:stop], data.day[start:stop])
        part = FoldRows(fold, start, stop, {VOLATILITY: said}, np.empty((stop - start, 0)), said, said)
        result.parts.append(part)
        result.folds.append({"fold": number, "ic": value})
    return result


def _live(panel: Panel, data: Rows, score: Any, first: int = EDGES[0], end: int = EDGES[-1]) -> Incumbent:
    """An incumbent with these scores between two days."""
    place = slice(data.first_row(first), data.first_row(end))
    said = OutOfSample(panel.days[data.day[place]], panel.symbols, data.symbol[place], score[place])
    return Incumbent("etag", THEIRS, said)


def _gate(data: Rows, result: WalkForwardResult, found: Comparison | None, config: Config) -> Gate:
    evidence = Evidence(data, result, Observation(0, 0, None, None, None, ""), found, "2022-12-29-us")
    return next(gate for gate in gates.evaluate(evidence, config.gates) if gate.name == "beats_incumbent")


@pytest.fixture
def noise() -> Any:
    return np.random.default_rng(2).normal(size=100_000)


def test_only_a_better_candidate_passes(panel: Panel, data: Rows, noise: Any, config: Config) -> None:
    good, bad = data.relative + 0.05 * noise[: len(data)], data.relative + 0.5 * noise[: len(data)]

    better = _walked(data, good)
    found = incumbent.compare(_live(panel, data, bad), panel, data, better)
    gate = _gate(data, better, found, config)
    assert found is not None
    assert (gate.passed, gate.blocking) == (True, True)
    both = zip(better.folds, _walked(data, bad).folds, strict=True)
    expected = np.median([mine["ic"] - theirs["ic"] for mine, theirs in both])
    assert gate.value == pytest.approx(expected)

    worse = _walked(data, bad)
    gate = _gate(data, worse, incumbent.compare(_live(panel, data, good), panel, data, worse), config)
    assert not gate.passed
    assert gate.value == pytest.approx(-expected)
    assert not gates.promoted([gate])


def test_equal_scores_pass_only_without_a_margin(panel: Panel, data: Rows, noise: Any, config: Config) -> None:
    score = noise[: len(data)]
    result = _walked(data, score)

    gate = _gate(data, result, incumbent.compare(_live(panel, data, score), panel, data, result), config)
    assert (gate.value, gate.passed) == (0.0, True)

    wider = replace(config.gates.beats_incumbent, margin=0.01)
    asked = replace(config, gates=replace(config.gates, beats_incumbent=wider))
    assert not _gate(data, result, incumbent.compare(_live(panel, data, score), panel, data, result), asked).passed


def test_only_common_rows_count(panel: Panel, data: Rows, noise: Any) -> None:
    score = noise[: len(data)]
    result = _walked(data, score)
    # The incumbent lacks half of the symbols and the last days; elsewhere its scores are the candidate's labels.
    live = _live(panel, data, data.relative, end=200)
    assert live.rows is not None
    kept = live.rows.symbol < 4
    live = replace(
        live, rows=OutOfSample(live.rows.day[kept], panel.symbols[:4], live.rows.symbol[kept], live.rows.score[kept])
    )

    found = incumbent.compare(live, panel, data, result)

    assert found is not None
    assert [(fold["fold"], fold["days"]) for fold in found.folds] == [(0, 60), (1, 40)]
    assert found.days == 100
    few = data.symbol < 4
    for fold, (first, end) in zip(found.folds, ((100, 160), (160, 200)), strict=True):
        place = slice(data.first_row(first), data.first_row(end))
        own = few[place]
        ours = ic.mean(score[place][own], data.relative[place][own], data.day[place][own])
        assert fold["ic"] == pytest.approx(ours)
        assert fold["incumbent_ic"] == pytest.approx(1.0)


def test_incumbents_other_symbols_and_days_are_ignored(panel: Panel, data: Rows, noise: Any) -> None:
    result = _walked(data, noise[: len(data)])
    live = _live(panel, data, noise[: len(data)])
    assert live.rows is not None
    early, late = np.datetime64("1999-01-01"), np.datetime64("2099-01-01")
    more = OutOfSample(
        np.concatenate([live.rows.day, [early, late, live.rows.day[0]]]),
        [*panel.symbols, "GONE"],
        np.concatenate([live.rows.symbol, [0, 0, 8]]),
        np.concatenate([live.rows.score, [9.0, 9.0, 9.0]]),
    )

    found = incumbent.compare(replace(live, rows=more), panel, data, result)

    assert found is not None
    assert found.folds == (incumbent.compare(live, panel, data, result) or found).folds
    assert found.median_difference == 0.0


def test_too_few_common_days_pass(panel: Panel, data: Rows, noise: Any, config: Config) -> None:
    result = _walked(data, noise[: len(data)])
    best = data.relative

    gate = _gate(data, result, incumbent.compare(_live(panel, data, best, end=159), panel, data, result), config)
    assert (gate.passed, gate.value) == (None, None)
    assert gate.detail == "not judged: against run them of 2022-12-22: 59 common days in 1 of 3 folds, 60 days needed"
    gate = _gate(data, result, incumbent.compare(_live(panel, data, best, end=160), panel, data, result), config)
    assert (gate.passed, gate.value is None) == (False, False)

    gate = _gate(data, result, incumbent.compare(_live(panel, data, best, first=280), panel, data, result), config)
    assert gate.detail.startswith("not judged: against run them of 2022-12-22: 0 common days")


def test_no_live_set_or_own_live_set_passes(panel: Panel, data: Rows, noise: Any, config: Config) -> None:
    result = _walked(data, noise[: len(data)])

    nothing = incumbent.compare(Incumbent(None, None, None), panel, data, result)
    gate = _gate(data, result, nothing, config)
    assert (gate.passed, gate.value, gate.detail) == (None, None, "not judged: no set has been promoted yet")

    own = replace(_live(panel, data, data.relative), manifest=replace(THEIRS, version="2022-12-29-us"))
    gate = _gate(data, result, incumbent.compare(own, panel, data, result), config)
    assert (gate.passed, gate.detail) == (None, "not judged: the live set is this run's own")


def test_rows_survive_parquet() -> None:
    day = np.array(["2022-01-03", "2022-01-03", "2022-01-04"], dtype="datetime64[D]")
    table = pa.table({"date": pa.array(day), "symbol": ["B", "A", "B"], "score": pa.array([0.1, None, 1 / 3])})
    sink = io.BytesIO()
    pq.write_table(table, sink)

    found = incumbent.decode(sink.getvalue())

    assert found.day.tolist() == day.tolist()
    assert [found.names[place] for place in found.symbol] == ["B", "A", "B"]
    assert found.score.tolist() == pytest.approx([0.1, np.nan, 1 / 3], nan_ok=True)
