"""No fold knows its future: shown by changing the future and seeing nothing move."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from predictor.config import Config
from predictor.training import features, folds, labels, rows
from predictor.training.folds import Fold
from predictor.training.rows import Rows
from predictor.training.walk_forward import WalkForward, WalkForwardResult

HORIZON = 21


def _rows(closes: NDArray[np.float64]) -> Rows:
    return rows.build(features.compute(closes), labels.compute(closes, HORIZON, 0.25))


def _run(closes: NDArray[np.float64], config: Config) -> tuple[list[Fold], Rows, WalkForwardResult]:
    data = _rows(closes)
    plan = folds.split(len(closes) - HORIZON, config.walk_forward)
    return plan, data, WalkForward(data, [], config).run(plan, lambda done: None)


def _scores_known_before(result: WalkForwardResult, data: Rows, day: int) -> NDArray[np.float64]:
    """Scores of all rows up to a day, that one included."""
    scores = np.concatenate([part.score for part in result.parts])
    place = np.concatenate([np.arange(part.start, part.stop) for part in result.parts])
    known: NDArray[np.float64] = scores[data.day[place] <= day]
    return known


def _unmoved(closes: NDArray[np.float64], config: Config, number: int) -> bool:
    """Whether what is said up to fold `number`'s first test day stays, when all prices after that day change."""
    plan, data, before = _run(closes, config)
    day = plan[number].test_start
    changed = closes.copy()
    changed[day + 1 :] *= np.random.default_rng(8).uniform(0.5, 2.0, changed[day + 1 :].shape)
    _, other, after = _run(changed, config)
    first, second = (_scores_known_before(result, some, day) for result, some in ((before, data), (after, other)))
    # Day `number` has a score of its own only from fold 1 on.
    assert np.isfinite(first).any()
    return np.array_equal(first, second, equal_nan=True)


def test_what_a_fold_says_on_its_first_day_does_not_depend_on_later_prices(walks: Any, config: Config) -> None:
    assert _unmoved(walks(520, 8, seed=4), config, 3)


def test_without_the_purge_it_would_so_the_test_above_can_fail(walks: Any, config: Config) -> None:
    # The configuration refuses a purge below the horizon; this goes round it.
    leaking = replace(config, walk_forward=replace(config.walk_forward, purge_days=0))

    assert not _unmoved(walks(520, 8, seed=4), leaking, 3)


def test_the_meta_model_alone_is_purged_too(walks: Any, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layer 1's purge must not hide a missing one in layer 2: fit layer 2 without it, and the leak shows."""
    honest = WalkForward._fit_meta

    def unpurged(self: WalkForward, parts: Any, known_until: int) -> Any:
        return honest(self, parts, len(self._rows))

    monkeypatch.setattr(WalkForward, "_fit_meta", unpurged)

    assert not _unmoved(walks(520, 8, seed=4), config, 3)


def test_on_prices_without_memory_the_median_ic_is_nothing(walks: Any, config: Config) -> None:
    _, _, result = _run(walks(1500, 30, seed=11), config)

    ics = np.array(result.ics())
    interval = 2 * ics.std(ddof=1) / np.sqrt(len(ics))
    assert len(ics) > 15
    assert abs(ics.mean()) < interval + 0.01


def test_planted_momentum_is_found(walks: Any, config: Config) -> None:
    _, _, result = _run(walks(1000, 30, seed=12, drift=0.003), config)

    assert np.median(result.ics()) > 0.3


def test_the_first_fold_trains_layer_1_only_and_says_so(walks: Any, config: Config) -> None:
    _, _, result = _run(walks(520, 8), config)

    assert [skipped["fold"] for skipped in result.skipped] == [0]
    assert "layer 1 only: 0 out-of-sample rows" in result.skipped[0]["reason"]
    assert [fold["fold"] for fold in result.folds] == [1, 2, 3, 4]
    assert np.isnan(result.parts[0].score).all()
    assert np.isfinite(result.parts[1].score).all()


def test_a_fold_that_is_too_small_is_skipped_and_named(walks: Any, config: Config) -> None:
    closes = walks(520, 8)
    # Two symbols are listed late: the early folds have too few rows.
    closes[:260, 2:] = np.nan
    small = replace(config, walk_forward=replace(config.walk_forward, min_train_rows=600, min_test_rows=100))

    _, _, result = _run(closes, small)

    skipped = [entry for entry in result.skipped if "training and" in entry["reason"]]
    assert [entry["fold"] for entry in skipped] == [0, 1]
    assert skipped[0]["reason"].endswith("600 and 100 are needed")
    assert result.folds


def test_the_same_input_gives_the_same_folds(walks: Any, config: Config) -> None:
    first, second = (_run(walks(520, 8), config)[2] for _ in range(2))

    assert first.ics() == second.ics()
    assert first.ics()
