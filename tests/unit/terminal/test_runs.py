"""`make runs` and the page of all runs: every folder is one line, also a damaged one."""

from __future__ import annotations

import json
import os
import re
import shutil
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.report.index import Entry, read_runs
from ansible_collections.spot_train.core.plugins.module_utils.report.index_page import (
    index_context,
    render_index,
    write_index,
)
from ansible_collections.spot_train.core.plugins.module_utils.report.listing import listing

from tests.unit.terminal.conftest import FIRST, ROOT, make_run
from tools import runs as command

TEMPLATES = ROOT / "roles" / "run_report" / "templates"


class Outline(HTMLParser):
    """Parses a page: its elements, links, and loaded resources."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.links += [str(given["href"])] if tag == "a" else []
        self.loaded += [str(given[name]) for name in ("src", "srcset", "data") if name in given]
        self.ids += [str(given["id"])] if "id" in given else []
        self.pictures += [given] if tag == "svg" and given.get("role") == "img" else []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with runs in every state."""
    runs = tmp_path / "runs"
    make_run(runs, 1)
    make_run(runs, 2, mode="preflight", training=None)
    make_run(runs, 3, outcome="failed", error="deps failed:\nno <wheel> for arcticdb", training=None)
    make_run(runs, 4, leaks={"instances": 1, "volumes": None}, outcome="failed", error="left something")
    make_run(runs, 5, mode="smoke", training={"median_ic": 0.01, "dry_run": True, "promoted": False})
    damaged = make_run(runs, 6)
    (damaged / "receipt.json").write_text('{"outcome": "pas')
    (make_run(runs, 7) / "receipt.json").write_text("[]")
    unfinished = make_run(runs, 8)
    (unfinished / "receipt.json").unlink()
    (unfinished / "run.json").write_text(json.dumps({"mode": "both", "started_at": (FIRST).isoformat()}))
    os.utime(unfinished, (0, 0))
    (make_run(runs, 9) / "receipt.json").unlink()
    (runs / "notes of ours").mkdir()
    (runs / "latest").symlink_to(damaged.name)
    (runs / "rollback-20260701T101010Z.json").write_text(
        json.dumps({"run_date": "2026-06-20", "changed": True, "detail": "2026-06-20 is live again", "error": None})
    )
    (runs / "rollback-20260702T101010Z.json").write_text("")
    return runs


def entries(folder: Path) -> dict[str, Entry]:
    return {entry.run_id[-6:]: entry for entry in read_runs(folder)}


def test_every_run_is_one_line_newest_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--runs-dir", str(folder)]) == 0
    head, *lines, summary = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["started", "(UTC)", "mode", "outcome"]
    assert len(lines) == 12
    times = [line[:16] for line in lines if line.startswith("2026")]
    assert times == sorted(times, reverse=True)
    assert len({line.index("Z-") for line in lines if "Z-" in line}) == 1, "not aligned"
    assert summary.startswith("9 runs: 3 passed, 2 failed, 1 running, 1 unfinished, 2 damaged")


@pytest.mark.parametrize(
    ("run", "state", "words"),
    [
        ("000003", "failed", "deps failed: no <wheel> for arcticdb"),
        ("000006", "damaged", "receipt.json: not valid JSON"),
        ("000007", "damaged", "receipt.json: expected an object, got list"),
        ("000008", "unfinished", "playbooks/terminate.yml -e run_id=20260502T090000Z-000008"),
        ("000009", "running", "no receipt yet"),
        ("f ours", "foreign", "neither receipt.json nor run.json"),
        ("01010Z", "passed", "2026-06-20 is live again"),
    ],
)
def test_incomplete_run_has_state_and_note(folder: Path, run: str, state: str, words: str) -> None:
    entry = entries(folder)[run]
    assert entry.state == state
    assert words in entry.note


def test_run_without_receipt_becomes_unfinished(folder: Path) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    states = {entry.run_id[-6:]: entry.state for entry in read_runs(folder, later)}
    assert states["000009"] == "unfinished"


def test_leftovers_count_known_ones(folder: Path) -> None:
    known = entries(folder)
    assert (known["000001"].left_over, known["000004"].left_over, known["000006"].left_over) == (0, 1, None)


def test_mode_and_count_limit_the_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--runs-dir", str(folder), "--mode", "full", "--last", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert " full " in lines[1]


