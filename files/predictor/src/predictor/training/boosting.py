"""LightGBM, configured so that equal rows give equal models on any number of threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from predictor.config import LightGBM, Run

if TYPE_CHECKING:
    import lightgbm

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]


def threads(run: Run) -> int:
    """The configured number of threads, or one per processor available to this process."""
    return run.threads or len(os.sched_getaffinity(0))


def fit(features: Matrix, target: Vector, names: Sequence[str], size: LightGBM, run: Run) -> lightgbm.Booster:
    """Fit least-squares regression trees.

    Args:
        features: Shape (N, F); LightGBM treats NaN as a value.
        target: Shape (N,), finite.
        names: F names, stored in the model percent-encoded, since LightGBM refuses some characters.
        size: Number and size of the trees.
        run: Seed and threads.
    """
    import lightgbm

    chosen = parameters(size, run)
    encoded = [quote(name) for name in names]
    data = lightgbm.Dataset(features, target, feature_name=encoded, params=chosen, free_raw_data=True)
    return lightgbm.train(chosen, data, num_boost_round=size.trees)


def parameters(size: LightGBM, run: Run) -> dict[str, Any]:
    """LightGBM's parameters, except the number of trees."""
    return {
        "objective": "regression",
        "num_leaves": size.leaves,
        "learning_rate": size.learning_rate,
        "min_data_in_leaf": size.min_rows_in_leaf,
        "max_bin": size.max_bins,
        "seed": run.seed,
        "num_threads": threads(run),
        "deterministic": True,
        # Otherwise a timing chooses row-wise or column-wise, which no seed controls. Column-wise, one thread sums a
        # feature's histogram in the order of the rows; with few features this is as fast.
        "force_col_wise": True,
        "verbosity": -1,
    }


def predict(model: lightgbm.Booster, features: Matrix, run: Run) -> Vector:
    """The model's predictions, shape (N,), for features of shape (N, F)."""
    found: Vector = np.asarray(model.predict(features, num_threads=threads(run)), dtype=np.float64)
    return found


def importance(model: lightgbm.Booster) -> dict[str, float]:
    """Share of each feature in the gain of all splits, adding up to 1; empty for a model without splits."""
    gains = model.feature_importance("gain")
    whole = float(gains.sum())
    names = [unquote(name) for name in model.feature_name()]
    return {name: float(gain) / whole for name, gain in zip(names, gains, strict=True)} if whole else {}


def to_text(model: lightgbm.Booster) -> str:
    """The model as LightGBM's text, without the line that depends on the number of threads."""
    lines = model.model_to_string().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("[num_threads:"))
