"""The requirements of the training, and the report as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tools.benchmarks.report import Requirement, columns

REQUIRED = Requirement(
    {"symbols": 500, "days": 2520},
    "500 x 2520",
    {
        "ours_to_floor": (1.20, "times LightGBM's floor"),
        "ours_to_plain": (0.50, "of the straightforward implementation's time"),
        "memory_to_matrix": (3.00, "times the feature matrix in memory"),
    },
)
FEATURES = 20
FLOAT_BYTES = 8
MEBIBYTE = 1024 * 1024

TOLERANCE = 1e-9
"""Largest allowed difference between predictions of ours and plain, as a return."""


def matrix_mib(rows: int) -> float:
    """Size of the feature matrix in MiB: each row has 20 numbers of 8 bytes."""
    return rows * FEATURES * FLOAT_BYTES / MEBIBYTE


def ratios(point: Mapping[str, Any]) -> dict[str, float]:
    """Ratios between the times of the three ways, and of our memory to the feature matrix.

    `ours_to_plain_once` compares with plain's time if it computed the features only once, over all days. Memory is the
    peak minus the memory after the imports.
    """
    ours, plain = point["ours"], point["plain"]
    once = plain["seconds"] - plain["stages"]["features"] + plain["features_once"]
    return {
        **{f"ours_to_{way}": round(ours["seconds"] / point[way]["seconds"], 4) for way in ("floor", "plain")},
        "ours_to_plain_once": round(ours["seconds"] / once, 4),
        "floor_to_plain": round(point["floor"]["seconds"] / point["plain"]["seconds"], 4),
        "memory_to_matrix": round((ours["peak_mib"] - ours["import_mib"]) / matrix_mib(ours["rows"]), 4),
    }


def tables(report: Mapping[str, Any]) -> Iterator[str]:
    """The whole report as lines of text."""
    settings = report["settings"]
    size = f"{settings['trees']} trees of {settings['leaves']} leaves, {settings['threads']} threads"
    if report["points"]:
        yield f"Training: {FEATURES} features, {size}"
        yield from columns(_point_rows(report["points"]))
        yield "Times are the best of the runs, memory the highest; the three ways were measured in turn, each in its"
        yield f"own process. Predictions of ours and plain differ by at most {TOLERANCE:g}: more is an error."
        yield from REQUIRED.verdict(report["required"])
    for point in report["points"]:
        yield ""
        where = f"{point['symbols']} x {point['days']}"
        share = point["floor_to_plain"]
        again, once = point["plain"]["stages"]["features"], point["ours_to_plain_once"]
        yield f"At {where} LightGBM's calls alone take {share:.2f} of plain's time: ours cannot take less."
        yield f"Plain computes its features again in each fold, which takes {again:.1f} s. If it computed them once,"
        yield f"over all days, ours would take {once:.2f} of its time."
        yield f"Stages at {where}, seconds (share of the whole)"
        yield from columns(_stage_rows(point))
    if report["growth"]:
        yield ""
        yield f"How the cost of ours grows: {size}"
        yield from columns(_growth_rows(report["growth"]))


def _point_rows(points: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    yield ("symbols", "days", "rows", "folds", "runs", "ours", "floor", "plain", "ours/", "ours/", "MiB beyond", "", "")
    yield ("", "", "", "", "", "s", "s", "s", "floor", "plain", "imports", "plain", "/matrix")
    for point in points:
        ours, floor, plain = (point[way] for way in ("ours", "floor", "plain"))
        yield (
            *(str(value) for value in (point["symbols"], point["days"], ours["rows"], ours["folds"])),
            str(len(ours["all_seconds"])),
            *(f"{way['seconds']:.1f}" for way in (ours, floor, plain)),
            *(f"{point[name]:.2f}" for name in ("ours_to_floor", "ours_to_plain")),
            *(f"{way['peak_mib'] - way['import_mib']:.0f}" for way in (ours, plain)),
            f"{point['memory_to_matrix']:.2f}",
        )


def _stage_rows(point: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    ways = ("ours", "floor", "plain")
    yield ("stage", *(cell for way in ways for cell in (way, "")))
    names = dict.fromkeys(name for way in ways for name in point[way]["stages"] if name != "the rest")
    for name in [*names, "the rest"]:
        cells = []
        for way in ways:
            seconds = point[way]["stages"].get(name)
            share = "" if seconds is None else f"{seconds / point[way]['seconds']:.1%}"
            cells += ["" if seconds is None else f"{seconds:.2f}", share]
        yield (name, *cells)


def _growth_rows(points: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    yield ("what grows", "symbols", "days", "folds", "rows", "s", "cpu s", "cpu us/row/fold", "MiB", "/matrix")
    for point in points:
        rows, folds, cpu = point["rows"], point["folds"], point["cpu_seconds"]
        memory = point["peak_mib"] - point["import_mib"]
        yield (
            point["grows"],
            *(str(value) for value in (point["symbols"], point["days"], folds, rows)),
            f"{point['seconds']:.2f}",
            f"{cpu:.2f}",
            f"{1e6 * cpu / rows / folds:.2f}",
            f"{memory:.0f}",
            f"{memory / matrix_mib(rows):.2f}",
        )
