"""The straightforward implementation of the same model, for comparison in `make bench-train`.

It uses one long pandas frame, with labels and ranks by `groupby`. Each fold fits a new scikit-learn pipeline on the
data known then: the features, by `groupby("symbol")` and `transform`, then the models. As pipelines do, it computes the
features again in each fold, once to fit and once to predict, from the whole history, because the averages have a long
memory. It avoids look-ahead like the package (purges, ranks within the day), has the same parameters, and nothing is
slow on purpose. Features are a separate stage, so that the report can estimate the time of computing them only once.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

import lightgbm
import numpy as np
import pandas as pd
from predictor.config import Config
from predictor.training.panel import Panel
from predictor.training.research import Research
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import Ridge
from sklearn.model_selection import TimeSeriesSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

MOMENTUM = ["m5", "m20", "price_vs_ma50", "rsi14"]
VOLATILITY = ["rv5", "rv20", "rv60", "rv5_to_rv60", "downside_rv20", "largest_move20"]
META = ["m5", "m20", "price_vs_ma50", "rsi14", "m12_1", "rv20"]
FEATURES = "features"


class Watch(Protocol):
    """Measures the time of stages."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Time the block."""


def walk_forward(panel: Panel, research: Research, config: Config, threads: int, watch: Watch) -> dict[str, Any]:
    """Run the whole walk-forward and fit the final models; `threads` are LightGBM's.

    Returns:
        `scored` (frame of all out-of-sample rows), `volatility`, `research`, `layer2` and `calibrator` (final models),
        and `rows` (frame of all rows).
    """
    names = list(research.columns)
    with watch.stage("labels and rows"):
        frame = _labels(_long(panel, research), config)
    settings = config.walk_forward
    days = np.arange(len(panel.days) - config.labels.horizon)
    folds = (len(days) - settings.min_train_days - settings.purge_days) // settings.test_days
    splitter = TimeSeriesSplit(folds, test_size=settings.test_days, gap=settings.purge_days)
    pipeline = Pipeline([("features", PriceFeatures(watch)), ("models", Layer1(names, config, threads, watch))])
    parts: list[pd.DataFrame] = []
    ics: list[float] = []
    for train_days, test_days in splitter.split(days):
        with watch.stage("choosing rows"):
            known, until = (frame[frame["day"] <= days[some[-1]]] for some in (train_days, test_days))
        test = pipeline.fit(known).predict(until, days=days[test_days])
        with watch.stage("ranks"):
            test["momentum_score"] = _momentum(test)
            inputs = ["momentum_score", "predicted_volatility", "research_score", *META]
            ranked = [f"rank {name}" for name in inputs]
            grouped = test.groupby("day")[inputs]
            test[ranked] = (
                ((grouped.rank() - 1) / (grouped.transform("count") - 1) - 0.5).fillna(0.0).set_axis(ranked, axis=1)
            )
        test["score"] = test["forecast"] = np.nan
        if parts:
            earlier = pd.concat(parts)
            earlier = earlier[earlier["day"] < test_days[0] - settings.purge_days]
            layer2, calibrator = _layer2(earlier, ranked, config, watch)
            test["score"] = layer2.predict(test[ranked])
            test["forecast"] = calibrator.predict(test["score"])
            with watch.stage("information coefficient"):
                by_day = test.groupby("day")[["score", "relative"]]
                ics.append(by_day.apply(lambda day: day["score"].corr(day["relative"], method="spearman")).mean())
        parts.append(test)
    final = pipeline.fit(frame)[-1]
    scored = pd.concat(parts)
    layer2, calibrator = _layer2(scored, ranked, config, watch)
    return {
        "scored": scored,
        "rows": final.rows_,
        "volatility": final.volatility_,
        "research": final.research_,
        "layer2": layer2,
        "calibrator": calibrator,
        "ics": ics,
    }


def _long(panel: Panel, research: Research) -> pd.DataFrame:
    days, symbols = panel.close.shape
    columns = {name: values.ravel() for name, values in research.columns.items()}
    return pd.DataFrame(
        {
            "day": np.repeat(np.arange(days), symbols),
            "symbol": pd.Categorical.from_codes(np.tile(np.arange(symbols), days), panel.symbols),
            "close": panel.close.ravel(),
            **columns,
        }
    )


class PriceFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The first step of a pipeline: adds the price features of each day, computed from that day and earlier."""

    def __init__(self, watch: Watch) -> None:
        """Use a timer."""
        self.watch = watch

    def fit(self, frame: pd.DataFrame, _target: None = None) -> PriceFeatures:
        """Learn nothing."""
        return self

    def transform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with its features."""
        with self.watch.stage(FEATURES):
            return _features(frame.copy())


