from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from predictor.cli import main

TRAIN = ["train", "--data-bucket", "prices", "--run-date", "2022-12-29", "--config", "c", "--output", "o"]
TRAIN += ["--progress", "p", "--run-id", "r"]
PREFLIGHT = ["preflight", "--data-bucket", "prices", "--run-date", "2022-12-29", "--config", "c", "--output", "o"]
PREFLIGHT += ["--lock", "l"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the following arguments are required"),
        (["trian"], "invalid choice: 'trian'"),
        ([*TRAIN, "--dryrun"], "unrecognized arguments: --dryrun"),
        ([*TRAIN, "--dry"], "unrecognized arguments: --dry"),
        ([*PREFLIGHT, "--dry-run"], "unrecognized arguments: --dry-run"),
        (PREFLIGHT[:-2], "required: --lock"),
        ([*TRAIN, "--run-date", "29.12.2022"], "is no day as YYYY-MM-DD"),
        ([*TRAIN, "--run-date", "20221229"], "is no day as YYYY-MM-DD"),
        ([*TRAIN, "--run-date", "2022-02-30"], "is no day"),
        ([*TRAIN, "--data-bucket", ""], "is no bucket name"),
        ([*TRAIN, "--data-bucket", "a?b&c=d"], "is no bucket name"),
        ([*TRAIN, "--arctic-prefix", "a&aws_auth=false"], "is no key prefix"),
        ([*TRAIN, "--run-id", " "], "is no run id"),
        ([*TRAIN, "--run-id", "a/../b"], "is no run id"),
        (["restore", "--data-bucket", "prices", "--run-id", "r", "--output", "o"], "required: --to"),
        (["restore", "--data-bucket", "prices", "--run-id", "r", "--output", "o", "--to", "latest"], "is no day as"),
        (["verify", "--data-bucket", "prices", "--date", "2022-02-30"], "is no day"),
        ([*TRAIN, "--dry-run", "--state-prefix", "runs/r"], "--state-prefix: not allowed with argument --dry-run"),
        ([*TRAIN, "--state-prefix", "predictor/weights/meta"], "is no key prefix below runs/"),
        ([*TRAIN, "--state-prefix", "runs"], "is no key prefix below runs/"),
        ([*TRAIN, "--state-prefix", "runs/../predictor/weights/meta"], "is no key prefix below runs/"),
        ([*TRAIN, "--state-prefix", "runs/r/"], "is no key prefix below runs/"),
    ],
)
def test_a_wrong_command_line_is_one_clear_line_and_exit_code_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert says in error
    assert error.count("\n") == 1


def test_importing_the_command_imports_no_heavy_library() -> None:
    # A machine on which pandas cannot be imported must still be able to say so.
    heavy = "('pandas', 'yaml', 'boto3')"
    code = f"import predictor.cli, predictor.preflight, sys; print([m for m in {heavy} if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_a_training_that_is_told_to_stop_leaves_its_result_behind(tmp_path: Path) -> None:
    config = tmp_path / "pipe"
    os.mkfifo(config)  # it hangs in reading its configuration, a moment the test can wait for
    command = [sys.executable, "-m", "predictor", *TRAIN[:-4], "--config", str(config)]
    command += ["--output", str(tmp_path / "out.json"), "--progress", str(tmp_path / "p.jsonl"), "--run-id", "r"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 60
        progress = tmp_path / "p.jsonl"
        # The file is there a moment before the stage is.
        while not (progress.exists() and "check" in progress.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=30)
    finally:
        process.kill()

    assert process.returncode == 75
    assert error == "predictor: error: interrupted by SIGTERM in stage check\n"
    assert json.loads((tmp_path / "out.json").read_text())["error"] == "interrupted by SIGTERM in stage check"
