"""`predictor verify` and `predictor restore`: an archived set goes live again, or nothing is changed, with a reason."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from predictor import s3_keys
from predictor.cli import main
from predictor.training.artefacts import ModelSet
from predictor.training.writer import Records, Writer

from tests.integration.predictor.test_promotion import models, promote, read

OLD, NEW = "2022-12-22", "2022-12-29"


@dataclass
class Command:
    """Runs `verify` and `restore`; remembers what they printed and wrote."""

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
    """A bucket in which `old` was put live, and a week later `new`."""
    promote(bucket.client, bucket.name, models("old", OLD))
    promote(bucket.client, bucket.name, models("new", NEW))
    return bucket


def _refused(bucket: Any, made: ModelSet) -> None:
    """What a training writes whose gates failed."""
    gates = [{"name": "median_ic", "passed": False, "blocking": True}]
    made.record["gates"] = gates
    writer = Writer(bucket.client, bucket.name, [])
    writer.records(made, Records(made.run_date, "stamp", {}, {}, {}, {}), promoted=False)


def _put(bucket: Any, key: str, body: bytes) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=body)


def test_the_live_set_and_an_archived_one_verify(both: Any, command: Command) -> None:
    assert command.verify() == 0
    assert command.printed == f"the live set is whole: run new of {NEW}, 6 files\n"
    assert command.result == {
        "set": "live",
        "ok": True,
        "findings": [],
        "version": f"{NEW}-new",
        "run_id": "new",
        "run_date": NEW,
    }

    assert command.verify("--date", OLD) == 0
    assert command.printed == f"the set archived for {OLD} is whole: run old of {OLD}, 6 files\n"


def test_every_finding_is_a_line(both: Any, command: Command) -> None:
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
    said = [line.removeprefix(f"{prefix}/").partition(" has SHA-256")[0] for line in lines]
    assert said == [
        "volatility_model.txt.meta.json is no JSON",
        "research_calibrator.json.meta.json is missing",
        "meta_model.pkl is missing",
        "isotonic_calibrator.pkl",
        "feature_list.json has 2 bytes, its manifest says 24",
        "oos_rows.parquet.meta.json says sha256 '0'",
        "oos_rows.parquet.meta.json says bytes 1",
        "oos_rows.parquet.meta.json says version 'v'",
    ]
    assert command.error == "predictor: error: the live set is not whole: 8 findings\n"


def test_a_bucket_in_which_nothing_was_put_live_is_in_order(bucket: Any, command: Command) -> None:
    assert command.verify() == 0
    assert (command.printed, command.result["version"]) == ("no set was ever put live\n", None)

    Writer(bucket.client, bucket.name, []).nothing_live(models("first"))
    assert command.verify() == 0


def test_a_live_manifest_that_is_none_is_a_finding(both: Any, command: Command) -> None:
    _put(both, s3_keys.LIVE_MANIFEST, b"[]")

    assert command.verify() == 1
    assert "is no manifest: it holds a list where an object belongs" in command.printed


def test_restoring_puts_the_version_of_that_day_live_and_writes_the_manifest_alone(both: Any, command: Command) -> None:
    before = both.etags()

    assert command.restore(OLD) == 0

    assert read(both) == "old"
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
    assert command.printed == f"the set of run old of {OLD} is live already: nothing was changed\n"
    assert (command.result["changed"], both.etags()) == (False, after)

    assert command.restore(NEW, "rollback-3") == 0
    assert read(both) == "new"


def test_a_training_after_a_restoration_has_the_restored_set_as_its_incumbent_and_names_the_one_who_overtook_it(
    both: Any, command: Command
) -> None:
    from predictor.manifest import LostRace, read_live

    before = read_live(both.client, both.name)
    assert command.restore(OLD) == 0

    with pytest.raises(LostRace, match=f"run rollback-1 put its set live meanwhile .version {OLD}-old."):
        promote(both.client, both.name, models("slow", NEW), before)
    promoted = promote(both.client, both.name, models("later", "2023-01-05"))
    assert promoted.replaced == {"version": f"{OLD}-old", "run_id": "old"}


def test_where_the_version_is_damaged_the_archive_is_copied_into_a_new_one(both: Any, command: Command) -> None:
    damaged = f"{s3_keys.WEIGHTS}/versions/{OLD}-old/{s3_keys.META}"
    _put(both, damaged, b"x")

    assert command.restore(OLD) == 0

    assert read(both) == "old"
    assert command.result["version"] == f"{OLD}-rollback-1"
    assert len(command.result["written"]) == 13
    assert command.result["written"][-1] == s3_keys.LIVE_MANIFEST
    assert both.body(damaged) == b"x", "no version is ever overwritten"
    assert command.verify() == 0


def test_a_live_set_that_is_damaged_is_restored_from_its_own_archive(both: Any, command: Command) -> None:
    _put(both, f"{s3_keys.WEIGHTS}/versions/{NEW}-new/{s3_keys.META}", b"x")

    assert command.restore(NEW) == 0

    assert (command.result["changed"], command.result["version"]) == (True, f"{NEW}-rollback-1")
    assert read(both) == "new"


@pytest.mark.parametrize("body", [b"{half", b"[]", b"{}"])
def test_a_live_manifest_that_is_none_is_replaced(body: bytes, both: Any, command: Command) -> None:
    _put(both, s3_keys.LIVE_MANIFEST, body)

    assert command.restore(OLD) == 0

    assert read(both) == "old"
    assert " in place of a manifest that was none (" in command.printed


def test_a_set_that_never_passed_its_gates_is_refused(both: Any, command: Command) -> None:
    _refused(both, models("bad", "2023-01-05"))
    before = both.etags()

    assert command.restore("2023-01-05") == 1

    assert command.error == (
        "predictor: error: the set archived for 2023-01-05 never passed its gates (median_ic); nothing was changed\n"
    )
    assert (command.result["changed"], both.etags()) == (False, before)
    assert command.result["error"] in command.error


def test_a_day_without_an_archive_is_refused_and_the_days_that_there_are_are_named(both: Any, command: Command) -> None:
    before = both.etags()
    # Cut off before its manifest: no archive yet.
    _put(both, s3_keys.archive("2023-01-05", s3_keys.META), b"half")

    for day in ("2022-12-23", "2023-01-05"):
        assert command.restore(day) == 1
        assert command.error == (
            f"predictor: error: nothing is archived for {day}; there is: {OLD}, {NEW}; nothing was changed\n"
        )
    assert command.verify("--date", "2022-12-23") == 1
    assert command.printed == f"nothing is archived for 2022-12-23; there is: {OLD}, {NEW}\n"
    assert both.etags(s3_keys.LIVE_MANIFEST)[s3_keys.LIVE_MANIFEST] == before[s3_keys.LIVE_MANIFEST]


def test_a_set_that_is_damaged_in_both_places_is_refused(both: Any, command: Command) -> None:
    _put(both, f"{s3_keys.WEIGHTS}/versions/{OLD}-old/{s3_keys.META}", b"x")
    _put(both, s3_keys.archive(OLD, s3_keys.META), b"x")
    both.client.delete_object(Bucket=both.name, Key=s3_keys.archive(OLD, s3_keys.FEATURES))
    before = both.etags()

    assert command.restore(OLD) == 1

    assert f"the set archived for {OLD} is damaged: " in command.error
    assert "archive/2022-12-22/meta_model.pkl has another SHA-256 than its manifest says" in command.error
    assert "archive/2022-12-22/feature_list.json is missing" in command.error
    assert both.etags() == before


def test_overtaken_by_a_training_nothing_is_restored(
    both: Any, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from predictor import weight_sets

    honest = weight_sets.archived

    def archived(*arguments: Any) -> Any:
        promote(both.client, both.name, models("quick", "2023-01-05"))
        return honest(*arguments)

    monkeypatch.setattr(weight_sets, "archived", archived)

    assert command.restore(OLD) == 1

    assert "run quick put its set live meanwhile (version 2023-01-05-quick): nothing was restored" in command.error
    assert read(both) == "quick"


def test_both_commands_need_no_more_than_boto3() -> None:
    absent = ("numpy", "pandas", "pyarrow", "lightgbm", "scipy", "sklearn", "yaml", "arcticdb", "exchange_calendars")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent!r}))\n"
        "import predictor.cli, predictor.restore, predictor.weight_sets, predictor.manifest, predictor.aws\n"
        "print('imported')"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("imported\n", "")
