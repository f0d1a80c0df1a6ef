"""What a model must show before its weights go live, and what is only watched.

One function a gate, registered by the name that it has in the configuration; threshold and `blocking` come from there.
To add one: a section in `predictor.config.Gates`, and a function here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
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
    """One gate's verdict.

    Attributes:
        name: Its name in the configuration.
        value: What was found, None if it could not be.
        threshold: The gate passes at or above it.
        passed: Its verdict.
        blocking: Whether failing it keeps the weights from going live.
        detail: One line.
    """

    name: str
    value: float | None
    threshold: float
    passed: bool
    blocking: bool
    detail: str


@dataclass(frozen=True)
class Evidence:
    """What the gates judge by.

    Attributes:
        rows: All rows.
        result: What came of the folds.
        barriers: The triple-barrier observation.
        comparison: The candidate beside the incumbent, None where no set was ever put live.
        own_version: Name that the set would have once it is live.
    """

    rows: Rows
    result: WalkForwardResult
    barriers: Observation
    comparison: Comparison | None
    own_version: str


@dataclass(frozen=True)
class Verdict:
    """What one gate found: see `Gate`."""

    value: float | None
    threshold: float
    passed: bool
    detail: str


class Judge(Protocol):
    """A gate: evidence and its own section of the configuration in, a verdict out."""

    def __call__(self, evidence: Evidence, settings: Any, /) -> Verdict:
        """Judge."""


JUDGES: dict[str, Judge] = {}
"""Every gate by its name in the configuration, in the order in which people see them."""


def judge(evidence: Evidence, settings: config.Gates) -> list[Gate]:
    """Ask every gate.

    Args:
        evidence: What there is to judge by.
        settings: The gates' sections of the configuration.

    Returns:
        Their verdicts.
    """
    verdicts = []
    for name, ask in JUDGES.items():
        section = getattr(settings, name)
        found = ask(evidence, section)
        verdicts.append(Gate(name, found.value, found.threshold, found.passed, section.blocking, found.detail))
    return verdicts


def promoted(gates: list[Gate]) -> bool:
    """Whether every blocking gate passed."""
    return all(gate.passed for gate in gates if gate.blocking)


def as_documents(gates: list[Gate]) -> list[dict[str, Any]]:
    """The gates as JSON."""
    return [asdict(gate) for gate in gates]


def _gate(name: str) -> Callable[[Judge], Judge]:
    def register(function: Judge) -> Judge:
        JUDGES[name] = function
        return function

    return register


@_gate("median_ic")
def _median_ic(evidence: Evidence, settings: config.MedianIC) -> Verdict:
    """The origin's gate: the median over the folds of the mean daily rank IC."""
    ics = evidence.result.ics()
    value = float(np.median(ics)) if ics else None
    return Verdict(
        value, settings.threshold, value is not None and value >= settings.threshold, f"over {len(ics)} folds"
    )


@_gate("short_history")
def _short_history(evidence: Evidence, settings: config.ShortHistory) -> Verdict:
    """On rows with a window not yet full, the volatility model must do no worse than the plain 20-day volatility.

    These rows are few, so that an average over all would hide a model that fails on newly listed stocks. With too few
    to judge, the gate passes and says so.
    """
    rows, parts = evidence.rows, evidence.result.parts
    places = [np.arange(part.start, part.stop) for part in parts]
    place = np.concatenate(places) if places else np.array([], dtype=np.int64)
    short = np.isnan(rows.matrix(features.VOLATILITY)[place]).any(axis=1)
    found = int(short.sum())
    if found < settings.min_rows:
        return Verdict(None, 0.0, True, f"not judged: {found} rows of short history, {settings.min_rows} needed")
    said = np.concatenate([part.outputs[VOLATILITY] for part in parts])[short]
    plain = np.nan_to_num(rows.features["rv20"][place][short])
    move = rows.move[place][short]
    model, baseline = ic.pearson(said, move), ic.pearson(plain, move)
    detail = f"volatility model {model:+.4f}, 20-day volatility {baseline:+.4f}, {found} rows"
    return Verdict(model - baseline, 0.0, model >= baseline, detail)


@_gate("beats_incumbent")
def _beats_incumbent(evidence: Evidence, settings: config.BeatsIncumbent) -> Verdict:
    """Median over the folds of the IC minus the incumbent's, on the rows that both have (`training.incumbent`).

    Where nothing is live yet, or too few days are common, the gate passes and says so. So it does where the live set is
    this run's own, put live by a try of it that was cut off afterwards.
    """
    found = evidence.comparison
    if found is None:
        return Verdict(None, settings.margin, True, "not judged: no set was put live yet")
    if found.manifest.version == evidence.own_version:
        return Verdict(None, settings.margin, True, "not judged: the live set is this run's own")
    value = found.median_difference
    if value is None or found.days < settings.min_days:
        return Verdict(None, settings.margin, True, f"not judged: {found.detail}, {settings.min_days} days needed")
    return Verdict(value, settings.margin, value >= settings.margin, found.detail)


@_gate("output_distribution")
def _output_distribution(evidence: Evidence, settings: config.OutputDistribution) -> Verdict:
    """Whether the calibrator has flattened the last fold's forecasts to one number."""
    parts = evidence.result.parts
    calibrated = parts[-1].calibrated if parts else np.array([])
    calibrated = calibrated[np.isfinite(calibrated)]
    if not len(calibrated):
        return Verdict(None, settings.min_std, False, "the last fold made no forecast")
    value = float(calibrated.std())
    detail = f"standard deviation of the last fold's forecasts, {len(np.unique(calibrated))} different ones"
    return Verdict(value, settings.min_std, value >= settings.min_std, detail)


@_gate("triple_barrier")
def _triple_barrier(evidence: Evidence, settings: config.TripleBarrier) -> Verdict:
    """Whether triple-barrier labels would be met better than fixed-horizon labels."""
    seen = evidence.barriers
    passed = seen.ratio is not None and seen.ratio >= settings.ratio
    return Verdict(seen.ratio, settings.ratio, passed, seen.detail)
