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


@pytest.fixture
def data(walks: Any) -> Rows:
    closes = walks(400, 6, seed=5)
    computed = features.compute(closes)
    computed["research.view"] = np.where(np.arange(400)[:, None] % 2, computed["m5"], np.nan)
    return rows.build(computed, labels.compute(closes, 21, 0.25))


def test_the_momentum_score_is_the_origins_formula() -> None:
    score = momentum_score(*(np.array([value]) for value in (0.05, 0.10, -0.02, 70.0)))

    assert score[0] == pytest.approx(0.4 * 0.05 + 0.3 * 0.10 + 0.2 * -0.02 + 0.1 * (70 - 50) / 100)


def test_an_unknown_part_of_the_momentum_score_is_neutral() -> None:
    unknown = np.array([np.nan])

    assert momentum_score(np.array([0.05]), unknown, unknown, unknown)[0] == pytest.approx(0.02)


def test_the_same_rows_give_the_same_model_on_one_thread_and_two(walks: Any, config: Config) -> None:
    """LightGBM makes blocks of 1,024 rows: with fewer, two threads would be one."""
    closes = walks(400, 60, seed=5)
    data = rows.build(features.compute(closes), labels.compute(closes, 21, 0.25), [features.VOLATILITY])
    texts = []
    for threads in (1, 2, 3):
        settings = replace(config, run=replace(config.run, threads=threads))
        texts.append(boosting.to_text(Layer1.fit(data, len(data), [], settings).volatility))

    assert len(data) > 20_000
    assert len(set(texts)) == 1


def test_a_model_read_back_from_its_text_predicts_the_same(data: Rows, config: Config) -> None:
    model = Layer1.fit(data, len(data), [], config).volatility
    inputs = data.matrix(features.VOLATILITY)

    again = lightgbm.Booster(model_str=boosting.to_text(model))

    np.testing.assert_array_equal(again.predict(inputs), model.predict(inputs))


def test_the_volatility_model_learns_from_training_rows_alone(data: Rows, config: Config) -> None:
    stop = data.first_row(200)
    changed = replace(data, move=np.where(np.arange(len(data)) >= stop, 0.25, data.move))

    texts = {boosting.to_text(Layer1.fit(some, stop, [], config).volatility) for some in (data, changed)}

    assert len(texts) == 1


def test_research_uses_trees_where_there_are_enough_rows_and_buckets_below(data: Rows, config: Config) -> None:
    few = replace(config, research=replace(config.research, min_rows=10**6))

    trees = Layer1.fit(data, len(data), ["research.view"], config)
    buckets = Layer1.fit(data, len(data), ["research.view"], few)
    said = {"trees": trees, "buckets": buckets}

    assert trees.research_document("")["kind"] == "lightgbm"
    assert buckets.research_document("")["kind"] == "buckets"
    unknown = np.isnan(data.features["research.view"])
    for layer in said.values():
        score = layer.outputs(data, 0, len(data), config)[RESEARCH]
        assert np.isnan(score[unknown]).all()
        assert np.isfinite(score[~unknown]).all()


def test_without_research_there_is_no_score_and_the_file_says_why(data: Rows, config: Config) -> None:
    layer = Layer1.fit(data, len(data), [], config)

    assert RESEARCH not in layer.outputs(data, 0, 10, config)
    assert layer.research_document("no such library") == {"kind": "absent", "reason": "no such library"}


def test_buckets_give_the_mean_label_of_each_quantile() -> None:
    inputs = np.arange(10.0)[:, None]
    target = np.where(np.arange(10) < 5, -0.1, 0.3)

    model = Buckets.fit(inputs, target, 2)

    assert model.predict(np.array([[0.0], [9.0], [np.nan]])).tolist() == pytest.approx([-0.1, 0.3, np.nan], nan_ok=True)


def test_buckets_of_no_finite_row_say_nothing() -> None:
    model = Buckets.fit(np.full((4, 1), np.nan), np.ones(4), 5)

    assert model.predict(np.array([[1.0]])).tolist() == [0.0]


def test_the_calibrator_rises_and_keeps_the_order_of_scores() -> None:
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


def test_the_documents_say_all_that_a_forecast_needs() -> None:
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
def test_the_calibrator_is_scikit_learns_with_ties_and_without(points: list[tuple[int, int]]) -> None:
    scores, target = np.array(points, dtype=float).T

    knots, values = meta.isotonic(scores, target)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, target)

    asked = np.linspace(-5, 5, 41)
    np.testing.assert_allclose(np.interp(asked, knots, values), theirs.predict(asked), atol=1e-12)


@pytest.mark.parametrize("cuts", [[], [1], [100, 350]])
def test_ridge_is_scikit_learns_however_the_rows_are_cut(cuts: list[int]) -> None:
    random = np.random.default_rng(4)
    inputs = random.uniform(-0.5, 0.5, (500, 4)) + np.array([0, 1, 0, 0])
    target = inputs @ [0.1, 0.0, -0.05, 0.02] + random.normal(0.3, 0.1, 500)

    coefficients, intercept = meta.ridge(np.split(inputs, cuts), np.split(target, cuts), alpha=2.0)
    theirs = Ridge(alpha=2.0).fit(inputs, target)

    np.testing.assert_allclose(coefficients, theirs.coef_, atol=1e-12)
    assert intercept == pytest.approx(theirs.intercept_, abs=1e-12)


def test_the_shares_of_the_features_add_up_to_1_and_name_the_one_that_matters(data: Rows, config: Config) -> None:
    told = replace(data, relative=np.nan_to_num(data.features["research.view"]), move=data.features["rv60"])
    told = replace(told, move=np.nan_to_num(told.move))

    shares = Layer1.fit(told, len(told), ["research.view"], config).importance()

    assert list(shares) == ["volatility", "research"]
    assert shares["research"] == {"research.view": 1.0}
    assert set(shares["volatility"]) == set(features.VOLATILITY)
    assert sum(shares["volatility"].values()) == pytest.approx(1.0)
    assert shares["volatility"]["rv60"] > 0.9


def test_a_model_that_never_split_and_bucket_means_have_no_shares(data: Rows, config: Config) -> None:
    flat = replace(data, move=np.zeros(len(data)))
    few = replace(config, research=replace(config.research, min_rows=10**6))

    assert Layer1.fit(flat, len(flat), ["research.view"], few).importance() == {"volatility": {}, "research": {}}


def test_the_meta_models_shares_are_of_the_absolute_coefficients() -> None:
    model = MetaModel(np.array([0.3, -0.1, 0.0]), 0.0, np.zeros(1), np.zeros(1))

    assert model.importance(["a", "b", "c"]) == pytest.approx({"a": 0.75, "b": 0.25, "c": 0.0})
    assert MetaModel(np.zeros(2), 0.0, np.zeros(1), np.zeros(1)).importance(["a", "b"]) == {}
