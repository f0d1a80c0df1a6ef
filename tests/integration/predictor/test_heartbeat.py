"""The heartbeat, sent to CloudWatch (moto) after successful trainings only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from tests.support.predictor import terminate


@pytest.fixture
def beats(momentum: Any, settings: dict[str, Any]) -> Callable[[], float]:
    """The sum of this test's heartbeats, which have a process name of their own."""
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


def _other_requests(bucket: Any) -> int:
    """The number of requests to services other than S3, whose paths have the bucket's name."""
    return sum(method == "POST" and not path.startswith("/data-") for method, path in bucket.server.requests())


def test_promoting_training_sends_one_heartbeat_at_the_end(
    training: Any, momentum: Any, beats: Callable[[], float]
) -> None:
    assert training(momentum.name) == 0

    assert training.result["promoted"]
    assert beats() == 1
    detail = f"AlphaEngine/Heartbeat with Process={momentum.name}"
    assert training.result["heartbeat"] == {"sent": True, "detail": detail}
    assert list(training.result["stages"])[-1] == "heartbeat"
    methods = [method for method, path in momentum.server.requests() if method in ("PUT", "POST")]
    assert methods[-3:] == ["PUT", "POST", "POST"], "the last two are the heartbeat and this test's query"


def test_training_without_promotion_sends_a_heartbeat(
    training: Any, momentum: Any, settings: dict[str, Any], beats: Callable[[], float]
) -> None:
    settings["gates"]["median_ic"]["threshold"] = 0.99

    assert training(momentum.name) == 0

    assert not training.result["promoted"]
    assert beats() == 1


def test_dry_run_sends_no_heartbeat(training: Any, momentum: Any) -> None:
    before = _other_requests(momentum)

    assert training(momentum.name, "--dry-run") == 0

    assert _other_requests(momentum) == before
    assert training.result["heartbeat"] is None


def test_failed_training_sends_no_heartbeat(training: Any, momentum: Any, settings: dict[str, Any]) -> None:
    before = _other_requests(momentum)
    settings["walk_forward"]["min_train_rows"] = 10**6

    assert training(momentum.name) == 1

    assert _other_requests(momentum) == before
    assert training.result["heartbeat"] is None


@pytest.mark.parametrize("stage", ["walk_forward", "write"])
def test_interrupted_training_sends_no_heartbeat(stage: str, training: Any, momentum: Any, at_stage: Any) -> None:
    before = _other_requests(momentum)
    at_stage(stage, terminate)

    assert training(momentum.name) == 75

    assert _other_requests(momentum) == before
    assert training.result["heartbeat"] is None


def test_sigterm_during_the_heartbeat_is_ignored(
    training: Any, momentum: Any, beats: Callable[[], float], at_stage: Any
) -> None:
    at_stage("heartbeat", terminate)

    assert training(momentum.name) == 0

    assert (training.result["error"], training.result["promoted"], beats()) == (None, True, 1)


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [("http://127.0.0.1:9", "EndpointConnectionError"), ("nonsense", "ValueError")],
)
def test_failure_to_send_is_a_note(
    training: Any, momentum: Any, monkeypatch: pytest.MonkeyPatch, endpoint: str, why: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", endpoint)

    assert training(momentum.name) == 0

    assert (training.result["error"], training.result["promoted"]) == (None, True)
    heartbeat = training.result["heartbeat"]
    assert heartbeat["sent"] is False
    assert why in heartbeat["detail"]
    assert training.result["notes"] == [f"the heartbeat could not be sent: {heartbeat['detail']}"]


def test_refused_heartbeat_does_not_fail_the_training(
    training: Any, momentum: Any, front: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", front(momentum.server.port))

    assert training(momentum.name) == 0

    assert training.result["promoted"]
    assert training.result["heartbeat"]["sent"] is False