class Layer1(BaseEstimator):  # type: ignore[misc]
    """The last step of a pipeline: the two LightGBM models, fitted on `rows_`, those with features and a label."""

    def __init__(self, names: list[str], config: Config, threads: int, watch: Watch) -> None:
        """Store the names of the research columns, sizes and seed, LightGBM's threads and a timer."""
        self.names, self.config, self.threads, self.watch = names, config, threads, watch

    def fit(self, frame: pd.DataFrame, _target: None = None) -> Layer1:
        """Fit both models."""
        with self.watch.stage("choosing rows"):
            self.rows_ = _usable(frame)
        self.volatility_, self.research_ = _layer1(self.rows_, self.names, self.config, self.threads, self.watch)
        return self

    def predict(self, frame: pd.DataFrame, days: np.ndarray) -> pd.DataFrame:
        """The usable rows of some days with the predictions of both models; research only with an input."""
        rows = _usable(frame[frame["day"].isin(days)])
        with self.watch.stage("LightGBM: prediction"):
            rows["predicted_volatility"] = self.volatility_.predict(rows[VOLATILITY])
            known = rows[self.names].notna().any(axis=1)
            rows["research_score"] = np.where(known, self.research_.predict(rows[self.names]), np.nan)
        return rows


def _usable(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.dropna(subset=["m5", "relative"])


def _features(frame: pd.DataFrame) -> pd.DataFrame:
    def by_symbol(values: pd.Series) -> Any:
        return values.groupby(frame["symbol"], observed=True)

    close = frame["close"]
    frame["m5"] = close / by_symbol(close).shift(5) - 1
    frame["m20"] = close / by_symbol(close).shift(20) - 1
    frame["m12_1"] = by_symbol(close).shift(21) / by_symbol(close).shift(252) - 1
    frame["price_vs_ma50"] = close / by_symbol(close).transform(lambda one: one.rolling(50).mean()) - 1
    change = by_symbol(close).diff()
    gain, loss = (
        by_symbol(part).transform(lambda one: one.ewm(alpha=1 / 14, adjust=False, min_periods=14).mean())
        for part in (change.clip(lower=0), -change.clip(upper=0))
    )
    total = gain + loss
    frame["rsi14"] = (100 * gain / total.where(total > 0)).where(total != 0, 50.0).where(total.notna())
    move = by_symbol(np.log(close)).diff()
    for window in (5, 20, 60):
        frame[f"rv{window}"] = by_symbol(move).transform(lambda one, window=window: one.rolling(window).std())
    frame["rv5_to_rv60"] = frame["rv5"] / frame["rv60"].where(frame["rv60"] > 0)
    fall = move.clip(upper=0) ** 2
    frame["downside_rv20"] = by_symbol(fall).transform(lambda one: one.rolling(20).mean()).clip(lower=0) ** 0.5
    frame["largest_move20"] = by_symbol(move.abs()).transform(lambda one: one.rolling(20).max())
    return frame


def _labels(frame: pd.DataFrame, config: Config) -> pd.DataFrame:
    horizon, clip = config.labels.horizon, config.labels.clip
    ahead = frame.groupby("symbol", observed=True)["close"].shift(-horizon)
    forward = ahead / frame["close"] - 1
    frame["relative"] = (forward - forward.groupby(frame["day"]).transform("mean")).clip(-clip, clip)
    frame["move"] = forward.clip(-clip, clip).abs()
    return frame


def _momentum(rows: pd.DataFrame) -> pd.Series:
    known = rows[MOMENTUM].fillna({"m5": 0.0, "m20": 0.0, "price_vs_ma50": 0.0, "rsi14": 50.0})
    strength = 0.1 * (known["rsi14"] - 50) / 100
    return 0.4 * known["m5"] + 0.3 * known["m20"] + 0.2 * known["price_vs_ma50"] + strength


def _layer1(train: pd.DataFrame, names: list[str], config: Config, threads: int, watch: Watch) -> tuple[Any, Any]:
    size = config.lightgbm
    parameters: dict[str, Any] = {
        "n_estimators": size.trees,
        "num_leaves": size.leaves,
        "learning_rate": size.learning_rate,
        "min_child_samples": size.min_rows_in_leaf,
        "max_bin": size.max_bins,
        "random_state": config.run.seed,
        "n_jobs": threads,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    with watch.stage("LightGBM: fit"):
        volatility = lightgbm.LGBMRegressor(**parameters).fit(train[VOLATILITY], train["move"])
        known = train[train[names].notna().any(axis=1)]
        research = lightgbm.LGBMRegressor(**parameters).fit(known[names], known["relative"])
    return volatility, research


def _layer2(earlier: pd.DataFrame, ranked: list[str], config: Config, watch: Watch) -> tuple[Any, Any]:
    with watch.stage("ridge"):
        # The first step is where other models scale their inputs; ranks need no scaling.
        layer2 = make_pipeline(FunctionTransformer(), Ridge(alpha=config.meta.alpha))
        layer2.fit(earlier[ranked], earlier["relative"])
        scores = layer2.predict(earlier[ranked])
    with watch.stage("isotonic regression"):
        calibrator = IsotonicRegression(out_of_bounds="clip").fit(scores, earlier["relative"])
    return layer2, calibrator
