from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

TRAIN = ["train", "--data-bucket", "prices", "--run-date", "2022-12-29"]


def test_cli_import_loads_no_heavy_library() -> None:
    # A machine without pandas must be able to report that.
    heavy = "('pandas', 'yaml', 'boto3')"
    code = f"import predictor.cli, predictor.preflight, sys; print([m for m in {heavy} if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_interrupted_training_writes_its_result(tmp_path: Path) -> None:
    config = tmp_path / "pipe"
    os.mkfifo(config)  # the training blocks while it reads its configuration
    command = [sys.executable, "-m", "predictor", *TRAIN, "--config", str(config)]
    command += ["--output", str(tmp_path / "out.json"), "--progress", str(tmp_path / "p.jsonl"), "--run-id", "r"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 60
        progress = tmp_path / "p.jsonl"
        # The file exists shortly before the stage does.
        while not (progress.exists() and "check" in progress.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=30)
    finally:
        process.kill()

    assert process.returncode == 75
    assert error == "predictor: error: interrupted by SIGTERM in stage check\n"
    assert json.loads((tmp_path / "out.json").read_text())["error"] == "interrupted by SIGTERM in stage check"
