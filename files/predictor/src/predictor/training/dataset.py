"""What a training is run on: rows, research columns and folds. The preflight builds the same, and trains nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from predictor.config import Config
from predictor.training import features, folds, labels, rows
from predictor.training.folds import Fold
from predictor.training.panel import Panel
from predictor.training.research import Research
from predictor.training.rows import Rows


@dataclass(frozen=True)
class Dataset:
    """The rows, the names of the research columns among their features, and the folds."""

    rows: Rows
    research_columns: list[str]
    plan: list[Fold]


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
        targets = labels.compute(panel.close, config.labels.horizon, config.labels.clip)
        columns = list(research.columns)
        found = rows.build(computed, targets, [features.VOLATILITY, columns])
    rows.check(found)
    return Dataset(found, columns, plan)
