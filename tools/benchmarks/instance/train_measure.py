"""One measurement of `make bench-train`, printed as one line of JSON; a separate process, to measure its memory.

`ours` is the package: features, labels, rows, walk-forward and final models, from a panel in memory. `floor` makes only
the same calls of `lightgbm.Dataset` and `lightgbm.train`, on prepared matrices. `plain` is the straightforward
implementation. Times exclude imports and reading the panel.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import predictor.training  # first: it configures OpenMP's waiting before LightGBM is loaded  # noqa: F401
from predictor import config as configuration

# isort: split
import lightgbm
import numpy as np
import scipy.linalg
import scipy.optimize  # noqa: F401  # loaded lazily by the package; count it as an import
from predictor.config import Config
from predictor.training import boosting, features, folds, ic, labels, layer1, meta, rows
from predictor.training.folds import Fold
from predictor.training.panel import Panel
from predictor.training.research import Research
from predictor.training.walk_forward import WalkForward
from threadpoolctl import threadpool_limits

from tools.benchmarks.instance import train_panel, train_plain

TRAINING, BINNING = "LightGBM: training", "LightGBM: binning"

SAMPLE = 1000
"""Number of last rows on which the final models are compared."""


class Watch:
    """Measures the time of stages: the total of each, and its longest single duration."""

    def __init__(self) -> None:
        """Start without stages."""
        self.seconds: dict[str, float] = {}
        self.longest: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self.seconds[name] = self.seconds.get(name, 0.0) + took
            self.longest[name] = max(self.longest.get(name, 0.0), took)

    def over(self, place: Any, name: str, stage: str) -> None:
        """Time every call of a function of a module or a class."""
        called = getattr(place, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            with self.stage(stage):
                return called(*arguments, **options)

        setattr(place, name, timed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one measurement; return the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.instance.train_measure", allow_abbrev=False)
    parser.add_argument("way", choices=["make", *WAYS])
    parser.add_argument("--panel", type=Path, required=True, help="file of the panel")
    parser.add_argument("--symbols", type=int, help="size of the panel to make")
    parser.add_argument("--days", type=int, help="days of the panel to make")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--predictions", type=Path, help="file for the predictions of ours and plain (.npz)")
    options = parser.parse_args(arguments)
    if options.way == "make":
        train_panel.write(options.panel, options.symbols, options.days)
        print("{}")
        return 0
    settings = configuration.load(options.config)
    # Fit a tiny model first, to load the libraries and start the threads.
    boosting.fit(np.zeros((64, 1)), np.zeros(64), ["x"], settings.lightgbm, settings.run)
    imports = _status("VmRSS")
    panel, research = train_panel.read(options.panel)
    watch = Watch()
    measured: dict[str, Any] = WAYS[options.way](panel, research, settings, watch)
    predictions = measured.pop("predictions")
    result = {
        **measured,
        "stages": {name: round(seconds, 3) for name, seconds in watch.seconds.items()},
        "import_mib": imports,
        "threads": boosting.threads(settings.run),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("lightgbm", "scikit-learn", "pandas", "numpy", "scipy")},
    }
    if options.predictions is not None:
        np.savez(options.predictions, **predictions)
    print(json.dumps(result))
    return 0


def _clock(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Measure a call.

    Returns:
        Its result; `seconds`, `cpu_seconds`, and `peak_mib`, the peak memory of the process during the call.
    """
    # Reset the peak to the current memory, which includes the panel.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    started, cpu = time.perf_counter(), time.process_time()
    done = work()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    return done, {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mib": _status("VmHWM")}


def _status(name: str) -> float:
    """`VmRSS` or `VmHWM` (its peak) in MiB; unlike getrusage's, it excludes the process before exec."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise OSError(f"/proc/self/status has no {name}")


def _ours(panel: Panel, research: Research, settings: Config, watch: Watch) -> dict[str, Any]:
    columns = list(research.columns)
    # The innermost functions of the walk-forward.
    watch.over(lightgbm, "train", TRAINING)
    watch.over(lightgbm.Dataset, "construct", BINNING)
    watch.over(boosting, "predict", "LightGBM: prediction")
    watch.over(ic, "centred_ranks", "ranks")
    watch.over(ic, "by_day", "information coefficient")
    watch.over(meta, "ridge", "ridge")
    watch.over(meta, "isotonic", "isotonic regression")

    def work() -> tuple[Any, ...]:
        # As in predictor.training.run: release the research columns once they are in the rows.
        with watch.stage("features"):
            computed = {**features.of_panel(panel), **research.columns}
            research.columns.clear()
        with watch.stage("labels and rows"):
            targets = labels.compute(panel.close, settings.labels.horizon, settings.labels.clip)
            data = rows.build(computed, targets, [features.VOLATILITY, columns])
            del computed, targets
        walk = WalkForward(data, columns, settings)
        result = walk.run(_plan(panel, settings), lambda done: None)
        return data, result, *walk.fit_final(result)

    with threadpool_limits(1, user_api="blas"):
        (data, result, first, second), measured = _clock(work)
    # lightgbm.train bins its data when it starts.
    watch.seconds[TRAINING] -= watch.seconds[BINNING]
    watch.seconds["the rest"] = measured["seconds"] - sum(watch.seconds.values())
    last = first.outputs(data, len(data) - SAMPLE, len(data), settings)
    parts = result.parts
    return {
        **measured,
        "rows": len(data),
        "folds": len(parts),
        "median_ic": float(np.median(result.ics())),
        "predictions": {
            "volatility": np.concatenate([part.outputs[layer1.VOLATILITY] for part in parts]),
            "research": np.concatenate([part.outputs[layer1.RESEARCH] for part in parts]),
            "score": np.concatenate([part.score for part in parts]),
            "forecast": np.concatenate([part.calibrated for part in parts]),
            "final_volatility": last[layer1.VOLATILITY],
            "final_research": last[layer1.RESEARCH],
            "final_coefficients": second.coefficients,
        },
    }


def _floor(panel: Panel, research: Research, settings: Config, watch: Watch) -> dict[str, Any]:
    columns = list(research.columns)
    computed = {**features.of_panel(panel), **research.columns}
    targets = labels.compute(panel.close, settings.labels.horizon, settings.labels.clip)
    data = rows.build(computed, targets, [features.VOLATILITY, columns])
    research.columns.clear()
    del computed, targets
    views, known = data.matrix(columns), np.isfinite(data.matrix(columns)).any(axis=1)
    stops = [data.first_row(fold.train_end) for fold in _plan(panel, settings)] + [len(data)]
    # The matrices of every fold and of the final models, C-ordered, so that LightGBM does not copy them.
    ready = [(data.matrix(features.VOLATILITY, stop=stop), data.move[:stop]) for stop in stops]
    if known.all():
        ready += [(views[:stop], data.relative[:stop]) for stop in stops]
    else:
        views, target, counts = views[known], data.relative[known], np.cumsum(known)
        ready += [(views[: counts[stop - 1]], target[: counts[stop - 1]]) for stop in stops]
    chosen = boosting.parameters(settings.lightgbm, settings.run)

    def work() -> None:
        for matrix, labelled in ready:
            with watch.stage(BINNING):
                binned = lightgbm.Dataset(matrix, labelled, params=chosen, free_raw_data=True).construct()
            with watch.stage(TRAINING):
                lightgbm.train(chosen, binned, num_boost_round=settings.lightgbm.trees)

    _, measured = _clock(work)
    return {**measured, "rows": len(data), "folds": len(stops) - 1, "predictions": {}}


def _plain(panel: Panel, research: Research, settings: Config, watch: Watch) -> dict[str, Any]:
    found, measured = _clock(
        lambda: train_plain.walk_forward(panel, research, settings, boosting.threads(settings.run), watch)
    )
    watch.seconds["the rest"] = measured["seconds"] - sum(watch.seconds.values())
    scored, last = found["scored"], found["rows"].tail(SAMPLE)
    return {
        **measured,
        "rows": len(found["rows"]),
        "folds": len(found["ics"]) + 1,
        "features_once": watch.longest[train_plain.FEATURES],
        "median_ic": float(np.median(found["ics"])),
        "predictions": {
            "volatility": scored["predicted_volatility"].to_numpy(),
            "research": scored["research_score"].to_numpy(),
            "score": scored["score"].to_numpy(),
            "forecast": scored["forecast"].to_numpy(),
            "final_volatility": found["volatility"].predict(last[list(features.VOLATILITY)]),
            "final_research": found["research"].predict(last[list(research.columns)]),
            "final_coefficients": found["layer2"][-1].coef_,
        },
    }


def _plan(panel: Panel, settings: Config) -> list[Fold]:
    return folds.split(len(panel.days) - settings.labels.horizon, settings.walk_forward)


WAYS = {"ours": _ours, "floor": _floor, "plain": _plain}


if __name__ == "__main__":
    sys.exit(main())
