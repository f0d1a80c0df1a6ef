from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from predictor.config import Config, parse
from predictor.training import features, gates, triple_barrier
from predictor.training.folds import Fold
from predictor.training.gates import Evidence, Gate
from predictor.training.incumbent import Comparison
from predictor.training.layer1 import VOLATILITY
from predictor.training.rows import Rows
from predictor.training.triple_barrier import Observation
from predictor.training.walk_forward import FoldRows, WalkForwardResult

from tests.support.predictor import build_rows

NOTHING_SEEN = Observation(0, 0, None, None, None, "none")


@pytest.fixture
def closes(walks: Any) -> Any:
    made = walks(300, 8, seed=9)
    # Half of the symbols are listed late, which makes rows with a short history.
    made[:150, 4:] = np.nan
    return made


@pytest.fixture
def data(closes: Any) -> Rows:
    return build_rows(closes)


def _result(
    data: Rows, volatility: Any, ics: list[float], calibrated: Any = None, score: Any = None
) -> WalkForwardResult:
    everything = np.arange(len(data), dtype=np.float64)
    part = FoldRows(
        Fold(0, 0, 0, 0, 0),
        0,
        len(data),
        {VOLATILITY: volatility},
        np.empty((len(data), 0)),
        everything if score is None else score,
        everything if calibrated is None else calibrated,
    )
    return WalkForwardResult([part], [{"fold": number, "ic": value} for number, value in enumerate(ics)], [])


def _evaluate(
    data: Rows,
    result: WalkForwardResult,
    config: Config,
    seen: Observation = NOTHING_SEEN,
    comparison: Comparison | None = None,
) -> dict[str, Gate]:
    evidence = Evidence(data, result, seen, comparison, "2022-12-29-candidate")
    return {gate.name: gate for gate in gates.evaluate(evidence, config.gates)}


@pytest.mark.parametrize(("ics", "passed"), [([0.0, 0.02, 0.5], True), ([0.0, 0.0199, 0.5], False), ([], False)])
def test_median_ic_gate_passes_at_its_threshold(data: Rows, config: Config, ics: list[float], passed: bool) -> None:
    found = _evaluate(data, _result(data, data.move, ics), config)["median_ic"]

    assert (found.passed, found.blocking) == (passed, True)


def test_short_history_gate_compares_with_plain_volatility(data: Rows, config: Config) -> None:
    good = _evaluate(data, _result(data, data.move, [0.1]), config)["short_history"]
    bad = _evaluate(data, _result(data, -data.move, [0.1]), config)["short_history"]

    assert (good.passed, bad.passed) == (True, False)
    assert good.blocking
    assert good.value is not None and good.value > 0
    assert gates.promoted([good])
    assert not gates.promoted([good, bad])


def test_short_history_gate_uses_only_short_histories(data: Rows, config: Config) -> None:
    short = np.isnan(data.matrix(features.VOLATILITY)).any(axis=1)
    # Perfect for long histories, inverted for short ones: an average over all rows would pass.
    mixed = np.where(short, -data.move, data.move)

    assert not _evaluate(data, _result(data, mixed, [0.1]), config)["short_history"].passed


def test_short_history_gate_passes_with_too_few_rows(walks: Any, config: Config) -> None:
    full = build_rows(walks(300, 8))
    late = np.searchsorted(full.day, 100)
    part = FoldRows(
        Fold(0, 0, 0, 0, 0), int(late), len(full), {VOLATILITY: full.move[late:]}, np.empty(0), full.move, full.move
    )

    found = _evaluate(full, WalkForwardResult([part], [], []), config)["short_history"]

    assert (found.passed, found.value) == (None, None)
    assert "not judged: 0 rows" in found.detail


def test_observing_gates_never_block(data: Rows, config: Config) -> None:
    found = _evaluate(data, _result(data, data.move, [0.5], calibrated=np.zeros(len(data))), config)

    assert not found["output_distribution"].passed
    assert not found["triple_barrier"].passed
    assert gates.promoted(list(found.values()))


def test_triple_barrier_label_is_the_return_at_the_first_touch() -> None:
    path = np.array([100.0, 103.0, 106.0, 90.0, 120.0, 100.0])
    closes = np.column_stack([path, path, np.array([100.0, np.nan, 1.0, 1.0, 1.0, 1.0])])
    day, symbol = np.array([0, 0, 0]), np.array([0, 1, 2])

    found = triple_barrier.labels(closes, day, symbol, np.array([0.05, 0.50, 0.05]), horizon=5)

    assert found.tolist() == pytest.approx([0.06, 0.0, np.nan], nan_ok=True)


def test_triple_barriers_use_only_the_last_days(closes: Any, data: Rows, config: Config) -> None:
    result = _result(data, data.move, [0.1], score=data.forward)

    seen = triple_barrier.observe(closes, data, result, config)

    assert seen.days == 42
    assert seen.pairs == 42 * 8
    assert seen.fixed_ic == pytest.approx(1.0)
    assert seen.ratio == pytest.approx(seen.barrier_ic)
    assert 0 < (seen.barrier_ic or 0) < 1


def test_too_few_pairs_are_not_judged(closes: Any, data: Rows, config: Config) -> None:
    nothing = np.full(len(data), np.nan)

    seen = triple_barrier.observe(closes, data, _result(data, data.move, [], score=nothing), config)

    assert (seen.pairs, seen.ratio) == (0, None)
    assert seen.detail == "not judged: 0 pairs, 100 needed"
    assert _evaluate(data, _result(data, data.move, [0.5]), config, seen)["triple_barrier"].passed is None


@pytest.mark.parametrize(("passed", "promoted"), [(True, True), (None, True), (False, False)])
def test_only_a_failed_blocking_gate_blocks(passed: bool | None, promoted: bool) -> None:
    one = gates.Gate("one", None, 0.0, passed, True, "")

    assert gates.promoted([one, replace(one, passed=False, blocking=False)]) is promoted


def test_configuration_names_every_gate(config: Config) -> None:
    assert list(gates.GATES) == [field.name for field in dataclasses.fields(config.gates)]


@pytest.mark.parametrize("name", list(gates.GATES))
def test_configuration_decides_which_gates_block(name: str, data: Rows, settings: dict[str, Any]) -> None:
    result = _result(data, data.move, [0.5])
    for blocking in (True, False):
        settings["gates"][name]["blocking"] = blocking
        assert _evaluate(data, result, parse(settings))[name].blocking is blocking
