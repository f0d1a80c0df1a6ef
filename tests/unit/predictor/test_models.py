from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from predictor.config import Config
from predictor.training import boosting, features, ic, labels, meta, rows
from predictor.training.layer1 import RESEARCH, Buckets, Layer1, momentum_score
from predictor.training.meta import MetaModel
from predictor.training.rows import Rows
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import Ridge

from tests.support.predictor import build_rows


@pytest.fixture
def data(walks: Any) -> Rows:
    closes = walks(400, 6, seed=5)
    computed = features.compute(closes)
    computed["research.view"] = np.where(np.arange(400)[:, None] % 2, computed["m5"], np.nan)
    return rows.build(computed, labels.compute(closes, 21, 0.25))


def test_momentum_score_is_the_formula() -> None:
    score = momentum_score(*(np.array([value]) for value in (0.05, 0.10, -0.02, 70.0)))

    assert score[0] == pytest.approx(0.4 * 0.05 + 0.3 * 0.10 + 0.2 * -0.02 + 0.1 * (70 - 50) / 100)


def test_unknown_parts_of_the_momentum_score_are_neutral() -> None:
    unknown = np.array([np.nan])

    assert momentum_score(np.array([0.05]), unknown, unknown, unknown)[0] == pytest.approx(0.02)


def test_model_does_not_depend_on_the_number_of_threads(walks: Any, config: Config) -> None:
    """LightGBM gives each thread at least 1,024 rows, so fewer rows would not use several threads."""
    data = build_rows(walks(400, 60, seed=5), together=[features.VOLATILITY])
    texts = []
    for threads in (1, 2, 3):
        settings = replace(config, run=replace(config.run, threads=threads))
        texts.append(boosting.to_text(Layer1.fit(data, len(data), [], settings).volatility))

    assert len(data) > 20_000
    assert len(set(texts)) == 1


def test_model_loaded_from_text_predicts_the_same(data: Rows, config: Config) -> None:
    model = Layer1.fit(data, len(data), [], config).volatility
    inputs = data.matrix(features.VOLATILITY)

    again = lightgbm.Booster(model_str=boosting.to_text(model))

    np.testing.assert_array_equal(again.predict(inputs), model.predict(inputs))


def test_volatility_model_uses_only_training_rows(data: Rows, config: Config) -> None:
    stop = data.first_row(200)
    changed = replace(data, move=np.where(np.arange(len(data)) >= stop, 0.25, data.move))

    texts = {boosting.to_text(Layer1.fit(some, stop, [], config).volatility) for some in (data, changed)}

    assert len(texts) == 1


def test_research_uses_buckets_below_the_minimum_of_rows(data: Rows, config: Config) -> None:
    few = replace(config, research=replace(config.research, min_rows=10**6))

    trees = Layer1.fit(data, len(data), ["research.view"], config)
    buckets = Layer1.fit(data, len(data), ["research.view"], few)

    assert trees.research_document("")["kind"] == "lightgbm"
    assert buckets.research_document("")["kind"] == "buckets"
    unknown = np.isnan(data.features["research.view"])
    for layer in (trees, buckets):
        score = layer.outputs(data, 0, len(data), config)[RESEARCH]
        assert np.isnan(score[unknown]).all()
        assert np.isfinite(score[~unknown]).all()


def test_absent_research_has_a_reason_and_no_score(data: Rows, config: Config) -> None:
    layer = Layer1.fit(data, len(data), [], config)

    assert RESEARCH not in layer.outputs(data, 0, 10, config)
    assert layer.research_document("no such library") == {"kind": "absent", "reason": "no such library"}


def test_buckets_predict_the_mean_label_of_each_quantile() -> None:
    inputs = np.arange(10.0)[:, None]
    target = np.where(np.arange(10) < 5, -0.1, 0.3)

    model = Buckets.fit(inputs, target, 2)

    assert model.predict(np.array([[0.0], [9.0], [np.nan]])).tolist() == pytest.approx([-0.1, 0.3, np.nan], nan_ok=True)


def test_buckets_without_finite_rows_predict_0() -> None:
    model = Buckets.fit(np.full((4, 1), np.nan), np.ones(4), 5)

    assert model.predict(np.array([[1.0]])).tolist() == [0.0]


