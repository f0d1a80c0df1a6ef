"""A training that is cut off and started again gives what it would have given, and computes no fold twice but one."""

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

RUN_DATE = "2022-12-29"
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

honest, calls = lightgbm.train, 0


def train(*arguments, num_boost_round):
    global calls
    calls += 1
    if calls == 4:
        pathlib.Path(sys.argv[1]).touch()
        num_boost_round = 10**8
    return honest(*arguments, num_boost_round=num_boost_round)


lightgbm.train = train
sys.exit(main(sys.argv[2:]))
"""
"""The command, but fold 3 keeps LightGBM busy for good."""


def _trained(bucket: Any) -> dict[str, bytes]:
    """What must not depend on whether the training was cut off: model files and out-of-sample rows, as bytes."""
    return {key: bucket.body(key) for key in (*(f"{ARCHIVE}/{name}" for name in MODELS), OUT_OF_SAMPLE)}


def _saved(bucket: Any) -> list[str]:
    return sorted(bucket.result_keys("runs/"))


def _emptied(bucket: Any) -> None:
    for key in bucket.result_keys():
        bucket.client.delete_object(Bucket=bucket.name, Key=key)


@pytest.fixture
def cut_off(config_file: Callable[[], Path], tmp_path: Path) -> Callable[[str, int], tuple[int, Path]]:
    """Train in a process of its own, end that by a signal in fold 3; its exit code and result."""

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
                # Well inside LightGBM, which builds a tree a millisecond or so.
                time.sleep(0.2)
                process.send_signal(number)
                code = process.wait(30)
            finally:
                process.kill()
        return code, output

    return run


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_cut_off_in_mid_fold_and_resumed_it_gives_the_same_bytes_and_loses_that_fold_only(
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
    assert momentum.result_keys() == set(_saved(momentum)), "only a training that ends writes anything else"

    assert training(momentum.name, *STATE) == 0

    assert training.result["resumed_folds"] == 3
    assert _trained(momentum) == uninterrupted
    assert training.result["notes"] == []


def test_all_folds_are_saved_below_the_prefix_and_nothing_else_is(training: Any, momentum: Any) -> None:
    assert training(momentum.name, *STATE) == 0

    saved = _saved(momentum)
    folders = {key.rpartition("/")[0] for key in saved}
    assert len(folders) == 1
    folder = folders.pop()
    assert re.fullmatch(f"{PREFIX}/[0-9a-f]{{64}}", folder)
    assert saved == [f"{folder}/{number}.npz" for number in range(FOLDS)]
    assert momentum.result_keys() - set(saved) == set(training.result["written"])
    assert training.result["resumed_folds"] == 0


def test_a_training_without_a_prefix_neither_saves_nor_takes(training: Any, momentum: Any) -> None:
    assert training(momentum.name, *STATE) == 0
    before = momentum.etags("runs/")

    assert training(momentum.name) == 0

    assert training.result["resumed_folds"] == 0
    assert momentum.etags("runs/") == before


def test_progress_and_result_tell_what_was_taken(training: Any, momentum: Any) -> None:
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
    # Of a fold that was taken even the time is what it once took.
    same = [number for number, fold in enumerate(first["fold_ics"]) if fold["fold"] != 5]
    assert [training.result["fold_ics"][number] for number in same] == [first["fold_ics"][number] for number in same]


def test_another_configuration_or_one_other_price_reuses_nothing(
    training: Any, momentum: Any, settings: dict[str, Any]
) -> None:
    assert training(momentum.name, *STATE) == 0

    settings["meta"]["alpha"] = 2.0
    assert training(momentum.name, *STATE, run_id="run-8") == 0
    assert training.result["resumed_folds"] == 0

    settings["meta"]["alpha"] = 1.0
    settings["gates"]["median_ic"]["threshold"] = 0.03
    settings["gates"]["triple_barrier"]["blocking"] = True
    assert training(momentum.name, *STATE, run_id="run-9") == 0
    assert training.result["resumed_folds"] == FOLDS, "the gates are no part of a fold, nor is the run"

    library = momentum.read("universe", "S03")
    library.iloc[100, 0] *= 1.0001
    momentum.write("universe", {"S03": library})
    assert training(momentum.name, *STATE, run_id="run-10") == 0
    assert training.result["resumed_folds"] == 0
    assert len(_saved(momentum)) == 3 * FOLDS


def test_a_damaged_fold_is_named_computed_again_and_mended(training: Any, momentum: Any) -> None:
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
    """Have S3 refuse one operation on what is below `runs/`."""
    honest = aws.s3_client

    def arrange(operation: str) -> None:
        def client() -> Any:
            made = honest()

            def refusal(params: dict[str, Any], **_: Any) -> None:
                if str(params.get("Key", params.get("Prefix", ""))).startswith("runs/"):
                    raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)

            made.meta.events.register(f"provide-client-params.s3.{operation}", refusal)
            return made

        monkeypatch.setattr(aws, "s3_client", client)

    return arrange


@pytest.mark.parametrize(
    ("operation", "says"),
    [
        ("PutObject", "from fold 0 on, folds could not be saved, and would be computed again after an interruption"),
        ("ListObjectsV2", "every fold was computed"),
    ],
)
def test_a_training_that_cannot_save_or_look_says_so_once_and_succeeds(
    operation: str, says: str, refuse: Callable[[str], None], training: Any, momentum: Any
) -> None:
    refuse(operation)

    assert training(momentum.name, *STATE) == 0

    (note,) = training.result["notes"]
    assert note.startswith(f"{says}: cannot ")
    assert note.endswith("AccessDenied no")
    assert (training.result["promoted"], training.result["error"]) == (True, None)
    assert training.progress()[-1]["saved"] == (0 if operation == "PutObject" else FOLDS)


def test_a_saved_fold_that_cannot_be_read_is_computed_again(
    refuse: Callable[[str], None], training: Any, momentum: Any
) -> None:
    assert training(momentum.name, *STATE) == 0
    refuse("GetObject")

    assert training(momentum.name, *STATE) == 0

    assert training.result["resumed_folds"] == 0
    (note,) = training.result["notes"]
    assert note.startswith("from fold 0 on, saved folds were computed again: cannot read s3://")
