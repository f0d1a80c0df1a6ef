"""What a training is run on: rows, research columns and folds. The preflight builds the same, and trains nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from predictor.config import Config
from predictor.training import features, folds, labels, rows
from predictor.training.folds import Fold
from predictor.training.panel import Panel
from predictor.training.research import Research
from predictor.training.rows import Rows


@dataclass(frozen=True)
class Dataset:
    """What `build` returns.

    Attributes:
        rows: The rows.
        research_columns: Names of the research columns among their features.
        plan: The folds.
        left_out: `{symbol, reason}` of each symbol that has no row.
    """

    rows: Rows
    research_columns: list[str]
    plan: list[Fold]
    left_out: list[dict[str, str]]


def split(panel: Panel, config: Config) -> list[Fold]:
    """The folds over a panel's labelled days.

    Raises:
        TrainingError: The history is too short.
    """
    return folds.split(len(panel.days) - config.labels.horizon, config.walk_forward)


def build(
    panel: Panel,
    research: Research,
    config: Config,
    stage: Callable[[str], AbstractContextManager[object]] = nullcontext,
) -> Dataset:
    """Compute features and labels, and select the rows.

    Args:
        panel: The prices.
        research: Further features.
        config: Horizon, bound and folds.
        stage: Wraps the stages `features` and `labels`.

    Raises:
        TrainingError: The history is too short, or the rows cannot be trained on.
    """
    plan = split(panel, config)
    with stage("features"):
        computed = {**features.of_panel(panel), **research.columns}
    with stage("labels"):
        targets = labels.compute(panel.close, config.labels.horizon, config.labels.clip, panel.position)
        columns = list(research.columns)
        found = rows.build(computed, targets, [features.VOLATILITY, columns])
    rows.check(found)
    with_rows = set(np.unique(found.symbol).tolist())
    left_out = [
        {"symbol": symbol, "reason": "no row has both a label and a 5-day return"}
        for place, symbol in enumerate(panel.symbols)
        if place not in with_rows
    ]
    return Dataset(found, columns, plan, left_out)
