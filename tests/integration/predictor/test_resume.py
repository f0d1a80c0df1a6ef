"""A resumed training gives the same result as an uninterrupted one, and recomputes only the interrupted fold."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from predictor import aws

from tests.support.predictor import RUN_DATE

pytestmark = pytest.mark.slow

PREFIX = "runs/folds"
STATE = ("--state-prefix", PREFIX)
ARCHIVE = f"predictor/weights/meta/archive/{RUN_DATE}"
MODELS = ("volatility_model.txt", "research_calibrator.json", "meta_model.pkl", "isotonic_calibrator.pkl")
OUT_OF_SAMPLE = "predictor/diagnostics/oos_rows/latest.parquet"
FOLDS = 7

ENDLESS = """
import pathlib, sys
import lightgbm
from predictor.cli import main

original, calls = lightgbm.train, 0


def train(*arguments, num_boost_round):
    global calls
    calls += 1
    if calls == 4:
        pathlib.Path(sys.argv[1]).touch()
        num_boost_round = 10**8
    return original(*arguments, num_boost_round=num_boost_round)


lightgbm.train = train
sys.exit(main(sys.argv[2:]))
"""
"""The command, with an endless fold 3."""


def _trained(bucket: Any) -> dict[str, bytes]:
    """What must not depend on interruptions: model files and out-of-sample rows."""
    return {key: bucket.body(key) for key in (*(f"{ARCHIVE}/{name}" for name in MODELS), OUT_OF_SAMPLE)}


def _saved(bucket: Any) -> list[str]:
    return sorted(bucket.result_keys("runs/"))


def _emptied(bucket: Any) -> None:
    for key in bucket.result_keys():
        bucket.client.delete_object(Bucket=bucket.name, Key=key)


@pytest.fixture
def cut_off(config_file: Callable[[], Path], tmp_path: Path) -> Callable[[str, int], tuple[int, Path]]:
    """Train in a separate process that a signal ends in fold 3; returns its exit code and result file."""

    def run(bucket: str, number: int) -> tuple[int, Path]:
        in_fold_3, output = tmp_path / "in-fold-3", tmp_path / "cut-off.json"
        arguments = ["train", "--data-bucket", bucket, "--run-date", RUN_DATE, "--config", str(config_file())]
        arguments += ["--output", str(output), "--progress", str(tmp_path / "cut-off.jsonl"), "--run-id", "run-7"]
        command = [sys.executable, "-c", ENDLESS, str(in_fold_3), *arguments, *STATE]
        with subprocess.Popen(command) as process:
            try:
                deadline = time.monotonic() + 60
                while not in_fold_3.exists() and process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.01)
                # LightGBM, which builds a tree in about a millisecond, is now busy.
                time.sleep(0.2)
                process.send_signal(number)
                code = process.wait(30)
            finally:
                process.kill()
        return code, output

    return run


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_resumed_training_gives_the_same_bytes(
    number: int, threads: int, cut_off: Any, training: Any, momentum: Any, settings: dict[str, Any]
) -> None:
    settings["run"]["threads"] = threads
    assert training(momentum.name) == 0
    uninterrupted = _trained(momentum)
    _emptied(momentum)

    code, output = cut_off(momentum.name, number)

    assert code == (75 if number == signal.SIGTERM else -signal.SIGKILL)
    assert output.exists() == (number == signal.SIGTERM)
    assert [key.rpartition("/")[2] for key in _saved(momentum)] == ["0.npz", "1.npz", "2.npz"]
    assert momentum.result_keys() == set(_saved(momentum)), "only a completed training writes other keys"

    assert training(momentum.name, *STATE) == 0

    assert training.result["resumed_folds"] == 3
    assert _trained(momentum) == uninterrupted
    assert training.result["notes"] == []


def test_only_folds_are_saved_below_the_prefix(training: Any, momentum: Any) -> None:
    assert training(momentum.name, *STATE) == 0

    saved = _saved(momentum)
    folders = {key.rpartition("/")[0] for key in saved}
    assert len(folders) == 1
    folder = folders.pop()
    assert re.fullmatch(f"{PREFIX}/[0-9a-f]{{64}}", folder)
    assert saved == [f"{folder}/{number}.npz" for number in range(FOLDS)]
    assert momentum.result_keys() - set(saved) == set(training.result["written"])
    assert training.result["resumed_folds"] == 0


def test_training_without_a_prefix_neither_saves_nor_resumes(training: Any, momentum: Any) -> None:
    assert training(momentum.name, *STATE) == 0
    before = momentum.etags("runs/")

    assert training(momentum.name) == 0

    assert training.result["resumed_folds"] == 0
    assert momentum.etags("runs/") == before


def test_progress_and_result_report_resumed_folds(training: Any, momentum: Any) -> None:
    assert training(momentum.name, *STATE) == 0
    first = training.result
    momentum.client.delete_object(Bucket=momentum.name, Key=_saved(momentum)[5])

    assert training(momentum.name, *STATE) == 0

    lines = [line for line in training.progress() if line["fold"] is not None]
    assert [line["resumed"] for line in lines] == [number != 5 for number in range(FOLDS)]
    assert [line["saved"] for line in lines] == list(range(1, FOLDS + 1))
    assert lines[0]["remaining"] is None
    assert lines[-1]["remaining"] == 0
    assert training.progress()[-1]["saved"] == FOLDS
    assert training.result["resumed_folds"] == FOLDS - 1
    # A resumed fold keeps its original duration.
    same = [number for number, fold in enumerate(first["fold_ics"]) if fold["fold"] != 5]
    assert [training.result["fold_ics"][number] for number in same] == [first["fold_ics"][number] for number in same]


def test_changed_configuration_or_price_resumes_nothing(training: Any, momentum: Any, settings: dict[str, Any]) -> None:
    assert training(momentum.name, *STATE) == 0

    settings["meta"]["alpha"] = 2.0
    assert training(momentum.name, *STATE, run_id="run-8") == 0
    assert training.result["resumed_folds"] == 0

    settings["meta"]["alpha"] = 1.0
    settings["gates"]["median_ic"]["threshold"] = 0.03
    settings["gates"]["triple_barrier"]["blocking"] = True
    assert training(momentum.name, *STATE, run_id="run-9") == 0
    assert training.result["resumed_folds"] == FOLDS, "folds do not depend on the gates or the run"

    library = momentum.read("universe", "S03")
    library.iloc[100, 0] *= 1.0001
    momentum.write("universe", {"S03": library})
    assert training(momentum.name, *STATE, run_id="run-10") == 0
    assert training.result["resumed_folds"] == 0
    assert len(_saved(momentum)) == 3 * FOLDS


def test_damaged_fold_is_computed_again_and_replaced(training: Any, momentum: Any) -> None:
    assert training(momentum.name, *STATE) == 0
    whole, saved = _trained(momentum), _saved(momentum)
    body = bytearray(momentum.body(saved[2]))
    body[len(body) // 2] ^= 1
    momentum.client.put_object(Bucket=momentum.name, Key=saved[2], Body=bytes(body))
    momentum.client.put_object(Bucket=momentum.name, Key=saved[4], Body=b"")

    assert training(momentum.name, *STATE) == 0

    notes = training.result["notes"]
    assert [note.partition(" (")[0] for note in notes] == [
        f"fold {number} was computed again: s3://{momentum.name}/{saved[number]} is damaged" for number in (2, 4)
    ]
    assert not any("\n" in note for note in notes)
    assert training.result["resumed_folds"] == FOLDS - 2
    assert _trained(momentum) == whole

    assert training(momentum.name, *STATE) == 0
    assert (training.result["resumed_folds"], training.result["notes"]) == (FOLDS, [])


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make S3 refuse an operation below `runs/`."""
    original = aws.s3_client

    def arrange(operation: str) -> None:
        def client() -> Any:
            made = original()

            def refusal(params: dict[str, Any], **_: Any) -> None:
                if str(params.get("Key", params.get("Prefix", ""))).startswith("runs/"):
                    raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)

            made.meta.events.register(f"provide-client-params.s3.{operation}", refusal)
            return made

        monkeypatch.setattr(aws, "s3_client", client)

    return arrange


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ("PutObject", "folds could not be saved from fold 0 on"),
        ("ListObjectsV2", "every fold was computed"),
    ],
)
def test_refusal_to_save_or_list_folds_is_noted_once(
    operation: str, message: str, refuse: Callable[[str], None], training: Any, momentum: Any
) -> None:
    refuse(operation)

    assert training(momentum.name, *STATE) == 0

    (note,) = training.result["notes"]
    assert note.startswith(f"{message}: cannot ")
    assert note.endswith("AccessDenied no")
    assert (training.result["promoted"], training.result["error"]) == (True, None)
    assert training.progress()[-1]["saved"] == (0 if operation == "PutObject" else FOLDS)


def test_unreadable_fold_is_computed_again(refuse: Callable[[str], None], training: Any, momentum: Any) -> None:
    assert training(momentum.name, *STATE) == 0
    refuse("GetObject")

    assert training(momentum.name, *STATE) == 0

    assert training.result["resumed_folds"] == 0
    (note,) = training.result["notes"]
    assert note.startswith("saved folds were computed again from fold 0 on: cannot read s3://")
