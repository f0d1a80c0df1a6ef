"""The predictor on the real prices that the embedded AWS is seeded with.

The seeding runs under the controller's interpreter, as it does in a run: the two packages share no environment and
never import each other.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from predictor.cli import main

ROOT = Path(__file__).resolve().parents[2]
PREDICTOR = ROOT / "files" / "predictor"
CONTROLLER = Path(os.environ.get("CONTROLLER_PYTHON", ROOT / ".venv" / "bin" / "python"))
SEED = "import sys; from local_aws.prices import load_real_prices; load_real_prices(sys.argv[1])"


@pytest.fixture
def seeded(bucket: Any) -> Any:
    if not CONTROLLER.exists():
        pytest.fail(f"{CONTROLLER} is not there: run `make setup`, or name another in CONTROLLER_PYTHON")
    subprocess.run([CONTROLLER, "-c", SEED, bucket.uri], cwd=ROOT, check=True, capture_output=True, timeout=300)
    return bucket


def test_the_shipped_configuration_preflights_and_trains_on_the_real_prices(
    seeded: Any, installed_lock: Path, tmp_path: Path
) -> None:
    before = seeded.server.writes(seeded.name)
    common = ["--data-bucket", seeded.name, "--run-date", "2022-12-29"]
    common += ["--config", str(PREDICTOR / "config" / "default.yaml")]
    lock = ["--lock", str(installed_lock)]
    dry = ["--dry-run", "--run-id", "real", "--progress", str(tmp_path / "progress.jsonl")]

    assert main(["preflight", *common, *lock, "--output", str(tmp_path / "preflight.json")]) == 0
    assert main(["train", *common, *dry, "--output", str(tmp_path / "training.json")]) == 0

    preflight = json.loads((tmp_path / "preflight.json").read_text())
    assert {check["status"] for check in preflight["checks"]} == {"pass"}
    assert (preflight["symbols"], preflight["newest"], preflight["oldest"]) == (20, "2022-12-28", "2022-12-28")
    training = json.loads((tmp_path / "training.json").read_text())
    assert training["folds"] == 60
    assert len(training["skipped_folds"]) == 1
    # The next preflight asks for as much, and some more.
    assert training["resources"]["peak_memory_mb"] > 50
    assert training["resources"]["disk_mb"] >= 0
    # What the model is worth is not asserted: it is what it is.
    assert training["median_ic"] is not None
    assert seeded.server.writes(seeded.name) == before
