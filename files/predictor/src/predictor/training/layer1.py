"""Layer 1: three independent views of a stock, each from its own inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from predictor.config import Config
from predictor.training import boosting, features
from predictor.training.rows import Rows

if TYPE_CHECKING:
    import lightgbm

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

MOMENTUM, VOLATILITY, RESEARCH = "momentum_score", "predicted_volatility", "research_score"
"""Names of the outputs."""


def momentum_score(m5: Vector, m20: Vector, price_vs_ma50: Vector, rsi14: Vector) -> Vector:
    """A fixed formula: `0.4*m5 + 0.3*m20 + 0.2*price_vs_ma50 + 0.1*(rsi14-50)/100`.

    Args:
        m5: Return over 5 days, as a fraction.
        m20: Return over 20 days.
        price_vs_ma50: Distance from the mean of 50 days, as a fraction.
        rsi14: Relative strength index, 0 to 100.

    Returns:
        Shape of the inputs. An incomplete window counts as neutral.
    """
    parts = [np.where(np.isfinite(part), part, 0.0) for part in (m5, m20, price_vs_ma50)]
    strength = np.where(np.isfinite(rsi14), rsi14, features.NEUTRAL_RSI)
    score: Vector = 0.4 * parts[0] + 0.3 * parts[1] + 0.2 * parts[2] + 0.1 * (strength - features.NEUTRAL_RSI) / 100
    return score


@dataclass(frozen=True)
class Buckets:
    """The research model for few rows: mean label by bucket of the first research column.

    Attributes:
        edges: Inner edges of the buckets, ascending.
        means: Mean label of each bucket, one more than `edges`.
    """

    edges: list[float]
    means: list[float]

    @classmethod
    def fit(cls, inputs: Matrix, target: Vector, count: int) -> Buckets:
        """Cut the first column at its quantiles; without a finite row, the model predicts 0."""
        known = np.isfinite(inputs[:, 0])
        values, labels = inputs[known, 0], target[known]
        if not len(values):
            return cls([], [0.0])
        edges = np.unique(np.quantile(values, np.linspace(0, 1, count + 1)[1:-1]))
        bucket = np.searchsorted(edges, values, side="right")
        totals = np.bincount(bucket, weights=labels, minlength=len(edges) + 1)
        sizes = np.bincount(bucket, minlength=len(edges) + 1)
        means = np.divide(totals, sizes, out=np.zeros(len(sizes)), where=sizes > 0)
        return cls([float(edge) for edge in edges], [float(value) for value in means])

    def predict(self, inputs: Matrix) -> Vector:
        """Mean of each row's bucket, NaN where the column is unknown."""
        bucket = np.searchsorted(np.array(self.edges), inputs[:, 0], side="right")
        predicted: Vector = np.where(np.isfinite(inputs[:, 0]), np.array(self.means)[bucket], np.nan)
        return predicted


@dataclass(frozen=True)
class Layer1:
    """The fitted models of layer 1.

    Attributes:
        volatility: LightGBM on `features.VOLATILITY`, target |forward return|.
        research: LightGBM or buckets on the research columns, target relative forward return; None without them.
        research_columns: Names of those columns.
    """

    volatility: lightgbm.Booster
    research: lightgbm.Booster | Buckets | None
    research_columns: list[str]

    @classmethod
    def fit(cls, rows: Rows, stop: int, research_columns: list[str], config: Config) -> Layer1:
        """Fit on the first rows.

        Args:
            rows: All rows.
            stop: End of the training rows, exclusive.
            research_columns: Research features; empty without research.
            config: Sizes and seed.
        """
        inputs = rows.matrix(features.VOLATILITY, stop=stop)
        volatility = boosting.fit(inputs, rows.move[:stop], features.VOLATILITY, config.lightgbm, config.run)
        research = _fit_research(rows, stop, research_columns, config) if research_columns else None
        return cls(volatility, research, research_columns)

    def outputs(self, rows: Rows, start: int, stop: int, config: Config) -> dict[str, Vector]:
        """Layer 1's outputs for rows `start` to `stop`.

        Returns:
            Shape (stop - start,) by output name; `RESEARCH` only with a research model.
        """
        cut = {name: rows.features[name][start:stop] for name in features.MOMENTUM}
        outputs = {
            MOMENTUM: momentum_score(**cut),
            VOLATILITY: boosting.predict(self.volatility, rows.matrix(features.VOLATILITY, start, stop), config.run),
        }
        if self.research is not None:
            inputs = rows.matrix(self.research_columns, start, stop)
            outputs[RESEARCH] = (
                self.research.predict(inputs)
                if isinstance(self.research, Buckets)
                else np.where(_any_known(inputs), boosting.predict(self.research, inputs, config.run), np.nan)
            )
        return outputs

    def importance(self) -> dict[str, dict[str, float]]:
        """Each model's feature shares (`boosting.importance`); empty for bucket means."""
        shares = {"volatility": boosting.importance(self.volatility)}
        if self.research is not None:
            shares["research"] = {} if isinstance(self.research, Buckets) else boosting.importance(self.research)
        return shares

    def research_document(self, reason: str) -> dict[str, Any]:
        """The research model as JSON; `reason` says why it is absent, if it is."""
        if self.research is None:
            return {"kind": "absent", "reason": reason}
        if isinstance(self.research, Buckets):
            return {
                "kind": "buckets",
                "columns": self.research_columns,
                "edges": self.research.edges,
                "means": self.research.means,
            }
        return {"kind": "lightgbm", "columns": self.research_columns, "model": boosting.to_text(self.research)}


def _fit_research(rows: Rows, stop: int, columns: list[str], config: Config) -> lightgbm.Booster | Buckets:
    inputs, target = rows.matrix(columns, stop=stop), rows.relative[:stop]
    known = _any_known(inputs)
    if int(known.sum()) < config.research.min_rows:
        return Buckets.fit(inputs, target, config.research.fallback_buckets)
    if not known.all():
        inputs, target = inputs[known], target[known]
    return boosting.fit(inputs, target, columns, config.lightgbm, config.run)


def _any_known(inputs: Matrix) -> NDArray[np.bool_]:
    """Whether a row has any value; column by column, since the first decides for most rows."""
    known = np.isfinite(inputs[:, 0])
    for column in range(1, inputs.shape[1]):
        missing = np.flatnonzero(~known)
        known[missing] = np.isfinite(inputs[missing, column])
    return known
