"""What a model must show before its weights go live, and what is only watched."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.config import Gates
from predictor.training import features, ic
from predictor.training.layer1 import VOLATILITY
from predictor.training.rows import Rows
from predictor.training.triple_barrier import Observation
from predictor.training.walk_forward import WalkForwardResult

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Gate:
    """One gate's verdict.

    Attributes:
        name: For people and for the receipt.
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


def judge(rows: Rows, result: WalkForwardResult, barriers: Observation, settings: Gates) -> list[Gate]:
    """Judge a walk-forward.

    Args:
        rows: All rows.
        result: What came of the folds.
        barriers: The triple-barrier observation.
        settings: Thresholds.

    Returns:
        All gates.
    """
    return [
        _median_ic(result, settings),
        _short_history(rows, result, settings),
        _output_distribution(result, settings),
        _triple_barrier(barriers, settings),
    ]


def promoted(gates: list[Gate]) -> bool:
    """Whether every blocking gate passed."""
    return all(gate.passed for gate in gates if gate.blocking)


def as_documents(gates: list[Gate]) -> list[dict[str, Any]]:
    """The gates as JSON."""
    return [asdict(gate) for gate in gates]


def _median_ic(result: WalkForwardResult, settings: Gates) -> Gate:
    """The origin's gate: the median over the folds of the mean daily rank IC."""
    value = float(np.median(result.ics())) if result.folds else None
    passed = value is not None and value >= settings.median_ic.threshold
    return Gate("median_ic", value, settings.median_ic.threshold, passed, True, f"over {len(result.folds)} folds")


def _short_history(rows: Rows, result: WalkForwardResult, settings: Gates) -> Gate:
    """On rows with a window not yet full, the volatility model must do no worse than the plain 20-day volatility.

    These rows are few, so that an average over all would hide a model that fails on newly listed stocks. With too few
    to judge, the gate passes and says so.
    """
    places = [np.arange(part.start, part.stop) for part in result.parts]
    place = np.concatenate(places) if places else np.array([], dtype=np.int64)
    volatility = rows.matrix(features.VOLATILITY)[place]
    short = np.isnan(volatility).any(axis=1)
    found = int(short.sum())
    needed = settings.short_history.min_rows
    if found < needed:
        return Gate(
            "short_history", None, 0.0, True, True, f"not judged: {found} rows of short history, {needed} needed"
        )
    said = np.concatenate([part.outputs[VOLATILITY] for part in result.parts])[short]
    plain = np.nan_to_num(rows.features["rv20"][place][short])
    move = rows.move[place][short]
    model, baseline = ic.pearson(said, move), ic.pearson(plain, move)
    detail = f"volatility model {model:+.4f}, 20-day volatility {baseline:+.4f}, {found} rows"
    return Gate("short_history", model - baseline, 0.0, model >= baseline, True, detail)


def _output_distribution(result: WalkForwardResult, settings: Gates) -> Gate:
    """Observes whether the calibrator has flattened the last fold's forecasts to one number."""
    calibrated = result.parts[-1].calibrated if result.parts else np.array([])
    calibrated = calibrated[np.isfinite(calibrated)]
    threshold = settings.output_distribution.min_std
    if not len(calibrated):
        return Gate("output_distribution", None, threshold, False, False, "the last fold made no forecast")
    value = float(calibrated.std())
    detail = f"standard deviation of the last fold's forecasts, {len(np.unique(calibrated))} different ones"
    return Gate("output_distribution", value, threshold, value >= threshold, False, detail)


def _triple_barrier(barriers: Observation, settings: Gates) -> Gate:
    """Observes whether triple-barrier labels would be met better than fixed-horizon labels."""
    threshold = settings.triple_barrier.ratio
    passed = barriers.ratio is not None and barriers.ratio >= threshold
    return Gate("triple_barrier", barriers.ratio, threshold, passed, False, barriers.detail)