def test_json_has_every_field(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--runs-dir", str(folder), "--json", "--mode", "full"])
    (*_, first) = json.loads(capsys.readouterr().out)
    assert first["run_id"] == "20260314T090000Z-000001"
    assert first["threshold"] == 0.02
    assert first["report"] == "20260314T090000Z-000001/report.html"


@pytest.mark.parametrize("wrong", [["--last", "0"], ["--last", "x"], ["--mode", "fast"], ["--color"], ["more"]])
def test_wrong_option_is_one_line_of_error(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(wrong)
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_empty_list_says_how_to_start_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--runs-dir", str(tmp_path / "none")]) == 0
    assert "make preflight" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_unwritable_page_is_a_warning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "index.html").mkdir()
    assert command.main(["--runs-dir", str(folder)]) == 0
    shown = capsys.readouterr()
    assert "index.html: Is a directory" in shown.err
    assert "9 runs:" in shown.out


def test_listing_without_runs_is_empty() -> None:
    assert listing([], None, False) == []


@pytest.mark.parametrize("count", [0, 1, 2, 500])
def test_page_is_complete_for_any_number_of_runs(tmp_path: Path, count: int) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    for week in range(count):
        make_run(runs, week)
    assert write_index(runs, TEMPLATES)
    page = Outline((runs / "index.html").read_text())
    assert not {"script", "img", "link", "iframe", "object"} & set(page.tags)
    assert page.loaded == []
    assert len(page.links) == count
    assert all((runs / link).is_file() for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    assert len(page.pictures) == (3 if count else 0)
    for picture in page.pictures:
        assert set(str(picture["aria-labelledby"]).split()) <= set(page.ids)
    assert not write_index(runs, TEMPLATES), "written again without a change"


def test_trend_shows_intervals_and_threshold(folder: Path) -> None:
    page = render_index(read_runs(folder), TEMPLATES)
    trend = page.partition("ic-trend-title")[2].partition("</svg>")[0]
    assert len(re.findall(r"<circle", trend)) == 3
    assert trend.count('class="whisker"') == 2
    assert 'class="threshold"' in trend
    assert "gate threshold +0.0200" in page
    assert "2026-03-14 09:00, full: median IC" in trend


def test_changed_threshold_is_drawn_as_a_step(tmp_path: Path) -> None:
    for week, asked in enumerate([0.01, 0.01, 0.03]):
        gates = [{"name": "median_ic", "threshold": asked}]
        make_run(tmp_path, week, training={"median_ic": 0.02, "promoted": True, "gates": gates})
    chart = str(index_context(read_runs(tmp_path))["ic_chart"])
    assert chart.count('class="threshold"') == 3  # two levels and the step between them


def test_nothing_from_outside_becomes_markup(tmp_path: Path) -> None:
    make_run(tmp_path, 1, outcome="failed", error="<script>alert(1)</script>", mode="<b>full</b>")
    strange = tmp_path / "<i>"
    shutil.copytree(next(tmp_path.glob("2026*")), strange)
    page = render_index(read_runs(tmp_path), TEMPLATES)
    assert "<script>" not in page
    assert "<b>full" not in page
    assert "<i>" not in page


@pytest.mark.parametrize(
    "receipt",
    [
        {"outcome": "passed"},
        {"outcome": "passed", "training": [], "cost": 3, "leaks": "x", "run": None, "mode": 7, "started_at": 5},
        {"outcome": "passed", "training": {"median_ic": "x", "median_ic_interval": [1], "gates": {}, "promoted": 1}},
        {"outcome": "passed", "cost": {"usd": True}, "finished_at": "2020", "started_at": "2026-01-01T00:00:00Z"},
        {"outcome": "failed", "started_at": "0001-01-01T00:00:00+14:00", "leaks": {"instances": "many"}},
        {"outcome": []},
    ],
)
def test_odd_receipt_does_not_break_the_list(tmp_path: Path, receipt: dict[str, object]) -> None:
    folder = tmp_path / "20260101T000000Z-aaaaaa"
    folder.mkdir()
    (folder / "receipt.json").write_text(json.dumps(receipt))
    (entry,) = read_runs(tmp_path)
    assert listing([entry], 80, True)
    assert render_index([entry], TEMPLATES)
