"""`make bench-train`: compare the cost of a training with a straightforward one and with LightGBM's calls alone.

Exit codes: 0 success, 1 failure or unmet requirement (one line on standard error), 2 wrong command line.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tools.benchmarks import command, train_verdict
from tools.benchmarks.command import say
from tools.benchmarks.measuring import ROOT, BenchmarkError, best, machine, measure
from tools.options import positive

PARTS = ("compare", "growth")
WAYS = ("ours", "floor", "plain")
DEFAULT = ROOT / "files/predictor/config/default.yaml"

GROWTH = {"symbols": 250, "days": 1260, "test_days": 126}
"""The base point; each value is halved and doubled in turn. Half the test window gives twice the folds."""


@dataclass(frozen=True)
class Bench:
    """Measures trainings with the configuration `settings`; `folder` is for temporary files."""

    folder: Path
    settings: dict[str, Any]

    def panel(self, symbols: int, days: int) -> Path:
        """Create a panel in a separate process."""
        path = self.folder / f"{symbols}x{days}.npz"
        if not path.exists():
            measure("train_measure", "make", "--panel", str(path), "--symbols", str(symbols), "--days", str(days))
        return path

    def measure(self, way: str, panel: Path, **walk_forward: int) -> dict[str, Any]:
        """Measure one way in a separate process."""
        path = self.folder / "config.yaml"
        windows = {**self.settings["walk_forward"], **walk_forward}
        path.write_text(yaml.safe_dump({**self.settings, "walk_forward": windows}), encoding="utf-8")
        files = ["--panel", str(panel), "--config", str(path), "--predictions", str(self.folder / f"{way}.npz")]
        return measure("train_measure", way, *files)

    def compare(self, symbols: int, days: int, runs: int) -> dict[str, Any]:
        """Measure the three ways in turn, `runs` times; keep the best time and the highest memory of each.

        Raises:
            BenchmarkError: One fails, or the predictions of ours and plain differ.
        """
        panel = self.panel(symbols, days)
        results: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        difference = 0.0
        for number in range(runs):
            for way in WAYS:
                say(f"{symbols} x {days}: {way}, run {number + 1} of {runs}")
                results[way].append(self.measure(way, panel))
            difference = max(difference, differ(self.folder / "ours.npz", self.folder / "plain.npz"))
        panel.unlink()
        if difference > train_verdict.TOLERANCE:
            raise BenchmarkError(
                f"at {symbols} x {days}, predictions of ours and of the straightforward implementation differ by "
                f"{difference:g} (at most {train_verdict.TOLERANCE:g}), so their times cannot be compared"
            )
        ways = {
            way: {**best(found), "import_mib": min(one["import_mib"] for one in found)}
            for way, found in results.items()
        }
        return {"symbols": symbols, "days": days, **ways, "difference": difference, **train_verdict.ratios(ways)}

    def growth(self) -> list[dict[str, Any]]:
        """Measure ours with symbols, days and folds halved and doubled, one at a time."""
        grown = []
        for name, factor in (("base", 1.0), *((name, factor) for name in GROWTH for factor in (0.5, 2.0))):
            # Half the history is too short for a fold: use three quarters.
            factor = 0.75 if (name, factor) == ("days", 0.5) else factor
            point = {**GROWTH, **({} if name == "base" else {name: int(GROWTH[name] * factor)})}
            say(f"growth: {point['symbols']} x {point['days']}, {point['test_days']} days a fold")
            panel = self.panel(point["symbols"], point["days"])
            measured = self.measure("ours", panel, test_days=point["test_days"])
            grows = "folds" if name == "test_days" else name
            grown.append({"grows": grows, **point, **measured})
        return grown


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit code."""
    options = _parser().parse_args(arguments)
    return command.carry_out(
        "bench-train", lambda: run(options), options.output, train_verdict.tables, train_verdict.REQUIRED
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the selected parts.

    Raises:
        BenchmarkError: A measured program fails.
    """
    started = time.monotonic()
    settings = yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))
    size = settings["lightgbm"]
    size.update(trees=options.trees or size["trees"], leaves=options.leaves or size["leaves"])
    points: list[dict[str, Any]] = []
    growth: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-train-") as name:
        bench = Bench(Path(name), settings)
        if "compare" in options.parts:
            for symbols, days in options.sizes:
                judged = {"symbols": symbols, "days": days} == train_verdict.REQUIRED.point
                points.append(bench.compare(symbols, days, options.repeats if judged else 1))
        if "growth" in options.parts:
            growth = bench.growth()
    one: dict[str, Any] = points[0]["ours"] if points else growth[0]
    return {
        "machine": machine(one["versions"]),
        "settings": {
            "sizes": [f"{symbols}x{days}" for symbols, days in options.sizes],
            "repeats": options.repeats,
            "statistic": "best",
            "trees": size["trees"],
            "leaves": size["leaves"],
            "threads": one["threads"],
            "tolerance": train_verdict.TOLERANCE,
        },
        "points": points,
        "growth": growth,
        "required": train_verdict.REQUIRED.judge(points),
        "seconds": round(time.monotonic() - started, 1),
    }


def differ(first: Path, second: Path) -> float:
    """The largest difference between two files of predictions; see `difference`."""
    with np.load(first) as ours, np.load(second) as plain:
        return max(difference(ours[name], plain[name]) for name in ours.files)


def difference(ours: np.ndarray, plain: np.ndarray) -> float:
    """The largest difference between two arrays of predictions; infinite if their missing values differ."""
    if ours.shape != plain.shape or not np.array_equal(np.isnan(ours), np.isnan(plain)):
        return float("inf")
    known = ~np.isnan(ours)
    return float(np.abs(ours[known] - plain[known]).max(initial=0.0))


def _parser() -> argparse.ArgumentParser:
    parser = command.parser("bench-train", __doc__.splitlines()[0], PARTS)
    parser.add_argument(
        "--sizes", type=_sizes, default=[(500, 2520), (2000, 2520)], help="symbols x days (500x2520,2000x2520)"
    )
    parser.add_argument("--repeats", type=positive, default=3, help="measurements at the required size (3)")
    parser.add_argument("--trees", type=positive, help="trees of each LightGBM model (the shipped configuration's)")
    parser.add_argument("--leaves", type=positive, help="leaves of each tree (the shipped configuration's)")
    return parser


def _sizes(text: str) -> list[tuple[int, int]]:
    sizes = []
    for part in text.split(","):
        match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", part)
        if match is None:
            raise argparse.ArgumentTypeError(f"expected symbols x days, for example 500x2520, got {part!r}")
        sizes.append((int(match[1]), int(match[2])))
    return sizes


if __name__ == "__main__":
    sys.exit(main())
