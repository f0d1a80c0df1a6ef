"""Changes of the data since the preflight and since the last training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.predictor import RUN_DATE

pytestmark = pytest.mark.slow


@pytest.fixture
def checked(momentum: Any, preflight: Any) -> Path:
    """The report of a preflight of the data to train on."""
    momentum.write("macro", {"SPX": momentum.read("universe", "S00")})
    preflight(momentum.name)
    path: Path = preflight.output
    return path


def _revise(bucket: Any, symbol: str) -> None:
    frame = bucket.read("universe", symbol)
    frame.iloc[100, 0] *= 1.0001
    bucket.write("universe", {symbol: frame})


def test_preflight_reports_the_version_of_each_symbol(universe: Any, preflight: Any) -> None:
    preflight(universe.name)
    assert preflight.report["versions"] == {f"S{n:02}": 0 for n in range(12)}

    universe.write("universe", {"S03": universe.read("universe", "S03")})

    preflight(universe.name)
    assert preflight.report["versions"] == {f"S{n:02}": int(n == 3) for n in range(12)}


def test_unchanged_data_has_no_changes(training: Any, momentum: Any, checked: Path) -> None:
    assert training(momentum.name, "--dry-run", "--preflight", str(checked)) == 0

    assert training.result["data_changes"] == {"since_preflight": {"changed": []}, "since_last_run": None}
    assert training.result["notes"] == []


def test_changes_since_the_preflight_are_noted(training: Any, momentum: Any, checked: Path) -> None:
    _revise(momentum, "S03")
    momentum.write("universe", {"NEW": momentum.read("universe", "S00")})

    assert training(momentum.name, "--dry-run", "--preflight", str(checked)) == 0

    assert training.result["data_changes"]["since_preflight"] == {
        "changed": [
            {"symbol": "NEW", "library": "universe", "preflight": None, "training": 0},
            {"symbol": "S03", "library": "universe", "preflight": 0, "training": 1},
        ]
    }
    assert training.result["notes"] == [
        "2 symbols changed between preflight and training: NEW (absent to 0), S03 (0 to 1)"
    ]


def test_changes_since_the_preflight_can_fail_the_training(
    training: Any, momentum: Any, checked: Path, settings: dict[str, Any]
) -> None:
    settings["data"]["changed_since_preflight"] = "fail"
    assert training(momentum.name, "--dry-run", "--preflight", str(checked)) == 0
    _revise(momentum, "S03")

    assert training(momentum.name, "--preflight", str(checked)) == 1

    assert training.error == (
        "predictor: error: 1 symbols changed between preflight and training: S03 (0 to 1); "
        "nothing was trained, since data.changed_since_preflight is fail\n"
    )
    assert list(training.result["stages"]) == ["check", "read"]
    assert len(training.result["data_changes"]["since_preflight"]["changed"]) == 1
    assert momentum.result_keys() == set()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), ("{half", "Expecting property name"), ("{}", "it has no versions"), ("[]", "list")],
)
def test_unusable_preflight_report_is_a_note_or_a_failure(
    content: str | None, message: str, training: Any, momentum: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "other.json"
    if content is not None:
        path.write_text(content)

    assert training(momentum.name, "--dry-run", "--preflight", str(path)) == 0
    (note,) = training.result["notes"]
    assert note.startswith(f"cannot read the data's versions from the preflight's report {path}: ")
    assert message in note
    assert training.result["data_changes"]["since_preflight"] is None

    settings["data"]["changed_since_preflight"] = "fail"
    assert training(momentum.name, "--dry-run", "--preflight", str(path)) == 1
    assert note in training.error


def test_data_is_compared_with_the_last_trainings(training: Any, momentum: Any) -> None:
    assert training(momentum.name, run_date="2022-12-22", run_id="last-week") == 0
    assert training.result["data_changes"]["since_last_run"] is None
    # A run for a later day is not an earlier run.
    assert training(momentum.name, run_date="2023-01-05", run_id="ahead") == 0
    _revise(momentum, "S03")
    momentum.write("universe", {"NEW": momentum.read("universe", "S00")})
    import arcticdb

    arcticdb.Arctic(momentum.uri)["universe"].delete("S07")

    assert training(momentum.name, run_id="now") == 0

    changes: Any = training.result["data_changes"]["since_last_run"]
    assert changes == {
        "run_date": "2022-12-22",
        "run_id": "last-week",
        "added": ["NEW"],
        "removed": ["S07"],
        "revised": [
            {
                "symbol": "S03",
                "from": 0,
                "to": 1,
                "bars_from": 616,
                "bars_to": 620,
                "last_from": "2022-12-21",
                "last_to": "2022-12-28",
            }
        ],
    }
    summary = json.loads(momentum.body(f"predictor/metrics/training_summary_{RUN_DATE}.json"))
    assert summary["data_changes"] == training.result["data_changes"]

    # Another attempt of the same run ignores itself; another run of the same day does not.
    assert training(momentum.name, run_id="now") == 0
    assert training.result["data_changes"]["since_last_run"] == changes
    assert training(momentum.name, run_id="again") == 0
    changes = training.result["data_changes"]["since_last_run"]
    assert (changes["run_id"], changes["revised"]) == ("now", [])


def test_invalid_data_manifest_is_a_note(training: Any, momentum: Any) -> None:
    momentum.client.put_object(Bucket=momentum.name, Key="data_manifest/predictor_training/2022-12-22.json", Body=b"{}")

    assert training(momentum.name, "--dry-run") == 0

    assert training.result["notes"] == [
        "the data was not compared with the last training's: "
        f"s3://{momentum.name}/data_manifest/predictor_training/2022-12-22.json is not a data manifest"
    ]
