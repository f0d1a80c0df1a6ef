"""The promotion gates: blocking ones decide whether the weights go live, the others only observe.

Each gate is a function that is registered under its name in the configuration. To add one, add a section to
`predictor.config.Gates` and a function here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from predictor import config
from predictor.training import features, ic
from predictor.training.incumbent import Comparison
from predictor.training.layer1 import VOLATILITY
from predictor.training.rows import Rows
from predictor.training.triple_barrier import Observation
from predictor.training.walk_forward import WalkForwardResult

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Gate:
    """The result of a gate.

    Attributes:
        name: Its name in the configuration.
        value: The measured value, None without one.
        threshold: The gate passes at or above it.
        passed: Whether it passed; None if it was not judged, for example for lack of rows.
        blocking: Whether failing it keeps the weights from going live.
        detail: One line.
    """

    name: str
    value: float | None
    threshold: float
    passed: bool | None
    blocking: bool
    detail: str


@dataclass(frozen=True)
class Evidence:
    """The gates' input.

    Attributes:
        rows: All rows.
        result: The walk-forward.
        barriers: The triple-barrier observation.
        comparison: The candidate against the incumbent, None without an incumbent.
        own_version: The candidate's name once it is live.
    """

    rows: Rows
    result: WalkForwardResult
    barriers: Observation
    comparison: Comparison | None
    own_version: str


@dataclass(frozen=True)
class Verdict:
    """What a gate function returns; see `Gate`."""

    value: float | None
    threshold: float
    passed: bool | None
    detail: str


class GateFunction(Protocol):
    """Evaluates the evidence with the gate's section of the configuration."""

    def __call__(self, evidence: Evidence, settings: Any, /) -> Verdict:
        """Evaluate."""


GATES: dict[str, GateFunction] = {}
"""Every gate by its name in the configuration, in display order."""


def evaluate(evidence: Evidence, settings: config.Gates) -> list[Gate]:
    """Evaluate every gate."""
    results = []
    for name, function in GATES.items():
        section = getattr(settings, name)
        found = function(evidence, section)
        results.append(Gate(name, found.value, found.threshold, found.passed, section.blocking, found.detail))
    return results


def promoted(gates: list[Gate]) -> bool:
    """Whether no blocking gate failed; one that was not judged does not block."""
    return not any(gate.passed is False for gate in gates if gate.blocking)


def _gate(name: str) -> Callable[[GateFunction], GateFunction]:
    def register(function: GateFunction) -> GateFunction:
        GATES[name] = function
        return function

    return register


@_gate("median_ic")
def _median_ic(evidence: Evidence, settings: config.MedianIC) -> Verdict:
    """Median over the folds of the mean daily rank IC."""
    ics = evidence.result.ics()
    value = float(np.median(ics)) if ics else None
    return Verdict(
        value, settings.threshold, value is not None and value >= settings.threshold, f"over {len(ics)} folds"
    )


@_gate("short_history")
def _short_history(evidence: Evidence, settings: config.ShortHistory) -> Verdict:
    """On rows with an incomplete window, the volatility model does no worse than plain 20-day volatility.

    These rows are few, so an average over all rows would hide a model that fails on newly listed stocks. With too few
    of them, the gate is not judged.
    """
    rows, place = evidence.rows, evidence.result.rows()
    short = np.isnan(rows.matrix(features.VOLATILITY)[place]).any(axis=1)
    found = int(short.sum())
    if found < settings.min_rows:
        return Verdict(None, 0.0, None, f"not judged: {found} rows of short history, {settings.min_rows} needed")
    predicted = np.concatenate([part.outputs[VOLATILITY] for part in evidence.result.parts])[short]
    plain = np.nan_to_num(rows.features["rv20"][place][short])
    move = rows.move[place][short]
    model, baseline = ic.pearson(predicted, move), ic.pearson(plain, move)
    detail = f"volatility model {model:+.4f}, 20-day volatility {baseline:+.4f}, {found} rows"
    return Verdict(model - baseline, 0.0, model >= baseline, detail)


@_gate("beats_incumbent")
def _beats_incumbent(evidence: Evidence, settings: config.BeatsIncumbent) -> Verdict:
    """Median over the folds of the IC minus the incumbent's, on common rows (`training.incumbent`).

    The gate is not judged if no set is live, if too few days are common, or if the live set is from an interrupted
    attempt of this run.
    """
    found = evidence.comparison
    if found is None:
        return Verdict(None, settings.margin, None, "not judged: no set has been promoted yet")
    if found.manifest.version == evidence.own_version:
        return Verdict(None, settings.margin, None, "not judged: the live set is this run's own")
    value = found.median_difference
    if value is None or found.days < settings.min_days:
        return Verdict(None, settings.margin, None, f"not judged: {found.detail}, {settings.min_days} days needed")
    return Verdict(value, settings.margin, value >= settings.margin, found.detail)


@_gate("output_distribution")
def _output_distribution(evidence: Evidence, settings: config.OutputDistribution) -> Verdict:
    """Whether the last fold's forecasts vary: the calibrator may flatten them to one number."""
    parts = evidence.result.parts
    calibrated = parts[-1].calibrated if parts else np.array([])
    calibrated = calibrated[np.isfinite(calibrated)]
    if not len(calibrated):
        return Verdict(None, settings.min_std, False, "the last fold made no forecast")
    value = float(calibrated.std())
    detail = f"standard deviation of the last fold's forecasts, {len(np.unique(calibrated))} distinct values"
    return Verdict(value, settings.min_std, value >= settings.min_std, detail)


@_gate("triple_barrier")
def _triple_barrier(evidence: Evidence, settings: config.TripleBarrier) -> Verdict:
    """Whether the scores predict triple-barrier labels better than fixed ones; not judged with too few rows."""
    seen = evidence.barriers
    judged = seen.pairs >= settings.min_pairs
    passed = (seen.ratio is not None and seen.ratio >= settings.ratio) if judged else None
    return Verdict(seen.ratio, settings.ratio, passed, seen.detail)
