"""LightGBM, set so that the same rows give the same model on any number of threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from predictor.config import LightGBM, Run

if TYPE_CHECKING:
    import lightgbm

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]


def threads(run: Run) -> int:
    """Threads to use: the configured number, or one a processor this process may use."""
    return run.threads or len(os.sched_getaffinity(0))


def fit(features: Matrix, target: Vector, names: Sequence[str], size: LightGBM, run: Run) -> lightgbm.Booster:
    """Fit least-squares regression trees.

    Args:
        features: Shape (N, F); NaN is a value of its own to LightGBM.
        target: Shape (N,), finite.
        names: F names, written into the model.
        size: Number and size of the trees.
        run: Seed and threads.

    Returns:
        The model.
    """
    import lightgbm

    chosen = parameters(size, run)
    data = lightgbm.Dataset(features, target, feature_name=list(names), params=chosen, free_raw_data=True)
    return lightgbm.train(chosen, data, num_boost_round=size.trees)


def parameters(size: LightGBM, run: Run) -> dict[str, Any]:
    """What LightGBM is told, but for the number of trees."""
    return {
        "objective": "regression",
        "num_leaves": size.leaves,
        "learning_rate": size.learning_rate,
        "min_data_in_leaf": size.min_rows_in_leaf,
        "max_bin": size.max_bins,
        "seed": run.seed,
        "num_threads": threads(run),
        "deterministic": True,
        # Row-wise or column-wise is otherwise decided by a timing, which no seed controls. Column-wise one thread sums
        # up a feature's histogram, in the order of the rows, however many there are; with few features it is no slower.
        "force_col_wise": True,
        "verbosity": -1,
    }


def predict(model: lightgbm.Booster, features: Matrix, run: Run) -> Vector:
    """Predict.

    Args:
        model: From `fit`.
        features: Shape (N, F).
        run: Threads.

    Returns:
        Shape (N,).
    """
    found: Vector = np.asarray(model.predict(features, num_threads=threads(run)), dtype=np.float64)
    return found


def importance(model: lightgbm.Booster) -> dict[str, float]:
    """Share of each feature in the gain of all splits: they add up to 1; empty for a model that never split."""
    gains = model.feature_importance("gain")
    whole = float(gains.sum())
    return {name: float(gain) / whole for name, gain in zip(model.feature_name(), gains, strict=True)} if whole else {}


def to_text(model: lightgbm.Booster) -> str:
    """The model as LightGBM's text, without the one line that differs between thread counts."""
    lines = model.model_to_string().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("[num_threads:"))
