"""SIGTERM, in every stage: exit code 75, a result that says so, and a bucket that the next training makes whole."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from predictor import aws, output
from predictor.training import boosting
from predictor.training.progress import Progress

LIVE = "predictor/weights/meta"
SET = f"{LIVE}/versions/2022-12-29-run-7"
STAGES = ["check", "read", "features", "labels", "walk_forward", "final_models", "gates", "diagnostics", "write"]


def _terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("stage", STAGES)
def test_a_training_told_to_stop_in_any_stage_says_so_and_ends_with_75(
    stage: str, training: Any, momentum: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Progress._write

    def write(self: Progress, name: str, *more: Any, **others: Any) -> None:
        honest(self, name, *more, **others)
        if name == stage:
            _terminate()

    monkeypatch.setattr(Progress, "_write", write)

    assert training(momentum.name) == 75

    said = f"interrupted by SIGTERM in stage {stage}"
    assert (training.error, training.result["error"]) == (f"predictor: error: {said}\n", said)
    assert list(training.result["stages"]) == STAGES[: STAGES.index(stage) + 1]
    assert momentum.result_keys() == set()
    # Whoever runs the tests can still end them.
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("key", ["health/predictor_training.json", f"{SET}/meta_model.pkl", f"{LIVE}/manifest.json"])
def test_stopped_in_the_middle_of_writing_the_next_training_makes_it_whole(
    key: str, training: Any, momentum: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = aws.s3_client

    def client_told_to_stop() -> Any:
        client = honest()
        put = client.put_object

        def put_object(**arguments: Any) -> Any:
            if arguments["Key"] == key:
                _terminate()
            return put(**arguments)

        client.put_object = put_object
        return client

    with monkeypatch.context() as patch:
        patch.setattr(aws, "s3_client", client_told_to_stop)
        assert training(momentum.name) == 75

    half = momentum.result_keys()
    assert training.result["error"] == "interrupted by SIGTERM in stage write"
    assert set(training.result["written"]) == half
    assert training.result["promoted"] is False
    # The manifest, which names the weights, is the last of all.
    assert not half & {key, f"{LIVE}/manifest.json"}

    assert training(momentum.name) == 0

    assert half < momentum.result_keys()
    found = {name: hashlib.sha256(body).hexdigest() for name, body in momentum.live_bodies().items()}
    assert found == {name: described["sha256"] for name, described in momentum.live()["files"].items()}


class _TerminatesAsItGoes:
    def __del__(self) -> None:
        _terminate()


# Python prints what a destructor raises, and goes on: that is what is tested.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_whose_exception_gets_lost_ends_the_training_with_the_fold(
    training: Any, momentum: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = boosting.fit

    def fit(*arguments: Any) -> Any:
        _TerminatesAsItGoes()
        return honest(*arguments)

    monkeypatch.setattr(boosting, "fit", fit)

    assert training(momentum.name) == 75

    assert training.result["error"] == "interrupted by SIGTERM in stage walk_forward"
    assert [line["fold"] for line in training.progress() if line["fold"] is not None] == []


def _terminated_write_json(path: Path, document: Any) -> None:
    _terminate()
    output.write_json(path, document)


def test_told_to_stop_over_and_over_it_still_writes_its_result(
    training: Any, momentum: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = boosting.fit

    def fit(*arguments: Any) -> Any:
        _terminate()
        return honest(*arguments)

    monkeypatch.setattr("predictor.cli.write_json", _terminated_write_json)
    monkeypatch.setattr(boosting, "fit", fit)

    assert training(momentum.name) == 75
    assert training.result["error"] == "interrupted by SIGTERM in stage walk_forward"


def test_told_to_stop_when_all_is_done_it_is_done(
    training: Any, momentum: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("predictor.cli.write_json", _terminated_write_json)

    assert training(momentum.name) == 0
    assert (training.result["error"], training.result["promoted"]) == (None, True)
