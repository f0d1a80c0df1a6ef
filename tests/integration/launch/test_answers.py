"""Answers of EC2 that the embedded AWS does not give: lost, empty, and refusals that launched all the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.modules import ec2_launch_once
from ansible_collections.spot_train.core.plugins.modules.ec2_launch_once import TRIES, Launch
from botocore.exceptions import ClientError, ReadTimeoutError

LOST = ReadTimeoutError(endpoint_url="https://ec2.example")
REFUSED = ClientError({"Error": {"Code": "InsufficientInstanceCapacity", "Message": "none"}}, "RunInstances")


class Ec2:
    """EC2 with given responses to launches, which lists the instance from a given look-up on."""

    def __init__(self, answers: Sequence[Any], shown_from: int | None) -> None:
        self.answers = list(answers)
        self.shown_from = shown_from
        self.looks = 0
        self.tokens: list[str] = []

    def run_instances(self, aws_retry: bool, **request: Any) -> Any:
        self.tokens.append(request["ClientToken"])
        answer = self.answers[min(len(self.tokens), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        self.looks += 1
        shown = self.shown_from is not None and self.looks >= self.shown_from
        instance = {"InstanceId": "i-1", "LaunchTime": datetime(2026, 1, 1, tzinfo=UTC)}
        return [{"Reservations": [{"Instances": [instance] if shown else []}]}]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second pass at once."""
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(ec2_launch_once, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: clock[0]))


def launch(ec2: Ec2) -> dict[str, Any]:
    module = SimpleNamespace(
        params={
            "template": "lt-1",
            "offer": {"market": "spot", "type": "r5.large", "subnet": "subnet-1"},
            "max_price": "",
            "tags": {"run_id": "r1"},
            "identity": ["run_id"],
            "settle_seconds": 2,
            "lost_seconds": 20,
        },
        client=lambda *_, **__: ec2,
    )
    return Launch(module).run()


def test_instance_after_a_refusal_is_used_and_refusal_returned() -> None:
    ec2 = Ec2([REFUSED], shown_from=3)
    done = launch(ec2)
    assert (done["instance_id"], done["error"], done["changed"]) == ("i-1", None, True)
    assert done["offer"]["error"] == "InsufficientInstanceCapacity"
    assert len(ec2.tokens) == 1


def test_refusal_counts_after_a_delay() -> None:
    done = launch(Ec2([REFUSED], shown_from=None))
    assert (done["instance_id"], done["error"], done["changed"]) == (None, "InsufficientInstanceCapacity", False)


def test_response_without_instance_is_found_by_tags() -> None:
    done = launch(Ec2([{"Instances": []}], shown_from=9))
    assert (done["instance_id"], done["offer"]["error"]) == ("i-1", None)


def test_response_without_instance_is_one_clear_error() -> None:
    ec2 = Ec2([{}], shown_from=None)
    done = launch(ec2)
    assert (done["instance_id"], done["error"], done["offer"]["error"]) == (None, "NoInstance", "NoInstance")
    assert done["message"] == "EC2 answered without an instance, and none with its tags appeared"
    assert len(ec2.tokens) == 1


def test_lost_response_is_searched_before_a_retry() -> None:
    ec2 = Ec2([LOST], shown_from=10)
    done = launch(ec2)
    assert (done["instance_id"], done["error"], done["offer"]["error"]) == ("i-1", None, None)
    assert len(ec2.tokens) == 1


def test_lost_request_is_repeated_with_its_token() -> None:
    ec2 = Ec2([LOST, {"Instances": [{"InstanceId": "i-2"}]}], shown_from=None)
    assert launch(ec2)["instance_id"] == "i-2"
    assert len(ec2.tokens) == 2 and len(set(ec2.tokens)) == 1


def test_permanently_lost_responses_are_one_clear_error() -> None:
    ec2 = Ec2([LOST], shown_from=None)
    done = launch(ec2)
    assert (done["instance_id"], done["error"], done["changed"]) == (None, "ReadTimeoutError", True)
    assert "no instance appeared" in done["message"]
    assert len(ec2.tokens) == TRIES
