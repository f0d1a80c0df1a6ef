"""The training's result for the caller: `--output`, and the lines on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from predictor.training.folds import Fold
    from predictor.training.panel import Panel


def empty(dry_run: bool) -> dict[str, Any]:
    """The initial result of a training, with every key."""
    return {
        "folds": 0,
        "median_ic": None,
        "median_ic_interval": None,
        "promoted": False,
        "gates": [],
        "seconds": 0.0,
        "dry_run": dry_run,
        "fold_ics": [],
        "skipped_folds": [],
        "written": [],
        "resumed_folds": 0,
        "symbols": 0,
        "left_out": [],
        "rows": 0,
        "research": None,
        "stages": {},
        "resources": {},
        "incumbent": None,
        "data_changes": {"since_preflight": None, "since_last_run": None},
        "promotion": None,
        "diagnostics": {},
        "heartbeat": None,
        "notes": [],
        "error": None,
    }


def name_days(panel: Panel, fold: dict[str, Any]) -> dict[str, Any]:
    """Replace a fold's indices with days; its ends become inclusive."""
    days = {key: str(panel.days[fold[key]]) for key in ("train_start", "test_start")}
    ends = {key: str(panel.days[fold[key] - 1]) for key in ("train_end", "test_end")}
    coefficients = {key: round(fold[key], 6) for key in ("ic", "ic_low", "ic_high")}
    return {**fold, **days, **ends, **coefficients}


def name_skipped(panel: Panel, fold: Fold, reason: str) -> dict[str, Any]:
    """A skipped fold, with its test window."""
    return {
        "fold": fold.number,
        "test_start": str(panel.days[fold.test_start]),
        "test_end": str(panel.days[fold.test_end - 1]),
        "reason": reason,
    }


def summary(result: dict[str, Any]) -> Iterator[str]:
    """The result for a terminal."""
    skipped = len(result["skipped_folds"])
    yield f"{result['folds']} folds, {skipped} skipped, {result['rows']} rows of {result['symbols']} symbols"
    if result["resumed_folds"]:
        yield f"{result['resumed_folds']} folds resumed from an interrupted training"
    yield from result["notes"]
    yield from (f"left out: {one['symbol']}: {one['reason']}" for one in result["left_out"])
    interval = result["median_ic_interval"]
    within = "too few folds for an interval" if interval is None else f"95 %: {interval[0]:+.4f} to {interval[1]:+.4f}"
    yield f"median IC {result['median_ic']:+.4f} ({within}); research {result['research']}"
    for gate in result["gates"]:
        failed = "failed" if gate["blocking"] else "observed"
        verdict = {True: "passed", False: failed, None: "not judged"}[gate["passed"]]
        value = "-" if gate["value"] is None else f"{gate['value']:+.4f}"
        yield f"gate {gate['name']}: {verdict}, {value} against {gate['threshold']} ({gate['detail']})"
    outcome = "promoted" if result["promoted"] else "not promoted"
    if result["dry_run"]:
        outcome = f"dry run, nothing written; the model {'would' if result['promoted'] else 'would not'} be promoted"
    if result["heartbeat"] and result["heartbeat"]["sent"]:
        yield f"heartbeat sent: {result['heartbeat']['detail']}"
    yield f"{outcome}; {len(result['written'])} keys written, {result['seconds']:.1f} s"
