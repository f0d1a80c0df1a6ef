"""The digest of the data, on a bucket that changes in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.runs.conftest import Account
from tests.support.account import DATA_BUCKET


@pytest.fixture
def bucket(account: Account) -> Any:
    """S3 as the account's owner."""
    return account.client("s3")


@pytest.fixture
def digest(account: Account, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run the module as the controller and return its result."""
    shown = account.local_aws("env").splitlines()
    pairs = (line.removeprefix("export ").split("=", 1) for line in shown if line.startswith("export "))
    environment = {name: value.strip("'\"") for name, value in pairs}

    def run(listing: str, before: str | None = None, bucket: str = DATA_BUCKET) -> dict[str, Any]:
        arguments = {
            "region": "us-east-1",
            "bucket": bucket,
            "prefixes": ["digest/", "arcticdb/"],
            "listing": str(tmp_path / listing),
            **({"before": str(tmp_path / before)} if before else {}),
        }
        controller = Account(account.folder, environment={**environment, "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1"})
        answer = controller.command(
            "ansible", "localhost", "--connection=local", "--one-line",
            "-m", "spot_train.core.s3_digest", "-a", json.dumps(arguments),
            check=False,
        )  # fmt: skip
        result: dict[str, Any] = json.loads(answer.stdout.partition("=>")[2] or "{}")
        assert result, answer.stdout + answer.stderr
        return {**result, "failed": answer.returncode != 0}

    return run


def test_an_untouched_bucket_has_the_same_digest_twice(digest: Any) -> None:
    first = digest("one")
    second = digest("two", before="one")

    assert first["digest"]["objects"] > 100
    assert first["digest"]["bytes"] > 1_000_000
    assert second["digest"]["sha256"] == first["digest"]["sha256"]
    assert (second["equal"], second["changes"], second["change_count"]) == (True, [], 0)


def test_whatever_was_written_in_between_is_named(digest: Any, bucket: Any) -> None:
    for key in ("digest/changed", "digest/gone", "digest/kept"):
        bucket.put_object(Bucket=DATA_BUCKET, Key=key, Body=b"1")
    digest("one")

    bucket.put_object(Bucket=DATA_BUCKET, Key="digest/changed", Body=b"2")
    bucket.delete_object(Bucket=DATA_BUCKET, Key="digest/gone")
    bucket.put_object(Bucket=DATA_BUCKET, Key="digest/new", Body=b"1")
    upload = bucket.create_multipart_upload(Bucket=DATA_BUCKET, Key="digest/upload")["UploadId"]
    second = digest("two", before="one")

    assert second["equal"] is False
    assert second["changes"] == [
        {"key": "digest/changed", "change": "modified"},
        {"key": "digest/gone", "change": "removed"},
        {"key": "digest/new", "change": "added"},
        {"key": f"digest/upload (multipart upload) {upload}", "change": "added"},
    ]
    assert second["change_count"] == 4
    bucket.abort_multipart_upload(Bucket=DATA_BUCKET, Key="digest/upload", UploadId=upload)


def test_a_bucket_that_cannot_be_listed_is_an_error(digest: Any) -> None:
    result = digest("one", bucket="not-there")

    assert result["failed"] is True
    assert "Cannot list bucket not-there" in result["msg"]


def test_a_listing_that_is_damaged_is_an_error(digest: Any, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"no gzip")

    result = digest("two", before="one")

    assert result["failed"] is True
    assert "Cannot store or compare" in result["msg"]
