from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
import pytest
from predictor.config import Config
from predictor.training import boosting, features, ic, labels, rows
from predictor.training.layer1 import RESEARCH, Buckets, Layer1, momentum_score
from predictor.training.meta import MetaModel
from predictor.training.rows import Rows


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


def test_the_same_rows_give_the_same_model_on_one_thread_and_two(data: Rows, config: Config) -> None:
    texts = []
    for threads in (1, 2):
        settings = replace(config, run=replace(config.run, threads=threads))
        texts.append(boosting.to_text(Layer1.fit(data, len(data), [], settings).volatility))

    assert texts[0] == texts[1]


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
