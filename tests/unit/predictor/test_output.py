from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from predictor.output import to_json, write_json
from predictor.training.folds import Fold
from predictor.training.progress import Progress
from predictor.training.walk_forward import FoldDone


def test_failed_write_leaves_only_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out" / "result.json"
    write_json(path, {"a": 1})

    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})

    assert json.loads(path.read_text()) == {"a": 1}
    assert list(path.parent.iterdir()) == [path]


def test_written_file_is_world_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", {})

    assert (tmp_path / "result.json").stat().st_mode & 0o777 == 0o644


def test_json_encoding_is_stable() -> None:
    assert to_json({"b": 1, "a": ["é"]}) == '{\n  "b": 1,\n  "a": [\n    "é"\n  ]\n}\n'.encode()


def test_progress_can_be_read_while_the_training_runs(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    with Progress(path) as progress:
        with progress.stage("read"):
            pass
        progress.fold(FoldDone(Fold(2, 0, 1, 1, 2), 0.0312345678, resumed=False, saved=True), 10, 12.34)
        lines = [json.loads(line) for line in path.read_text().splitlines()]

    assert [line["stage"] for line in lines] == ["read", "walk_forward"]
    expected = dict(stage="walk_forward", fold=2, folds=10, ic=0.031235, resumed=False, saved=1, remaining=12.3)
    assert list(lines[1]) == [
        *("time", "stage", "fold", "folds", "ic", "resumed", "saved", "elapsed", "remaining", "rss_mb", "beat")
    ]
    assert {name: lines[1][name] for name in expected} == expected
    assert lines[1]["rss_mb"] > 1


def test_beats_repeat_the_line_of_a_long_fold(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    with Progress(path, beat_seconds=0.02) as progress:
        with progress.stage("read"):
            pass
        progress.fold(FoldDone(Fold(2, 0, 1, 1, 2), 0.03, resumed=False, saved=True), 10, 123.4)
        limit = time.monotonic() + 30
        while path.read_text().count("walk_forward") < 10:
            assert time.monotonic() < limit, path.read_text()
            time.sleep(0.02)

    fold, *beats = [json.loads(line) for line in path.read_text().splitlines() if "walk_forward" in line]
    assert fold["beat"] is False and all(beat["beat"] for beat in beats)
    passing = ("time", "elapsed", "remaining", "rss_mb", "beat")
    kept = {name: value for name, value in fold.items() if name not in passing}
    assert all({name: beat[name] for name in kept} == kept for beat in beats)
    elapsed = [line["elapsed"] for line in (fold, *beats)]
    assert elapsed == sorted(elapsed) and elapsed[-1] > elapsed[0]
    remaining = [line["remaining"] for line in (fold, *beats)]
    assert remaining == sorted(remaining, reverse=True) and 90 < remaining[-1] < 123.4


def test_beats_do_not_corrupt_lines_and_stop_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    before = threading.active_count()
    with Progress(path, beat_seconds=0.0001) as progress:
        for number in range(300):
            progress.fold(FoldDone(Fold(number, 0, 1, 1, 2), 0.03, resumed=False, saved=True), 300, 1.0)

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["fold"] for line in lines if not line["beat"]] == list(range(300))
    assert any(line["beat"] for line in lines)
    assert threading.active_count() == before


def test_beats_stop_after_a_failure(tmp_path: Path) -> None:
    before = threading.active_count()
    with (
        pytest.raises(RuntimeError, match="boom"),
        Progress(tmp_path / "p", beat_seconds=0.001) as progress,
        progress.stage("read"),
    ):
        raise RuntimeError("boom")
    assert threading.active_count() == before


def test_failed_stage_is_timed(tmp_path: Path) -> None:
    with Progress(tmp_path / "p") as progress:
        with pytest.raises(RuntimeError, match="boom"), progress.stage("read"):
            raise RuntimeError("boom")

        assert list(progress.stages) == ["read"]
