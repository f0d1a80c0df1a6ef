"""The preflight's command line, with ArcticDB on an S3."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from predictor import checks
from predictor import preflight as preflight_module

from tests.support.predictor import RUN_DATE

pytestmark = pytest.mark.slow

CHECKS = {
    "software": ["python", "library_imports", "package_imports", "pins", "installed_files"],
    "machine": ["environment", "clock", "credentials", "memory", "disk"],
    "training": ["config"],
    "data": [
        *("bucket", "library", "universe", "symbols", "freshness"),
        *("prices", "last_rows", "days", "research", "macro", "folds"),
    ],
}


def test_fresh_universe_passes_without_writes(preflight: Any, universe: Any) -> None:
    before = universe.server.writes(universe.name)

    assert preflight(universe.name, whole=True) == 0, preflight.printed

    expected = {name: "pass" for names in CHECKS.values() for name in names}
    assert preflight.status() == expected
    assert universe.server.writes(universe.name) == before
    assert (preflight.report["symbols"], preflight.report["stale"], preflight.report["limit"]) == (12, [], 3)
    assert (preflight.report["newest"], preflight.report["oldest"]) == ("2022-12-28", "2022-12-28")
    assert set(preflight.report["ages"].values()) == {0}
    assert len(preflight.printed.splitlines()) == len(expected)


def test_check_has_group_time_and_remedy_unless_passed(preflight: Any, universe: Any) -> None:
    assert preflight(universe.name, "--expected-symbols", _file(preflight, "S00\nS99\n")) == 1

    found: dict[str, list[str]] = {}
    for check in preflight.report["checks"]:
        found.setdefault(check["group"], []).append(check["name"])
        assert check["tier"] == "instance"
        assert check["seconds"] >= 0
        assert bool(check["remedy"]) == (check["status"] != "pass"), check
        assert "\n" not in check["detail"] + check["remedy"]
    assert found == {
        group: [n for n in names if n not in ("package_imports", "installed_files")] for group, names in CHECKS.items()
    }
    assert list(found) == list(preflight_module.GROUPS)


def test_table_shows_failures_first_with_remedies(preflight: Any, universe: Any) -> None:
    assert preflight(universe.name, "--expected-symbols", _file(preflight, "S99\n")) == 1

    first, second = preflight.printed.splitlines()[:2]
    check = preflight.check("symbols")
    assert first.startswith("FAIL  symbols") and first.endswith(check["detail"])
    assert second == f"      do: {check['remedy']}"


def _file(preflight: Any, text: str) -> str:
    path: Path = preflight.output.with_name("symbols.txt")
    path.write_text(text)
    return str(path)


def test_stale_symbols_are_named_with_age_oldest_first(preflight: Any, universe: Any, frames: Any, walks: Any) -> None:
    late = frames(walks(30, 3), date(2022, 11, 14))
    universe.write("universe", {"S05": late["S00"], "S03": frames(walks(30, 1), date(2022, 12, 20))["S00"]})

    assert preflight(universe.name) == 1

    assert preflight.status()["freshness"] == "fail"
    assert "S05 (30, ends 2022-11-14), S03 (5, ends 2022-12-20)" in preflight.detail("freshness")
    assert preflight.report["stale"] == ["S05", "S03"]
    assert preflight.report["ages"]["S05"] == 30
    assert (preflight.report["newest"], preflight.report["oldest"]) == ("2022-12-28", "2022-11-14")
    assert preflight.error == "predictor: error: 1 of 20 checks failed: freshness\n"
    assert preflight.check("freshness")["items"] == ["S05 (30, ends 2022-11-14)", "S03 (5, ends 2022-12-20)"]


def test_age_limit_is_inclusive(preflight: Any, universe: Any, frames: Any, walks: Any) -> None:
    universe.write("universe", {"S01": frames(walks(30, 1), date(2022, 12, 22))["S00"]})
    assert preflight(universe.name) == 0
    assert preflight.report["ages"]["S01"] == 3

    universe.write("universe", {"S01": frames(walks(30, 1), date(2022, 12, 21))["S00"]})
    assert preflight(universe.name) == 1
    assert preflight.report["stale"] == ["S01"]


def test_unreadable_symbol_does_not_hide_stale_ones(preflight: Any, universe: Any, frames: Any, walks: Any) -> None:
    universe.write("universe", {"S09": frames(walks(30, 1), date(2022, 11, 14))["S00"]})
    index = next(key for key in universe.etags("arcticdb/universe") if "/tindex/" in key and "S02" in key)
    universe.client.delete_object(Bucket=universe.name, Key=index)

    assert preflight(universe.name) == 1

    assert preflight.status()["universe"] == "fail"
    assert "1 of 12 symbols of 'universe' cannot be read: S02" in preflight.detail("universe")
    assert list(preflight.report["unreadable"]) == ["S02"]
    assert preflight.report["symbols"] == 12
    assert preflight.report["stale"] == ["S09"]


def test_symbol_without_rows_is_unreadable(preflight: Any, universe: Any) -> None:
    universe.write("universe", {"S02": pd.DataFrame({"close": []}, index=pd.DatetimeIndex([]))})

    assert preflight(universe.name) == 1

    assert "S02 (it has no rows)" in preflight.detail("universe")


def test_empty_universe_fails(preflight: Any, bucket: Any, frames: Any, walks: Any) -> None:
    import arcticdb

    arcticdb.Arctic(bucket.uri).create_library("universe")
    bucket.write("macro", {"SPX": frames(walks(40, 1), date(2022, 12, 28))["S00"]})

    assert preflight(bucket.name) == 1

    status = preflight.status()
    assert (status["universe"], status["freshness"], status["macro"]) == ("fail", "fail", "pass")
    assert "holds no symbol" in preflight.detail("universe")


def test_bucket_without_arcticdb_fails_and_stays_empty(preflight: Any, bucket: Any) -> None:
    assert preflight(bucket.name) == 1

    status = preflight.status()
    names = ("bucket", "library", "universe", "symbols", "freshness", "prices", "last_rows", "days", "macro", "folds")
    assert [status[name] for name in names] == ["fail"] * 10
    assert "no library 'universe'" in preflight.detail("library")
    assert "no library 'macro'" in preflight.detail("library")
    assert bucket.etags() == {}


def test_missing_bucket_is_named(preflight: Any, bucket: Any) -> None:
    assert preflight("no-such-bucket") == 1

    assert preflight.status()["bucket"] == "fail"
    assert "no-such-bucket" in preflight.detail("bucket")


@pytest.mark.parametrize(("value", "message"), [(None, "AWS_REGION is not set"), ("", "AWS_REGION is empty")])
def test_missing_region_fails_only_its_check(
    preflight: Any, universe: Any, monkeypatch: pytest.MonkeyPatch, value: str | None, message: str
) -> None:
    # No other variable may replace it.
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    if value is None:
        monkeypatch.delenv("AWS_REGION")
    else:
        monkeypatch.setenv("AWS_REGION", value)

    assert preflight(universe.name) == 1

    assert preflight.status()["environment"] == "fail"
    assert preflight.detail("environment") == message
    assert preflight.status()["pins"] == "pass"


def test_second_region_is_a_warning(preflight: Any, universe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")

    assert preflight(universe.name) == 0

    assert preflight.status()["environment"] == "warn"


def test_pin_drift_names_package_and_versions(preflight: Any, universe: Any, tmp_path: Path) -> None:
    lock = tmp_path / "drift.lock"
    lock.write_text(preflight.lock.read_text().replace("six==1.17.0", "six==1.16.0") + "absent==1\n")
    preflight.lock = lock

    assert preflight(universe.name) == 1

    assert "six: expected 1.16.0, got 1.17.0 (newer)" in preflight.detail("pins")
    assert "absent: expected 1, missing" in preflight.detail("pins")


def test_empty_lock_file_fails(preflight: Any, universe: Any, tmp_path: Path) -> None:
    preflight.lock = tmp_path / "empty.lock"
    preflight.lock.write_text("# nothing\n")

    assert preflight(universe.name) == 1

    assert "pins nothing" in preflight.detail("pins")


def test_missing_configuration_fails_its_check(preflight: Any, universe: Any, tmp_path: Path) -> None:
    assert preflight(universe.name, config=tmp_path / "absent.yaml") == 1

    assert preflight.status()["config"] == "fail"
    assert preflight.status()["bucket"] == "pass"
    assert preflight.report["ages"] == {}


def test_configuration_decides_which_macro_series_are_historical(
    preflight: Any, universe: Any, settings: dict[str, Any], frames: Any, walks: Any
) -> None:
    universe.write("macro", {"VIX": frames(walks(30, 1), date(2019, 1, 3))["S00"]})
    settings["data"]["macro"] = {"SPX": "fresh", "VIX": "historical"}
    assert preflight(universe.name) == 0
    assert "VIX historical, ends 2019-01-03" in preflight.detail("macro")

    settings["data"]["macro"] = {"SPX": "fresh", "VIX": "fresh", "GOLD": "historical"}
    assert preflight(universe.name) == 1
    assert "VIX is 1004 trading days old" in preflight.detail("macro")
    assert "GOLD is missing" in preflight.detail("macro")


def test_run_date_before_the_last_bars_is_a_warning(preflight: Any, universe: Any) -> None:
    preflight.run_date = "2022-12-20"

    assert preflight(universe.name) == 0

    assert preflight.status()["freshness"] == "warn"


def test_broken_check_stops_no_other(
    preflight: Any, universe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = "GROUP = 'data'\nREMEDY = 'Look.'\n"
    (tmp_path / "c97_crashing.py").write_text(f"{about}def run(context):\n    raise ZeroDivisionError('in it')\n")
    (tmp_path / "c98_unimportable.py").write_text("import no_such_module_anywhere\n")
    (tmp_path / "c99_formless.py").write_text("def run(context):\n    pass\n")
    # Add the files to the package.
    monkeypatch.setattr(checks, "__path__", [*checks.__path__, str(tmp_path)])

    assert preflight(universe.name) == 1

    assert preflight.detail("crashing") == "the check crashed: ZeroDivisionError: in it"
    assert preflight.check("crashing")["group"] == "data"
    assert "no_such_module_anywhere" in preflight.detail("unimportable")
    assert "REMEDY" in preflight.detail("formless") or "GROUP" in preflight.detail("formless")
    assert preflight.status()["freshness"] == "pass"


def test_role_credentials_come_from_the_metadata_service(
    config_file: Callable[[], Path], installed_lock: Path, universe: Any, front: Any, tmp_path: Path
) -> None:
    """ArcticDB's C++ SDK and boto3 both use AWS_EC2_METADATA_SERVICE_ENDPOINT, and only read."""
    address = front(universe.server.port)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": address,
        "AWS_METADATA_SERVICE_TIMEOUT": "10",
    }
    command = shutil.which("predictor", path=str(Path(sys.executable).parent))
    assert command is not None, "the console script is not installed"
    arguments = ["--data-bucket", universe.name, "--run-date", RUN_DATE, "--config", str(config_file())]
    arguments += ["--lock", str(installed_lock), "--output", str(tmp_path / "out.json")]
    done = subprocess.run(
        [command, "preflight", *arguments], env=environment, capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    requests = [json.loads(line) for line in (tmp_path / "front.log").read_text().splitlines()]
    assert {request["method"] for request in requests} <= {"GET", "HEAD"}
    assert {request["access_key"] for request in requests} == {"ASIAFROMMETADATA"}
    assert all(request["session_token"] for request in requests)
    assert any(request["agent"].startswith("aws-sdk-cpp") for request in requests)
    assert any("Boto3" in request["agent"] for request in requests)
