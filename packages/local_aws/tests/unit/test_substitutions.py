"""Filling in policy templates."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from local_aws import substitutions

POLICY = Path(__file__).parents[1] / "data" / "training.json"


@pytest.mark.parametrize(
    ("document", "filled"),
    [
        ({"Resource": "arn:${bucket}/*"}, {"Resource": "arn:data/*"}),
        (["${bucket}/${prefixes}*", "${bucket}"], ["data/a/*", "data/b/*", "data"]),
        ([["${prefixes}"], 1, None], [["a/", "b/"], 1, None]),
        (["${none}x", "y"], ["y"]),
        (["${aws:username}/${unknown}", "$"], ["${aws:username}/${unknown}", "$"]),
    ],
)
def test_texts_are_filled_in_and_lists_expand(document: Any, filled: Any) -> None:
    values = {"bucket": "data", "prefixes": ["a/", "b/"], "none": []}

    assert substitutions.fill(document, values) == filled


def test_command_fills_a_policy_in(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(POLICY.read_text()))

    assert substitutions.main(["data_bucket=b", "data_prefixes=prices/", "artefact_prefixes=model/,health/"]) == 0

    _, read, write, *_ = json.loads(capsys.readouterr().out)["Statement"]
    assert read["Resource"] == [f"arn:aws:s3:::b/{prefix}/*" for prefix in ("prices", "runs")]
    assert write["Resource"] == [f"arn:aws:s3:::b/{prefix}/*" for prefix in ("model", "health", "runs")]
