"""`make bench-train`: its arithmetic, and its report at a toy size. Times are not checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tools.benchmarks import train_verdict
from tools.benchmarks.train_scale import difference, main

ROOT = Path(__file__).resolve().parents[3]
STAGES = {
    "features",
    "labels and rows",
    "LightGBM: binning",
    "LightGBM: training",
    "LightGBM: prediction",
    "ranks",
    "ridge",
    "isotonic regression",
    "information coefficient",
    "the rest",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], Path]:
    """Output, report and folder of a run with a toy size."""
    folder = tmp_path_factory.mktemp("bench")
    arguments = ["--sizes", "12x820", "--trees", "3", "--leaves", "4", "--parts", "compare"]
    done = subprocess.run(
        [sys.executable, "-m", "tools.benchmarks.train_scale", *arguments, "--output", str(folder / "out/bench.json")],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((folder / "out/bench.json").read_text(encoding="utf-8")), folder


def test_all_ways_use_the_same_rows_and_folds(finished: tuple[str, dict[str, Any], Path]) -> None:
    (point,) = finished[1]["points"]
    assert (point["symbols"], point["days"]) == (12, 820)
    for way in ("ours", "floor", "plain"):
        assert point[way]["seconds"] > 0
        assert point[way]["peak_mib"] > point[way]["import_mib"] > 1
        assert (point[way]["rows"], point[way]["folds"]) == (12 * (820 - 21 - 5), 2)


def test_plain_implementation_predicts_the_same(finished: tuple[str, dict[str, Any], Path]) -> None:
    (point,) = finished[1]["points"]
    assert point["difference"] <= train_verdict.TOLERANCE
    assert point["ours"]["median_ic"] == pytest.approx(point["plain"]["median_ic"], abs=1e-9)


def test_stages_add_up_to_the_total_time(finished: tuple[str, dict[str, Any], Path]) -> None:
    (point,) = finished[1]["points"]
    for way in ("ours", "plain"):
        assert sum(point[way]["stages"].values()) == pytest.approx(point[way]["seconds"], abs=0.05)
    assert 0 < sum(point["floor"]["stages"].values()) <= point["floor"]["seconds"] + 0.005
    assert set(point["ours"]["stages"]) == STAGES
    assert set(point["floor"]["stages"]) == {"LightGBM: binning", "LightGBM: training"}
    # Two folds and the final models: plain computes its features five times.
    assert 0 < point["plain"]["features_once"] < point["plain"]["stages"]["features"]


def test_report_names_the_machine_and_no_verdict_elsewhere(
    finished: tuple[str, dict[str, Any], Path],
) -> None:
    output, report, folder = finished
    assert {"lightgbm", "scikit-learn"} <= set(report["machine"]["versions"])
    assert (report["settings"]["trees"], report["settings"]["leaves"]) == (3, 4)
    assert report["required"]["met"] is None
    assert "No requirement applies: nothing was measured at 500 x 2520." in output
    assert [path.name for path in folder.iterdir()] == ["out"]


def point(ours: float = 11.0, mib: float = 500.0) -> dict[str, Any]:
    """The required point, with a floor of 10 s, a plain time of 24 s and a feature matrix of 200 MiB."""
    rows = 200 * 1024 * 1024 // 160
    measured = {
        "ours": {"seconds": ours, "peak_mib": mib + 190, "import_mib": 190.0, "rows": rows},
        "floor": {"seconds": 10.0},
        "plain": {"seconds": 24.0, "stages": {"features": 6.0}, "features_once": 2.0},
    }
    return {**train_verdict.REQUIRED.point, **measured, **train_verdict.ratios(measured)}


def test_ratio_to_features_computed_once() -> None:
    assert point(ours=10.0)["ours_to_plain"] == pytest.approx(10 / 24, abs=1e-4)
    assert point(ours=10.0)["ours_to_plain_once"] == pytest.approx(0.5)


def test_feature_matrix_has_160_bytes_per_row() -> None:
    assert train_verdict.matrix_mib(1024 * 1024) == 160
    assert point()["memory_to_matrix"] == pytest.approx(2.5, abs=1e-4)


@pytest.mark.parametrize(
    ("measured", "failures"),
    [
        (point(), []),
        (point(ours=12.0), []),
        (
            point(ours=12.5),
            [
                "1.25 times LightGBM's floor (at most 1.20)",
                "0.52 of the straightforward implementation's time (at most 0.50)",
            ],
        ),
        (point(mib=601.0), ["3.00 times the feature matrix in memory (at most 3.00)"]),
    ],
)
def test_verdict_names_unmet_requirements(measured: dict[str, Any], failures: list[str]) -> None:
    judged = train_verdict.REQUIRED.judge([{**measured, "days": 1260}, measured])
    assert (judged["failures"], judged["met"]) == (failures, not failures)


def test_missing_prediction_is_an_infinite_difference() -> None:
    some, other = np.array([0.1, np.nan, 0.3]), np.array([0.1, np.nan, 0.3001])
    assert difference(some, some) == 0
    assert difference(some, other) == pytest.approx(0.0001)
    assert difference(some, np.nan_to_num(some)) == float("inf")
    assert difference(some, some[:2]) == float("inf")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--size", "500x2520"], "unrecognized arguments: --size"),
        (["--sizes", "500"], "expected symbols x days, for example 500x2520, got '500'"),
        (["--sizes", "0x2520"], "500x2520, got '0x2520'"),
        (["--trees", "0"], "expected a whole number above 0, got '0'"),
        (["--parts", "compare,all"], "unknown part 'all'"),
    ],
)
def test_wrong_option_is_an_error(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err
