"""The files of a run: reading, atomic writes, and the link to the newest run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.report.receipt import build_receipt
from ansible_collections.spot_train.core.plugins.module_utils.runs.files import point_latest, write_atomically
from ansible_collections.spot_train.core.plugins.modules.run_report import NOT_DONE, NOT_RECORDED, argument_spec, gather

HALF = {"objects": 1, "bytes": 1, "seconds": 1.0}
CHANGED = {
    "before": {**HALF, "sha256": "3f" * 32},
    "after": {**HALF, "sha256": "4f" * 32},
    "equal": False,
    "prefixes": ["predictor/"],
    "changed": ["predictor/new"],
    "changed_count": 1,
}


def without_events(folder: Path, no_leaks: dict[str, int], **more: Any) -> dict[str, Any]:
    """Build the receipt of a preflight without events.jsonl."""
    parameters = dict.fromkeys(argument_spec())
    known = {"run": {"run_id": "r1", "mode": "preflight"}, "leaks": no_leaks, "writes": {"data_bucket": 0}, **more}
    receipt: dict[str, Any] = build_receipt(gather({**parameters, **known, "run_dir": str(folder)}, check_mode=False))
    return receipt


@pytest.fixture
def unrecorded(tmp_path: Path) -> Path:
    """The folder of a run that run_open opened but that recorded no events."""
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    return tmp_path


def test_unrecorded_run_has_the_playbooks_outcome(unrecorded: Path, no_leaks: dict[str, int]) -> None:
    receipt = without_events(unrecorded, no_leaks, outcome="passed")
    assert (receipt["outcome"], receipt["error"], receipt["steps"]) == ("passed", None, [])
    assert NOT_RECORDED in receipt["notes"]


def test_unrecorded_run_without_an_outcome_failed(unrecorded: Path, no_leaks: dict[str, int]) -> None:
    receipt = without_events(unrecorded, no_leaks)
    assert (receipt["outcome"], receipt["error"]) == ("failed", NOT_DONE)
    assert NOT_RECORDED in receipt["notes"]


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"error": "terminating failed"}, "terminating failed"),
        ({"leaks": {"instances": 1}}, "left resources behind: 1 instances"),
        ({"writes": {"data_bucket": 2}}, "2"),
        ({"writes": {"digest": CHANGED}}, "1 object changed"),
    ],
)
def test_unrecorded_run_does_not_pass_against_evidence(
    unrecorded: Path, no_leaks: dict[str, int], known: dict[str, Any], words: str
) -> None:
    receipt = without_events(unrecorded, **{"no_leaks": no_leaks, "outcome": "passed", **known})
    assert receipt["outcome"] == "failed"
    assert words in receipt["error"]


def test_run_without_run_json_needs_no_events(tmp_path: Path, no_leaks: dict[str, int]) -> None:
    receipt = without_events(tmp_path, no_leaks)
    assert (receipt["outcome"], receipt["error"]) == ("passed", None)
    assert "events.jsonl is missing, so the steps of this run are unknown" in receipt["notes"]


def test_file_is_replaced_only_if_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    assert write_atomically(path, "one") is True
    inode = path.stat().st_ino
    assert write_atomically(path, "one") is False
    assert path.stat().st_ino == inode
    assert write_atomically(path, "two") is True
    assert path.read_text(encoding="utf-8") == "two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["receipt.json"]


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "receipt.json"
    write_atomically(path, "one")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "two")
    assert path.read_text(encoding="utf-8") == "one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["receipt.json"]


def run_folder(runs: Path, run_id: str, started_at: str) -> Path:
    (runs / run_id).mkdir()
    (runs / run_id / "receipt.json").write_text(json.dumps({"started_at": started_at}), encoding="utf-8")
    return runs / run_id


def test_latest_points_at_the_run_that_started_last(tmp_path: Path) -> None:
    old, new = run_folder(tmp_path, "old", "2026-05-01T00:00:00Z"), run_folder(tmp_path, "new", "2026-05-02T00:00:00Z")
    assert point_latest(old, "2026-05-01T00:00:00Z") == (True, None)
    assert point_latest(new, "2026-05-02T00:00:00Z") == (True, None)
    assert point_latest(old, "2026-05-01T00:00:00Z") == (False, None)
    assert os.readlink(tmp_path / "latest") == "new"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["latest", "new", "old"]


def test_dangling_latest_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("deleted")
    new = run_folder(tmp_path, "new", "2026-05-02T00:00:00Z")
    assert point_latest(new, "2026-05-02T00:00:00Z") == (True, None)
    assert os.readlink(tmp_path / "latest") == "new"


def test_folder_named_latest_is_kept(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    changed, note = point_latest(run_folder(tmp_path, "new", "2026-05-02T00:00:00Z"), None)
    assert changed is False and note is not None
    assert (tmp_path / "latest").is_dir() and not (tmp_path / "latest").is_symlink()
