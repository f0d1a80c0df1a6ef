"""A damaged live set ends a training before it reads any data."""

from __future__ import annotations

import json
from typing import Any

import pytest
from predictor import s3_keys


def _no_json(bucket: Any) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key=s3_keys.LIVE_MANIFEST, Body=b"{half")


def _a_list(bucket: Any) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key=s3_keys.LIVE_MANIFEST, Body=b"[]")


def _old_layout(bucket: Any) -> None:
    document = bucket.live()
    for described in document["files"].values():
        del described["key"]
    bucket.client.put_object(Bucket=bucket.name, Key=s3_keys.LIVE_MANIFEST, Body=json.dumps(document).encode())


def _no_rows(bucket: Any) -> None:
    bucket.client.delete_object(Bucket=bucket.name, Key=bucket.live()["out_of_sample"]["key"])


def _other_rows(bucket: Any) -> None:
    key = bucket.live()["out_of_sample"]["key"]
    body = bytearray(bucket.body(key))
    body[len(body) // 2] ^= 1
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=bytes(body))


def _no_model(bucket: Any) -> None:
    bucket.client.delete_object(Bucket=bucket.name, Key=bucket.live()["files"][s3_keys.META]["key"])


def _short_model(bucket: Any) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key=bucket.live()["files"][s3_keys.META]["key"], Body=b"{}")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_no_json, "manifest.json is not a manifest: it is not JSON"),
        (_a_list, "manifest.json is not a manifest: expected a JSON object, got list"),
        (
            _old_layout,
            "is not a manifest: files.volatility_model.txt: expected an object with key, sha256 and bytes",
        ),
        (_no_rows, "is damaged: predictor/weights/meta/versions/2022-12-29-run-7/oos_rows.parquet is missing"),
        (_other_rows, "oos_rows.parquet differs from its manifest's SHA-256"),
        (_no_model, "meta_model.pkl is missing"),
        (_short_model, " bytes, got 2"),
    ],
)
def test_damaged_live_set_fails_before_any_training(damage: Any, message: str, training: Any, momentum: Any) -> None:
    assert training(momentum.name) == 0
    damage(momentum)
    before = momentum.etags()

    assert training(momentum.name, run_id="run-8") == 1

    assert message in training.error
    assert training.error.endswith(
        "; nothing was changed; playbooks/rollback.yml -e to=<date> restores an archived set\n"
    )
    assert training.error.count("\n") == 1
    assert list(training.result["stages"]) == ["check"]
    assert momentum.etags() == before
