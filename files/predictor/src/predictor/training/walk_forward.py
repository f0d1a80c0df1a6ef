"""The walk-forward: each fold is trained on its past and tested on its future.

Layer 1 of fold k is trained on the days before its purge. Layer 2 of fold k is trained on the outputs of the earlier
folds' layer 1 for *their* test windows, only for days whose label ends before fold k's test window starts: without this
second purge, the last labels of fold k-1 would leak into fold k.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from predictor.config import Config
from predictor.training import features, ic
from predictor.training.folds import Fold
from predictor.training.layer1 import MOMENTUM, RESEARCH, VOLATILITY, Layer1
from predictor.training.meta import MetaModel
from predictor.training.rows import Rows

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class FoldRows:
    """A fold's output for its test rows `start` to `stop`; scores are NaN in a fold without layer 2.

    `importance` has the feature shares (`Layer1.importance`, `MetaModel.importance`) of each model that the fold
    trained: `volatility`, `research` and `meta`.
    """

    fold: Fold
    start: int
    stop: int
    outputs: dict[str, Vector]
    inputs: Matrix
    score: Vector
    calibrated: Vector
    importance: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class FoldResult:
    """The result of a fold.

    Attributes:
        part: Its out-of-sample rows, None if it trained no layer 1.
        scored: Its entry in `WalkForwardResult.folds`, None without an IC.
        skipped: Its entry in `WalkForwardResult.skipped`, None with an IC.
    """

    part: FoldRows | None
    scored: dict[str, Any] | None
    skipped: dict[str, Any] | None

    @property
    def ic(self) -> float | None:
        """Its information coefficient."""
        return None if self.scored is None else float(self.scored["ic"])


@dataclass(frozen=True)
class FoldDone:
    """A completed fold: whether its result was loaded (`resumed`), and whether it is now saved (`saved`)."""

    fold: Fold
    ic: float | None
    resumed: bool
    saved: bool


class Saved(Protocol):
    """Persistent storage of folds' results."""

    def load(self, fold: Fold) -> FoldResult | None:
        """The saved result of a fold, None without a usable one."""

    def save(self, fold: Fold, result: FoldResult) -> bool:
        """Save a fold's result; returns whether that succeeded."""


@dataclass
class WalkForwardResult:
    """All folds.

    Attributes:
        parts: Out-of-sample rows of each fold that trained layer 1, in order.
        folds: `{fold, train_start, …, ic, ic_low, ic_high, seconds}` of each fold with an IC; days are indices into
            the panel.
        skipped: `{fold, reason}` of the others.
    """

    parts: list[FoldRows] = field(default_factory=list)
    folds: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)

    def add(self, fold: FoldResult) -> None:
        """Add the next fold."""
        if fold.part is not None:
            self.parts.append(fold.part)
        if fold.scored is not None:
            self.folds.append(fold.scored)
        if fold.skipped is not None:
            self.skipped.append(fold.skipped)

    def rows(self) -> NDArray[np.int64]:
        """Indices of the out-of-sample rows."""
        return np.concatenate([np.arange(0), *(np.arange(part.start, part.stop) for part in self.parts)])

    def ics(self) -> list[float]:
        """The IC of each fold that has one."""
        return [fold["ic"] for fold in self.folds]


def too_small(fold: Fold, rows: Rows, config: Config) -> str:
    """Why a fold has too few rows for layer 1; empty if it has enough."""
    settings = config.walk_forward
    train, start, stop = (rows.first_row(day) for day in (fold.train_end, fold.test_start, fold.test_end))
    if train >= settings.min_train_rows and stop - start >= settings.min_test_rows:
        return ""
    return (
        f"expected at least {settings.min_train_rows} training and {settings.min_test_rows} test rows, got {train} and "
        f"{stop - start}"
    )


def earlier_rows(fold: Fold, earlier: Sequence[Fold], rows: Rows, config: Config) -> tuple[int, str]:
    """The end of the rows whose labels end before a fold's test window, and why they are too few for layer 2.

    Args:
        fold: The fold.
        earlier: The folds before it that trained layer 1.
        rows: All rows.
        config: Purge, and the rows needed.
    """
    known_until = rows.first_row(fold.test_start - config.walk_forward.purge_days)
    ends = [(rows.first_row(one.test_start), rows.first_row(one.test_end)) for one in earlier]
    known = sum(max(0, min(stop, known_until) - start) for start, stop in ends)
    needed = config.walk_forward.min_test_rows
    few = f"layer 1 only: expected at least {needed} earlier out-of-sample rows for layer 2, got {known}"
    return known_until, few if known < needed else ""


def skipped(plan: Sequence[Fold], rows: Rows, config: Config) -> dict[int, str]:
    """Why folds will have no IC, by their number, as far as rows and labels show before any model is trained."""
    found, trained = {}, list[Fold]()
    for fold in plan:
        start, stop = rows.first_row(fold.test_start), rows.first_row(fold.test_end)
        if reason := too_small(fold, rows, config):
            found[fold.number] = reason
            continue
        if reason := earlier_rows(fold, trained, rows, config)[1]:
            found[fold.number] = reason
        elif not len(ic.by_day(rows.relative[start:stop], rows.relative[start:stop], rows.day[start:stop])[0]):
            found[fold.number] = f"on no day do {ic.MIN_SYMBOLS} symbols have labels that vary"
        trained.append(fold)
    return found


