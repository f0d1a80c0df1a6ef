"""The preflight's checks of the machine: memory, disk, clock and credentials."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from predictor import aws, resources, s3_keys
from predictor.errors import PredictorError

pytestmark = pytest.mark.slow


def _last_training(bucket: Any, **used: float) -> None:
    bucket.client.put_object(
        Bucket=bucket.name, Key=s3_keys.summary("latest"), Body=json.dumps({"resources": used}).encode()
    )


def test_minima_apply_without_an_earlier_training(preflight: Any, universe: Any) -> None:
    assert preflight(universe.name) == 0

    assert "1,024 MiB needed (the configured minimum; no earlier training" in preflight.detail("memory")
    assert "1,024 MiB needed" in preflight.detail("disk")


def test_less_than_the_last_trainings_usage_fails(preflight: Any, universe: Any) -> None:
    _last_training(universe, peak_memory_mb=8_000_000, disk_mb=9_000_000_000)

    assert preflight(universe.name) == 1

    assert preflight.bad() == ["memory", "disk"]
    assert "10,000,000 MiB needed (1.25 times the 8,000,000 of the last training)" in preflight.detail("memory")
    assert "larger instance type" in preflight.check("memory")["remedy"]
    assert "11,250,000,000 MiB needed" in preflight.detail("disk")
    assert "spot_instance_volume_gb" in preflight.check("disk")["remedy"]


def test_invalid_summary_fails_the_checks_that_need_it(preflight: Any, universe: Any) -> None:
    universe.client.put_object(Bucket=universe.name, Key=s3_keys.summary("latest"), Body=b"{half")

    assert preflight(universe.name) == 1

    assert preflight.bad() == ["memory", "disk"]
    assert "is not JSON" in preflight.detail("memory")


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A full disk of 64 KiB."""
    folder = tmp_path / "full"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, check=False).returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        with pytest.raises(OSError, match="No space left"), (folder / "filling").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_fails_and_the_table_is_still_printed(preflight: Any, universe: Any, full_disk: Path) -> None:
    assert preflight(universe.name, "--work-dir", str(full_disk)) == 1
    assert preflight.bad() == ["disk"]
    assert f"0 MiB free under {full_disk}" in preflight.detail("disk")

    preflight.output = full_disk / "preflight.json"
    with pytest.raises(FileNotFoundError):  # the report does not fit
        preflight(universe.name, "--work-dir", str(full_disk))
    assert "FAIL  disk" in preflight.printed
    assert "No space left on device" in preflight.error


def test_free_space_of_a_missing_folder_is_an_error() -> None:
    with pytest.raises(PredictorError, match="cannot read the free space of /no/such/folder"):
        resources.free_disk_mb(Path("/no/such/folder"))


def test_credentials_without_expiry_pass(preflight: Any, universe: Any) -> None:
    assert preflight(universe.name, "--training-seconds", "5400") == 0

    assert preflight.detail("credentials") == "from env, without expiry"


@pytest.mark.parametrize(("minutes", "code"), [(30, 1), (200, 0)])
def test_credentials_must_outlast_the_time_limit(
    preflight: Any, universe: Any, front: Any, monkeypatch: pytest.MonkeyPatch, minutes: int, code: int
) -> None:
    address = front(universe.server.port, "--credentials-seconds", str(60 * minutes))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", address)

    assert preflight(universe.name, "--training-seconds", "5400") == code

    assert preflight.bad() == (["credentials"] if code else [])
    limit = "but the training may take 90 min" if code else "the training may take 90 min"
    assert preflight.detail("credentials") in (f"from iam-role, {minutes} min left, {limit}",
                                               f"from iam-role, {minutes - 1} min left, {limit}")  # fmt: skip


def test_missing_credentials_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(PredictorError, match="no AWS credentials"):
        aws.credentials()


@pytest.mark.parametrize(("ahead", "status"), [(0, "pass"), (-30, "warn"), (3600, "fail"), (-3600, "fail")])
def test_clock_skew_is_reported(
    preflight: Any, universe: Any, front: Any, monkeypatch: pytest.MonkeyPatch, ahead: int, status: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", front(universe.server.port, "--clock", str(-ahead)))

    preflight(universe.name)

    assert preflight.status()["clock"] == status
    if status != "pass":
        assert ("ahead of" if ahead > 0 else "behind") in preflight.detail("clock")
        assert "chronyd" in preflight.check("clock")["remedy"]


def test_denied_listing_is_reported(preflight: Any, universe: Any, front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", front(universe.server.port, "--deny-list"))

    assert preflight(universe.name) == 1

    assert "cannot list bucket" in preflight.detail("bucket")
    assert "AccessDenied" in preflight.detail("bucket")
