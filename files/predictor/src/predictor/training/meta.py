"""Layer 2: ridge regression over layer 1's outputs, and an isotonic calibrator of its score.

The inputs are ranks within the day (`ic.centred_ranks`), since the IC measures how scores order the symbols of a day,
and ranks keep one volatile day from outweighing many quiet ones. The caller of `fit` ensures that the inputs are
*out-of-sample* outputs of layer 1, and purged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class MetaModel:
    """Ridge coefficients and the calibrator's steps.

    Attributes:
        coefficients: Shape (F,).
        intercept: In units of the label.
        knots: Shape (K,): ascending scores; the calibrator is linear between them and flat beyond them.
        values: Shape (K,): calibrated relative forward return at each knot.
    """

    coefficients: Vector
    intercept: float
    knots: Vector
    values: Vector

    @classmethod
    def fit(cls, inputs: Sequence[Matrix], targets: Sequence[Vector], alpha: float) -> MetaModel:
        """Fit ridge, then the calibrator on ridge's own scores.

        Args:
            inputs: Rows in parts, each of shape (N, F), finite.
            targets: Relative forward returns of each part, shape (N,).
            alpha: Ridge penalty.

        Returns:
            The model. Its calibrator is non-decreasing.
        """
        coefficients, intercept = ridge(inputs, targets, alpha)
        scores = np.concatenate([part @ coefficients for part in inputs])
        scores += intercept
        return cls(coefficients, intercept, *isotonic(scores, np.concatenate(targets)))

    def score(self, inputs: Matrix) -> Vector:
        """Ridge's score, shape (N,), for the IC: the calibrator's flat steps would introduce ties."""
        scores: Vector = inputs @ self.coefficients + self.intercept
        return scores

    def calibrate(self, scores: Vector) -> Vector:
        """Forecast of the relative forward return, shape (N,)."""
        return np.interp(scores, self.knots, self.values)

    def importance(self, names: list[str]) -> dict[str, float]:
        """Share of each input in the sum of the absolute coefficients; empty if all are 0.

        The coefficients are comparable, since all inputs are ranks on the same scale.
        """
        sizes = np.abs(self.coefficients)
        whole = float(sizes.sum())
        return {name: float(size) / whole for name, size in zip(names, sizes, strict=True)} if whole else {}

    def ridge_document(self, names: list[str]) -> dict[str, Any]:
        """Ridge as JSON: the score is `intercept + sum(coefficient * centred rank of the input)`."""
        coefficients = {name: float(value) for name, value in zip(names, self.coefficients, strict=True)}
        return {"kind": "ridge", "inputs": "centred_ranks", "coefficients": coefficients, "intercept": self.intercept}

    def isotonic_document(self) -> dict[str, Any]:
        """The calibrator as JSON: linear between the knots, flat beyond them."""
        return {"kind": "isotonic", "scores": self.knots.tolist(), "forecasts": self.values.tolist()}


def ridge(inputs: Sequence[Matrix], targets: Sequence[Vector], alpha: float) -> tuple[Vector, float]:
    """Ridge regression with an unpenalised intercept, as scikit-learn's `Ridge(solver="cholesky")` fits it.

    scikit-learn needs one matrix and copies it, which costs twice the memory of the parts and most of the time. The
    normal equations of the centred data have size F and can be summed part by part.

    Args:
        inputs: Rows in parts, each of shape (N, F), finite; at least one row in all.
        targets: Of each part, shape (N,).
        alpha: Penalty.

    Returns:
        Coefficients, shape (F,), and intercept.
    """
    from scipy import linalg

    count = sum(len(part) for part in inputs)
    input_mean = np.sum([part.sum(axis=0) for part in inputs], axis=0) / count
    target_mean = float(np.sum([part.sum() for part in targets])) / count
    left = alpha * np.eye(len(input_mean))
    right = np.zeros(len(input_mean))
    for part, target in zip(inputs, targets, strict=True):
        away = part - input_mean
        left += away.T @ away
        right += away.T @ (target - target_mean)
    coefficients: Vector = linalg.solve(left, right, assume_a="pos")
    return coefficients, target_mean - float(input_mean @ coefficients)


def isotonic(scores: Vector, target: Vector) -> tuple[Vector, Vector]:
    """Isotonic regression, as scikit-learn's `IsotonicRegression` fits it.

    Both call SciPy's pool-adjacent-violators algorithm, but scikit-learn sorts by score and target, which takes twice
    as long as everything else.

    Args:
        scores: Shape (N,), N > 0.
        target: Shape (N,).

    Returns:
        The knots between which the fit is linear, and the fit at each: both ascending, the first without ties.
    """
    from scipy.optimize import isotonic_regression

    order = np.argsort(scores, kind="stable")
    scores, target = scores[order], target[order]
    # Equal scores are one, with the mean of their targets and their number as weight.
    first = np.flatnonzero(np.diff(scores, prepend=-np.inf))
    if len(first) < len(scores):
        counts = np.diff(first, append=len(scores)).astype(np.float64)
        scores, target = scores[first], np.add.reduceat(target, first) / counts
        fitted = isotonic_regression(target, weights=counts).x
    else:
        fitted = isotonic_regression(target).x
    # A point between two of the same height is not a knot.
    kept = np.ones(len(scores), dtype=bool)
    kept[1:-1] = (fitted[1:-1] != fitted[:-2]) | (fitted[1:-1] != fitted[2:])
    return scores[kept], fitted[kept]