class WalkForward:
    """Runs the folds over one set of rows."""

    def __init__(self, rows: Rows, research_columns: list[str], config: Config) -> None:
        """Store what all folds share.

        Args:
            rows: All rows.
            research_columns: Research inputs among their features; empty without research.
            config: Sizes, seed, purge.
        """
        self._rows = rows
        self._research_columns = research_columns
        self._config = config

    @property
    def input_names(self) -> list[str]:
        """Names of layer 2's inputs, in order."""
        research = [RESEARCH] if self._research_columns else []
        return [MOMENTUM, VOLATILITY, *research, *features.META]

    def run(
        self, folds: list[Fold], report: Callable[[FoldDone], None], saved: Saved | None = None
    ) -> WalkForwardResult:
        """Run all folds, or those that are not saved yet.

        Args:
            folds: In order of time.
            report: Called after each fold.
            saved: Saved results for the same rows and configuration; receives the others.
        """
        result = WalkForwardResult()
        for fold in folds:
            known = saved.load(fold) if saved else None
            done = known or self._run_fold(fold, result.parts)
            kept = known is not None or (saved is not None and saved.save(fold, done))
            result.add(done)
            report(FoldDone(fold, done.ic, known is not None, kept))
        return result

    def fit_final(self, result: WalkForwardResult) -> tuple[Layer1, MetaModel]:
        """Fit the final models: layer 1 on all rows, layer 2 on all out-of-sample rows of a `run`."""
        layer1 = Layer1.fit(self._rows, len(self._rows), self._research_columns, self._config)
        return layer1, self._fit_meta(result.parts, len(self._rows))

    def _run_fold(self, fold: Fold, earlier: list[FoldRows]) -> FoldResult:
        started = time.monotonic()
        rows = self._rows
        if reason := too_small(fold, rows, self._config):
            return FoldResult(None, None, {"fold": fold.number, "reason": reason})
        train, start, stop = (rows.first_row(day) for day in (fold.train_end, fold.test_start, fold.test_end))
        layer1 = Layer1.fit(rows, train, self._research_columns, self._config)
        outputs = layer1.outputs(rows, start, stop, self._config)
        inputs = self._inputs(outputs, start, stop)
        part, reason = self._score(fold, start, stop, outputs, inputs, earlier)
        part = replace(part, importance={**layer1.importance(), **part.importance})
        if reason:
            return FoldResult(part, None, {"fold": fold.number, "reason": reason})
        _, ics = ic.by_day(part.score, rows.relative[start:stop], rows.day[start:stop])
        if not len(ics):
            reason = "on no day do both scores and labels vary"
            return FoldResult(part, None, {"fold": fold.number, "reason": reason})
        # Labels of neighbouring days share all but one day of their horizon.
        low, high = ic.interval(ics, self._config.labels.horizon - 1)
        found = {"ic": float(ics.mean()), "ic_low": low, "ic_high": high}
        days = {name: getattr(fold, name) for name in ("train_start", "train_end", "test_start", "test_end")}
        sizes = {"train_rows": train, "test_rows": stop - start}
        seconds = round(time.monotonic() - started, 3)
        return FoldResult(part, {"fold": fold.number, **days, **sizes, **found, "seconds": seconds}, None)

    def _score(
        self, fold: Fold, start: int, stop: int, outputs: dict[str, Vector], inputs: Matrix, earlier: list[FoldRows]
    ) -> tuple[FoldRows, str]:
        """Score a fold's test rows with a layer 2 of the earlier folds, or return why none exists."""
        known_until, reason = earlier_rows(fold, [part.fold for part in earlier], self._rows, self._config)
        if reason:
            nothing = np.full(stop - start, np.nan)
            return FoldRows(fold, start, stop, outputs, inputs, nothing, nothing), reason
        meta = self._fit_meta(earlier, known_until)
        score = meta.score(inputs)
        shares = {"meta": meta.importance(self.input_names)}
        return FoldRows(fold, start, stop, outputs, inputs, score, meta.calibrate(score), shares), ""

    def _fit_meta(self, parts: list[FoldRows], known_until: int) -> MetaModel:
        """Fit layer 2 on the out-of-sample rows before row `known_until`."""
        kept = [(part, min(part.stop, known_until)) for part in parts if part.start < known_until]
        inputs = [part.inputs[: stop - part.start] for part, stop in kept]
        targets = [self._rows.relative[part.start : stop] for part, stop in kept]
        return MetaModel.fit(inputs, targets, self._config.meta.alpha)

    def _inputs(self, outputs: dict[str, Vector], start: int, stop: int) -> Matrix:
        """Layer 2's inputs for rows `start` to `stop`, which are whole days, as ranks require."""
        days = self._rows.day[start:stop]
        values = [*outputs.values(), *(self._rows.features[name][start:stop] for name in features.META)]
        return np.column_stack([ic.centred_ranks(column, days) for column in values])