def test_calibrator_keeps_the_order_of_scores() -> None:
    random = np.random.default_rng(2)
    inputs = random.uniform(-0.5, 0.5, (4000, 3))
    target = 0.1 * inputs[:, 0] - 0.05 * inputs[:, 2] + random.normal(0, 0.02, 4000)

    model = MetaModel.fit([inputs], [target], alpha=1.0)
    score = model.score(inputs)
    forecast = model.calibrate(score)

    assert model.coefficients == pytest.approx([0.1, 0.0, -0.05], abs=0.005)
    assert (np.diff(forecast[np.argsort(score)]) >= 0).all()
    assert np.sqrt(np.mean((forecast - target) ** 2)) == pytest.approx(0.02, rel=0.05)
    assert model.calibrate(np.array([-99.0, 99.0])).tolist() == [model.values[0], model.values[-1]]


def test_documents_suffice_for_a_forecast() -> None:
    random = np.random.default_rng(2)
    inputs = random.uniform(-0.5, 0.5, (500, 2))
    model = MetaModel.fit([inputs], [inputs[:, 0] + random.normal(0, 0.1, 500)], alpha=1.0)

    ridge = json.loads(json.dumps(model.ridge_document(["a", "b"])))
    isotonic = json.loads(json.dumps(model.isotonic_document()))
    score = ridge["intercept"] + inputs @ np.array([ridge["coefficients"]["a"], ridge["coefficients"]["b"]])

    np.testing.assert_allclose(score, model.score(inputs))
    np.testing.assert_allclose(
        np.interp(score, isotonic["scores"], isotonic["forecasts"]), model.calibrate(model.score(inputs))
    )
    assert ic.pearson(score, inputs[:, 0]) > 0.9


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-5, 5)), min_size=1, max_size=30))
def test_calibrator_equals_scikit_learns(points: list[tuple[int, int]]) -> None:
    scores, target = np.array(points, dtype=float).T

    knots, values = meta.isotonic(scores, target)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, target)

    points_between = np.linspace(-5, 5, 41)
    np.testing.assert_allclose(np.interp(points_between, knots, values), theirs.predict(points_between), atol=1e-12)


@pytest.mark.parametrize("cuts", [[], [1], [100, 350]])
def test_ridge_equals_scikit_learns_for_any_parts(cuts: list[int]) -> None:
    random = np.random.default_rng(4)
    inputs = random.uniform(-0.5, 0.5, (500, 4)) + np.array([0, 1, 0, 0])
    target = inputs @ [0.1, 0.0, -0.05, 0.02] + random.normal(0.3, 0.1, 500)

    coefficients, intercept = meta.ridge(np.split(inputs, cuts), np.split(target, cuts), alpha=2.0)
    theirs = Ridge(alpha=2.0).fit(inputs, target)

    np.testing.assert_allclose(coefficients, theirs.coef_, atol=1e-12)
    assert intercept == pytest.approx(theirs.intercept_, abs=1e-12)


def test_feature_shares_sum_to_1_and_favour_the_relevant(data: Rows, config: Config) -> None:
    view, move = (np.nan_to_num(data.features[name]) for name in ("research.view", "rv60"))
    planted = replace(data, relative=view, move=move)

    shares = Layer1.fit(planted, len(planted), ["research.view"], config).importance()

    assert list(shares) == ["volatility", "research"]
    assert shares["research"] == {"research.view": 1.0}
    assert set(shares["volatility"]) == set(features.VOLATILITY)
    assert sum(shares["volatility"].values()) == pytest.approx(1.0)
    assert shares["volatility"]["rv60"] > 0.9


def test_models_without_splits_have_no_feature_shares(data: Rows, config: Config) -> None:
    flat = replace(data, move=np.zeros(len(data)))
    few = replace(config, research=replace(config.research, min_rows=10**6))

    assert Layer1.fit(flat, len(flat), ["research.view"], few).importance() == {"volatility": {}, "research": {}}


def test_meta_model_shares_are_of_absolute_coefficients() -> None:
    model = MetaModel(np.array([0.3, -0.1, 0.0]), 0.0, np.zeros(1), np.zeros(1))

    assert model.importance(["a", "b", "c"]) == pytest.approx({"a": 0.75, "b": 0.25, "c": 0.0})
    assert MetaModel(np.zeros(2), 0.0, np.zeros(1), np.zeros(1)).importance(["a", "b"]) == {}
