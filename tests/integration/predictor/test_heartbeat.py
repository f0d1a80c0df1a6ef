"""The heartbeat, against CloudWatch for real (moto): sent once a training has succeeded, and never else."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from predictor.training.progress import Progress


@pytest.fixture
def beats(momentum: Any, settings: dict[str, Any]) -> Callable[[], float]:
    """The sum of the heartbeats of this test, whose process has a name of its own."""
    settings["heartbeat"]["process"] = momentum.name
    client = boto3.client("cloudwatch", region_name="us-east-1", endpoint_url=momentum.server.url)

    def total() -> float:
        now = datetime.now(UTC)
        found = client.get_metric_statistics(
            Namespace="AlphaEngine",
            MetricName="Heartbeat",
            Dimensions=[{"Name": "Process", "Value": momentum.name}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=7200,
            Statistics=["Sum"],
        )
        return sum(float(point["Sum"]) for point in found["Datapoints"])

    return total


def _asked(bucket: Any) -> int:
    """How many requests were to another service than S3, whose requests have the bucket in their path."""
    return sum(method == "POST" and not path.startswith("/data-") for method, path in bucket.server.requests())


def test_a_training_that_promotes_sends_one_heartbeat_last_of_all(
    training: Any, momentum: Any, beats: Callable[[], float]
) -> None:
    assert training(momentum.name) == 0

    assert training.result["promoted"]
    assert beats() == 1
    detail = f"AlphaEngine/Heartbeat with Process={momentum.name}"
    assert training.result["heartbeat"] == {"sent": True, "detail": detail}
    assert list(training.result["stages"])[-1] == "heartbeat"
    methods = [method for method, path in momentum.server.requests() if method in ("PUT", "POST")]
    assert methods[-3:] == ["PUT", "POST", "POST"], "the last two are the heartbeat, and this test's question"


def test_a_training_that_does_not_promote_has_succeeded_too(
    training: Any, momentum: Any, settings: dict[str, Any], beats: Callable[[], float]
) -> None:
    settings["gates"]["median_ic"]["threshold"] = 0.99

    assert training(momentum.name) == 0

    assert not training.result["promoted"]
    assert beats() == 1


def test_a_dry_run_sends_none(training: Any, momentum: Any) -> None:
    before = _asked(momentum)

    assert training(momentum.name, "--dry-run") == 0

    assert _asked(momentum) == before
    assert training.result["heartbeat"] is None


def test_a_failed_training_sends_none(training: Any, momentum: Any, settings: dict[str, Any]) -> None:
    before = _asked(momentum)
    settings["walk_forward"]["min_train_rows"] = 10**6

    assert training(momentum.name) == 1

    assert _asked(momentum) == before
    assert training.result["heartbeat"] is None


@pytest.mark.parametrize("stage", ["walk_forward", "write"])
def test_a_training_that_was_told_to_stop_sends_none(
    stage: str, training: Any, momentum: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _asked(momentum)
    honest = Progress._write

    def write(self: Progress, name: str, *more: Any, **others: Any) -> None:
        honest(self, name, *more, **others)
        if name == stage:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Progress, "_write", write)

    assert training(momentum.name) == 75

    assert _asked(momentum) == before
    assert training.result["heartbeat"] is None


def test_told_to_stop_while_it_is_sent_the_training_has_ended_well(
    training: Any, momentum: Any, beats: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Progress._write

    def write(self: Progress, name: str, *more: Any, **others: Any) -> None:
        honest(self, name, *more, **others)
        if name == "heartbeat":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Progress, "_write", write)

    assert training(momentum.name) == 0

    assert (training.result["error"], training.result["promoted"], beats()) == (None, True, 1)


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [("http://127.0.0.1:9", "EndpointConnectionError"), ("nonsense", "ValueError")],
)
def test_one_that_cannot_be_sent_is_a_note_and_no_failure(
    training: Any, momentum: Any, monkeypatch: pytest.MonkeyPatch, endpoint: str, why: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", endpoint)

    assert training(momentum.name) == 0

    assert (training.result["error"], training.result["promoted"]) == (None, True)
    heartbeat = training.result["heartbeat"]
    assert heartbeat["sent"] is False
    assert why in heartbeat["detail"]
    assert training.result["notes"] == [f"the heartbeat could not be sent: {heartbeat['detail']}"]


def test_a_refusal_is_no_failure_either(
    training: Any, momentum: Any, front: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", front(momentum.server.port))

    assert training(momentum.name) == 0

    assert training.result["promoted"]
    assert training.result["heartbeat"]["sent"] is False
