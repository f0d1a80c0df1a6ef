"""`predictor verify` and `predictor restore`."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from predictor import s3_keys, weight_sets
from predictor.cli import main
from predictor.manifest import LostRace, read_live
from predictor.training.artefacts import ModelSet
from predictor.training.writer import Records, Writer

from tests.support.predictor import live_run, models, promote

pytestmark = pytest.mark.slow

OLD, NEW = "2022-12-22", "2022-12-29"


@dataclass
class Command:
    """Runs `verify` and `restore`, and keeps their output and result."""

    bucket: Any
    output: Path
    capture: pytest.CaptureFixture[str]
    printed: str = ""
    error: str = ""
    result: Any = None

    def verify(self, *options: str) -> int:
        return self._run("verify", *options)

    def restore(self, day: str, run_id: str = "rollback-1") -> int:
        return self._run("restore", "--to", day, "--run-id", run_id)

    def _run(self, name: str, *options: str) -> int:
        code = main([name, "--data-bucket", self.bucket.name, "--output", str(self.output), *options])
        self.printed, self.error = self.capture.readouterr()
        self.result = json.loads(self.output.read_text())
        return code


@pytest.fixture
def command(bucket: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(bucket, tmp_path / "result.json", capsys)


@pytest.fixture
def both(bucket: Any) -> Any:
    """A bucket in which `old` was promoted, and a week later `new`."""
    promote(bucket.client, bucket.name, models("old", OLD))
    promote(bucket.client, bucket.name, models("new", NEW))
    return bucket


def _refused(bucket: Any, made: ModelSet) -> None:
    """Write what a training writes whose gates fail."""
    gates = [{"name": "median_ic", "passed": False, "blocking": True}]
    made.record["gates"] = gates
    writer = Writer(bucket.client, bucket.name, [])
    writer.records(made, Records(made.run_date, "stamp", {}, {}, {}, {}), promoted=False)


def _put(bucket: Any, key: str, body: bytes) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=body)


def test_live_and_archived_sets_verify(both: Any, command: Command) -> None:
    assert command.verify() == 0
    assert command.printed == f"the live set is intact: run new of {NEW}, 6 files\n"
    assert command.result == {
        "set": "live",
        "ok": True,
        "findings": [],
        "version": f"{NEW}-new",
        "run_id": "new",
        "run_date": NEW,
    }

    assert command.verify("--date", OLD) == 0
    assert command.printed == f"the set archived for {OLD} is intact: run old of {OLD}, 6 files\n"


def test_findings_are_printed_one_per_line(both: Any, command: Command) -> None:
    prefix = f"{s3_keys.WEIGHTS}/versions/{NEW}-new"
    both.client.delete_object(Bucket=both.name, Key=f"{prefix}/{s3_keys.META}")
    both.client.delete_object(Bucket=both.name, Key=f"{prefix}/{s3_keys.RESEARCH}.meta.json")
    _put(both, f"{prefix}/{s3_keys.ISOTONIC}", both.body(f"{prefix}/{s3_keys.ISOTONIC}")[::-1])
    _put(both, f"{prefix}/{s3_keys.FEATURES}", b"{}")
    _put(both, f"{prefix}/{s3_keys.VOLATILITY}.meta.json", b"{half")
    _put(both, f"{prefix}/{s3_keys.OUT_OF_SAMPLE}.meta.json", b'{"sha256": "0", "bytes": 1, "version": "v"}')

    assert command.verify() == 1

    lines = command.printed.splitlines()
    assert lines == command.result["findings"]
    rows = hashlib.sha256(b"rows of new").hexdigest()
    assert [line.removeprefix(f"{prefix}/") for line in lines] == [
        "volatility_model.txt.meta.json is not JSON",
        "research_calibrator.json.meta.json is missing",
        "meta_model.pkl is missing",
        "isotonic_calibrator.pkl differs from its manifest's SHA-256",
        "feature_list.json: expected 24 bytes, got 2",
        f"oos_rows.parquet.meta.json: sha256: expected '{rows}', got '0'",
        "oos_rows.parquet.meta.json: bytes: expected 11, got 1",
        f"oos_rows.parquet.meta.json: version: expected '{NEW}-new', got 'v'",
    ]
    assert command.error == "predictor: error: the live set is damaged: 8 findings\n"


def test_bucket_without_a_promoted_set_verifies(bucket: Any, command: Command) -> None:
    assert command.verify() == 0
    assert (command.printed, command.result["version"]) == ("no set has been promoted yet\n", None)

    Writer(bucket.client, bucket.name, []).nothing_live(models("first"))
    assert command.verify() == 0


def test_invalid_live_manifest_is_a_finding(both: Any, command: Command) -> None:
    _put(both, s3_keys.LIVE_MANIFEST, b"[]")

    assert command.verify() == 1
    assert "is not a manifest: expected a JSON object, got list" in command.printed


def test_restore_of_an_intact_version_writes_only_the_manifest(both: Any, command: Command) -> None:
    before = both.etags()

    assert command.restore(OLD) == 0

    assert live_run(both) == "old"
    assert command.printed == (f"run old of {OLD} is live again (version {OLD}-old) in place of run new of {NEW}\n")
    after = both.etags()
    assert {key for key in after if after[key] != before.get(key)} == {s3_keys.LIVE_MANIFEST}
    result = command.result
    assert (result["changed"], result["written"]) == (True, [s3_keys.LIVE_MANIFEST])
    assert (result["version"], result["replaced"]) == (f"{OLD}-old", {"version": f"{NEW}-new", "run_id": "new"})
    assert result["manifest_etag"] == after[s3_keys.LIVE_MANIFEST]
    live = both.live()
    assert (live["restored"]["by"], live["restored"]["archive"], live["run_id"]) == ("rollback-1", OLD, "old")

    assert command.restore(OLD, "rollback-2") == 0
    assert command.printed == f"the set of run old of {OLD} is already live; nothing was changed\n"
    assert (command.result["changed"], both.etags()) == (False, after)

    assert command.restore(NEW, "rollback-3") == 0
    assert live_run(both) == "new"


def test_restored_set_becomes_incumbent(both: Any, command: Command) -> None:
    before = read_live(both.client, both.name)
    assert command.restore(OLD) == 0

    with pytest.raises(LostRace, match=f"run rollback-1 put its set live meanwhile .version {OLD}-old."):
        promote(both.client, both.name, models("slow", NEW), before)
    promoted = promote(both.client, both.name, models("later", "2023-01-05"))
    assert promoted.replaced == {"version": f"{OLD}-old", "run_id": "old"}


def test_damaged_version_is_replaced_from_the_archive(both: Any, command: Command) -> None:
    damaged = f"{s3_keys.WEIGHTS}/versions/{OLD}-old/{s3_keys.META}"
    _put(both, damaged, b"x")

    assert command.restore(OLD) == 0

    assert live_run(both) == "old"
    assert command.result["version"] == f"{OLD}-rollback-1"
    assert len(command.result["written"]) == 13
    assert command.result["written"][-1] == s3_keys.LIVE_MANIFEST
    assert both.body(damaged) == b"x", "versions are never overwritten"
    assert command.verify() == 0


def test_damaged_live_set_is_restored_from_its_archive(both: Any, command: Command) -> None:
    _put(both, f"{s3_keys.WEIGHTS}/versions/{NEW}-new/{s3_keys.META}", b"x")

    assert command.restore(NEW) == 0

    assert (command.result["changed"], command.result["version"]) == (True, f"{NEW}-rollback-1")
    assert live_run(both) == "new"


@pytest.mark.parametrize("body", [b"{half", b"[]", b"{}"])
def test_invalid_live_manifest_is_replaced(body: bytes, both: Any, command: Command) -> None:
    _put(both, s3_keys.LIVE_MANIFEST, body)

    assert command.restore(OLD) == 0

    assert live_run(both) == "old"
    assert " in place of an invalid manifest (" in command.printed


def test_set_that_failed_its_gates_is_refused(both: Any, command: Command) -> None:
    _refused(both, models("bad", "2023-01-05"))
    before = both.etags()

    assert command.restore("2023-01-05") == 1

    assert command.error == (
        "predictor: error: the set archived for 2023-01-05 did not pass its gates (median_ic); nothing was changed\n"
    )
    assert (command.result["changed"], both.etags()) == (False, before)
    assert command.result["error"] in command.error


def test_day_without_an_archive_is_refused(both: Any, command: Command) -> None:
    before = both.etags()
    # An archive without a manifest is incomplete.
    _put(both, s3_keys.archive("2023-01-05", s3_keys.META), b"half")

    for day in ("2022-12-23", "2023-01-05"):
        assert command.restore(day) == 1
        assert command.error == (
            f"predictor: error: nothing is archived for {day}; archived days: {OLD}, {NEW}; nothing was changed\n"
        )
    assert command.verify("--date", "2022-12-23") == 1
    assert command.printed == f"nothing is archived for 2022-12-23; archived days: {OLD}, {NEW}\n"
    assert both.etags(s3_keys.LIVE_MANIFEST)[s3_keys.LIVE_MANIFEST] == before[s3_keys.LIVE_MANIFEST]


def test_damaged_archive_is_refused(both: Any, command: Command) -> None:
    _put(both, f"{s3_keys.WEIGHTS}/versions/{OLD}-old/{s3_keys.META}", b"x")
    _put(both, s3_keys.archive(OLD, s3_keys.META), b"x")
    both.client.delete_object(Bucket=both.name, Key=s3_keys.archive(OLD, s3_keys.FEATURES))
    before = both.etags()

    assert command.restore(OLD) == 1

    assert f"the set archived for {OLD} is damaged: " in command.error
    assert "archive/2022-12-22/meta_model.pkl differs from its manifest's SHA-256" in command.error
    assert "archive/2022-12-22/feature_list.json is missing" in command.error
    assert both.etags() == before


def test_restore_that_loses_a_race_changes_nothing(
    both: Any, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = weight_sets.archived

    def archived(*arguments: Any) -> Any:
        promote(both.client, both.name, models("quick", "2023-01-05"))
        return original(*arguments)

    monkeypatch.setattr(weight_sets, "archived", archived)

    assert command.restore(OLD) == 1

    assert "run quick put its set live meanwhile (version 2023-01-05-quick); nothing was restored" in command.error
    assert live_run(both) == "quick"


def test_verify_and_restore_need_only_boto3() -> None:
    absent = ("numpy", "pandas", "pyarrow", "lightgbm", "scipy", "sklearn", "yaml", "arcticdb", "exchange_calendars")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent!r}))\n"
        "import predictor.cli, predictor.restore, predictor.weight_sets, predictor.manifest, predictor.aws\n"
        "print('imported')"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("imported\n", "")
