"""Layer 2: ridge regression over what layer 1 says, and an isotonic calibrator of its score.

Its inputs are ranks within the day (`ic.centred_ranks`): it is judged by how it orders the symbols of a day, and ranks
keep a wild day from outweighing all quiet ones. It is fitted on *out-of-sample* output of layer 1 alone; who calls
`fit` sees to that, and to the purge.
"""

from __future__ import annotations

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
        knots: Shape (K,): scores, ascending, between which the calibrator is linear and beyond which it is flat.
        values: Shape (K,): calibrated relative forward return at each knot.
    """

    coefficients: Vector
    intercept: float
    knots: Vector
    values: Vector

    @classmethod
    def fit(cls, inputs: Matrix, target: Vector, alpha: float) -> MetaModel:
        """Fit ridge, then the calibrator on ridge's own scores.

        Args:
            inputs: Shape (N, F), finite.
            target: Shape (N,): relative forward return.
            alpha: Ridge penalty.

        Returns:
            The model. The calibrator rises: a higher score never means a lower forecast.
        """
        from sklearn.isotonic import IsotonicRegression
        from sklearn.linear_model import Ridge

        ridge = Ridge(alpha=alpha, solver="cholesky").fit(inputs, target)
        scores = ridge.predict(inputs)
        isotonic = IsotonicRegression(out_of_bounds="clip").fit(scores, target)
        return cls(
            np.asarray(ridge.coef_, dtype=np.float64),
            float(ridge.intercept_),
            np.asarray(isotonic.X_thresholds_, dtype=np.float64),
            np.asarray(isotonic.y_thresholds_, dtype=np.float64),
        )

    def score(self, inputs: Matrix) -> Vector:
        """Ridge's score, shape (N,): this is what the IC judges, the calibrator's flat steps would tie it."""
        scores: Vector = inputs @ self.coefficients + self.intercept
        return scores

    def calibrate(self, scores: Vector) -> Vector:
        """Forecast of the relative forward return, shape (N,)."""
        return np.interp(scores, self.knots, self.values)

    def ridge_document(self, names: list[str]) -> dict[str, Any]:
        """Ridge as JSON: the score is `intercept + sum(coefficient * centred rank of the input)`."""
        coefficients = {name: float(value) for name, value in zip(names, self.coefficients, strict=True)}
        return {"kind": "ridge", "inputs": "centred_ranks", "coefficients": coefficients, "intercept": self.intercept}

    def isotonic_document(self) -> dict[str, Any]:
        """The calibrator as JSON: linear between the knots, flat beyond them."""
        return {"kind": "isotonic", "scores": self.knots.tolist(), "forecasts": self.values.tolist()}
