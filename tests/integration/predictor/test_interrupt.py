"""SIGTERM in every stage: exit code 75, a result, and a bucket that the next training completes."""

from __future__ import annotations

import hashlib
import signal
from pathlib import Path
from typing import Any

import pytest
from predictor import output, s3_keys
from predictor.training import boosting

from tests.support.predictor import terminate

pytestmark = pytest.mark.slow

META = s3_keys.versioned("2022-12-29-run-7", s3_keys.META)
STAGES = ["check", "read", "features", "labels", "walk_forward", "final_models", "gates", "diagnostics", "write"]


@pytest.mark.parametrize("stage", STAGES)
def test_interrupted_training_exits_with_75_in_any_stage(
    stage: str, training: Any, momentum: Any, at_stage: Any
) -> None:
    at_stage(stage, terminate)

    assert training(momentum.name) == 75

    message = f"interrupted by SIGTERM in stage {stage}"
    assert (training.error, training.result["error"]) == (f"predictor: error: {message}\n", message)
    assert list(training.result["stages"]) == STAGES[: STAGES.index(stage) + 1]
    assert momentum.result_keys() == set()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("key", [s3_keys.HEALTH, META, s3_keys.LIVE_MANIFEST])
def test_next_training_completes_an_interrupted_write(key: str, training: Any, momentum: Any, before_put: Any) -> None:
    stop_at = [key]

    def stop_once(written: str) -> None:
        if written in stop_at:
            stop_at.clear()
            terminate()

    before_put(stop_once)

    assert training(momentum.name) == 75

    half = momentum.result_keys()
    assert training.result["error"] == "interrupted by SIGTERM in stage write"
    assert set(training.result["written"]) == half
    assert training.result["promoted"] is False
    # The manifest, which names the weights, is written last.
    assert not half & {key, s3_keys.LIVE_MANIFEST}

    assert training(momentum.name) == 0

    assert half < momentum.result_keys()
    found = {name: hashlib.sha256(body).hexdigest() for name, body in momentum.live_bodies().items()}
    assert found == {name: described["sha256"] for name, described in momentum.live()["files"].items()}


class _TerminatesWhenDeleted:
    def __del__(self) -> None:
        terminate()


# Python prints what a destructor raises, and continues.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_lost_interruption_ends_the_training_after_the_fold(
    training: Any, momentum: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = boosting.fit

    def fit(*arguments: Any) -> Any:
        _TerminatesWhenDeleted()
        return original(*arguments)

    monkeypatch.setattr(boosting, "fit", fit)

    assert training(momentum.name) == 75

    assert training.result["error"] == "interrupted by SIGTERM in stage walk_forward"
    assert [line["fold"] for line in training.progress() if line["fold"] is not None] == []


def _terminated_write_json(path: Path, document: Any) -> None:
    terminate()
    output.write_json(path, document)


def test_repeated_sigterm_does_not_prevent_the_result(
    training: Any, momentum: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = boosting.fit

    def fit(*arguments: Any) -> Any:
        terminate()
        return original(*arguments)

    monkeypatch.setattr("predictor.cli.write_json", _terminated_write_json)
    monkeypatch.setattr(boosting, "fit", fit)

    assert training(momentum.name) == 75
    assert training.result["error"] == "interrupted by SIGTERM in stage walk_forward"


def test_sigterm_after_the_training_is_ignored(training: Any, momentum: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("predictor.cli.write_json", _terminated_write_json)

    assert training(momentum.name) == 0
    assert (training.result["error"], training.result["promoted"]) == (None, True)
