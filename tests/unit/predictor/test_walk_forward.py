"""No fold depends on its future: changing later prices changes no earlier score."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from predictor.config import Config
from predictor.training import folds
from predictor.training.folds import Fold
from predictor.training.rows import Rows
from predictor.training.walk_forward import WalkForward, WalkForwardResult

from tests.support.predictor import HORIZON, build_rows


def _run(closes: NDArray[np.float64], config: Config) -> tuple[list[Fold], Rows, WalkForwardResult]:
    data = build_rows(closes)
    plan = folds.split(len(closes) - HORIZON, config.walk_forward)
    return plan, data, WalkForward(data, [], config).run(plan, lambda done: None)


def _scores_known_before(result: WalkForwardResult, data: Rows, day: int) -> NDArray[np.float64]:
    """Scores of all rows up to and including a day."""
    scores = np.concatenate([part.score for part in result.parts])
    known: NDArray[np.float64] = scores[data.day[result.rows()] <= day]
    return known


def _unmoved(closes: NDArray[np.float64], config: Config, number: int) -> bool:
    """Whether scores up to fold `number`'s first test day stay the same when later prices change."""
    plan, data, before = _run(closes, config)
    day = plan[number].test_start
    changed = closes.copy()
    changed[day + 1 :] *= np.random.default_rng(8).uniform(0.5, 2.0, changed[day + 1 :].shape)
    _, other, after = _run(changed, config)
    first, second = (_scores_known_before(result, some, day) for result, some in ((before, data), (after, other)))
    assert np.isfinite(first).any()
    return np.array_equal(first, second, equal_nan=True)


def test_scores_do_not_depend_on_later_prices(walks: Any, config: Config) -> None:
    assert _unmoved(walks(520, 8, seed=4), config, 3)


def test_without_purge_scores_depend_on_later_prices(walks: Any, config: Config) -> None:
    # `parse` would refuse a purge below the horizon.
    leaking = replace(config, walk_forward=replace(config.walk_forward, purge_days=0))

    assert not _unmoved(walks(520, 8, seed=4), leaking, 3)


def test_meta_model_needs_its_own_purge(walks: Any, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layer 1's purge does not hide a missing one in layer 2."""
    original = WalkForward._fit_meta

    def unpurged(self: WalkForward, parts: Any, known_until: int) -> Any:
        return original(self, parts, len(self._rows))

    monkeypatch.setattr(WalkForward, "_fit_meta", unpurged)

    assert not _unmoved(walks(520, 8, seed=4), config, 3)


def test_random_walks_have_no_ic(walks: Any, config: Config) -> None:
    _, _, result = _run(walks(1500, 30, seed=11), config)

    ics = np.array(result.ics())
    interval = 2 * ics.std(ddof=1) / np.sqrt(len(ics))
    assert len(ics) > 15
    assert abs(ics.mean()) < interval + 0.01


def test_planted_momentum_is_found(walks: Any, config: Config) -> None:
    _, _, result = _run(walks(1000, 30, seed=12, drift=0.003), config)

    assert np.median(result.ics()) > 0.3


def test_first_fold_trains_only_layer_1(walks: Any, config: Config) -> None:
    _, _, result = _run(walks(520, 8), config)

    assert [skipped["fold"] for skipped in result.skipped] == [0]
    assert result.skipped[0]["reason"].startswith("layer 1 only: ")
    assert [fold["fold"] for fold in result.folds] == [1, 2, 3, 4]
    assert np.isnan(result.parts[0].score).all()
    assert np.isfinite(result.parts[1].score).all()


def test_fold_with_too_few_rows_is_skipped(walks: Any, config: Config) -> None:
    closes = walks(520, 8)
    # Most symbols are listed late, so the early folds have too few rows.
    closes[:260, 2:] = np.nan
    small = replace(config, walk_forward=replace(config.walk_forward, min_train_rows=600, min_test_rows=100))

    _, _, result = _run(closes, small)

    expected = "expected at least 600 training and 100 test rows, got "
    assert [entry["fold"] for entry in result.skipped if entry["reason"].startswith(expected)] == [0, 1]
    assert result.folds


def test_equal_input_gives_equal_folds(walks: Any, config: Config) -> None:
    first, second = (_run(walks(520, 8), config)[2] for _ in range(2))

    assert first.ics() == second.ics()
    assert first.ics()
