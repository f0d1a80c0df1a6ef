"""The folds of the expanding walk-forward, split by days and then mapped to rows.

scikit-learn's `TimeSeriesSplit` makes the splits. One character stands for a block of days::

    fold 0   trainingtraining|purge|test.......................
    fold 1   trainingtrainingtrain|purge|test..................
    fold 2   trainingtrainingtrainingtr|purge|test.............
    ...
    last     trainingtrainingtrainingtrainingtraining|purge|test

Test windows are adjacent and end with the last labelled day; days that do not fill a window lengthen the first training
window. The purge keeps a training label, which looks `horizon` days ahead, out of the test window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from predictor.config import WalkForward
from predictor.errors import TrainingError


@dataclass(frozen=True)
class Fold:
    """Days of one fold, as indices into the panel; `_end` is the day after the last."""

    number: int
    train_start: int
    train_end: int
    test_start: int
    test_end: int


def split(days: int, settings: WalkForward) -> list[Fold]:
    """Split the labelled days.

    Args:
        days: Number of labelled days, from the panel's first.
        settings: Window sizes in trading days.

    Returns:
        The folds in order, at least one.

    Raises:
        TrainingError: The days are too few for one fold.
    """
    needed = settings.min_train_days + settings.purge_days
    count = (days - needed) // settings.test_days
    if count < 1:
        raise TrainingError(
            f"too few days for a fold: expected at least {needed + settings.test_days} labelled days "
            f"({settings.min_train_days} to train, {settings.purge_days} to purge, {settings.test_days} to test), "
            f"got {days}"
        )
    # TimeSeriesSplit refuses a single split, so the last window is cut here.
    if count == 1:
        start = days - settings.test_days
        return [Fold(0, 0, start - settings.purge_days, start, days)]
    from sklearn.model_selection import TimeSeriesSplit

    splitter = TimeSeriesSplit(n_splits=count, test_size=settings.test_days, gap=settings.purge_days)
    return [
        Fold(number, int(train[0]), int(train[-1]) + 1, int(test[0]), int(test[-1]) + 1)
        for number, (train, test) in enumerate(splitter.split(np.empty((days, 1))))
    ]
