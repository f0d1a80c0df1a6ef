"""The report page: its texts, that it is self-contained, and that every value is escaped."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.report.charts import timeline_rows
from ansible_collections.spot_train.core.plugins.module_utils.report.evidence import read_preflight, read_training
from ansible_collections.spot_train.core.plugins.module_utils.report.fold_charts import ic_chart
from ansible_collections.spot_train.core.plugins.module_utils.report.page import (
    advice,
    headline,
    log_files,
    render_page,
)
from ansible_collections.spot_train.core.plugins.module_utils.report.receipt import Inputs, build_receipt
from ansible_collections.spot_train.core.plugins.module_utils.report.summary import summary_lines, training_line
from ansible_collections.spot_train.core.plugins.module_utils.report.training_page import decision
from ansible_collections.spot_train.core.plugins.module_utils.runs.events import summarise_steps
from hypothesis import given, settings
from hypothesis import strategies as st

EVIL = "<script>alert('x')</script>\"><img src=x onerror=y>"
TEMPLATE = Path(__file__).resolve().parents[3] / "roles" / "run_report" / "templates" / "report.html.j2"
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Outline(HTMLParser):
    """Parses a page: its text, elements and links, and whether every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.svgs: list[dict[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag == "svg":
            self.svgs.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def outline(page: str) -> Outline:
    parsed = Outline()
    parsed.feed(page)
    parsed.close()
    assert parsed.open == []
    return parsed


@pytest.fixture
def both(run: Any, instance: Any, preflight: Any, training: Any, no_leaks: Any, clock: Any) -> Inputs:
    steps = ("open", "request", "deps", "preflight", "smoke", "full", "terminate")
    return Inputs(
        run={**run, "mode": "both"},
        events=[event for step in steps for event in clock.step(step, 10)] + [clock.event("playbook_finished")],
        instance=instance,
        preflight=preflight,
        full=training,
        smoke={**training, "dry_run": True},
        writes={"data_bucket": 17, "evidence": ["ledger.jsonl"]},
        leaks=no_leaks,
        api_calls={"s3.GetObject": 12},
        cost={"market_price_usd_hour": 0.036, "on_demand_price_usd_hour": 0.126},
    )


def test_page_of_a_full_run_has_every_part(both: Inputs, template: Path) -> None:
    page = outline(render_page(build_receipt(both), ["logs/deps.log"], template))
    for words in (
        "Passed",
        "Trained over 4 folds: median IC +0.0270, +0.0200 required. The new weights are live.",
        "Timeline",
        "InsufficientInstanceCapacity",
        "VIX ends in 2019",
        "3 fresh, 0 stale",
        "Information coefficient of each fold",
        "The smoke training before it: 4 folds",
        "Promoted: every blocking gate passed",
        "does not block",
        "17 writes reached the data bucket",
        "ledger.jsonl",
        "s3.GetObject",
    ):
        assert words in page.text, words
    assert page.links == ["receipt.json", "logs/deps.log"]


def test_page_of_another_project_has_metrics_but_no_folds(both: Inputs, template: Path, tmp_path: Path) -> None:
    path = tmp_path / "training-full.json"
    path.write_text('{"metrics": {"r2": 0.91234, "rmse": 12}, "promoted": true}', encoding="utf-8")
    both.full, both.smoke = read_training(path)[0], None
    assert both.preflight is not None
    both.preflight |= {"symbols": None, "ages": {}, "limit": None}
    receipt = build_receipt(both)
    page = outline(render_page(receipt, [], template))
    words = " ".join(page.text.split())
    assert "Trained: r2 0.9123, rmse 12. The new weights are live." in words
    assert "Metrics" in words
    assert not {"median IC", "fold", "symbol"} & {word for word in ("median IC", "fold", "symbol") if word in words}
    lines = summary_lines(receipt, "report.html")
    assert "training   r2 0.9123, rmse 12, promoted" in lines
    assert [line for line in lines if "symbol" in line] == []


def test_page_shows_every_attempt_and_the_total_cost(both: Inputs, attempts: Any, template: Path) -> None:
    attempts[1]["cells"].insert(
        0, {"market": "spot", "type": "m5.large", "error": "PriceAboveCap", "price_usd_hour": 9}
    )
    both.attempts = attempts
    page = outline(render_page(build_receipt(both), [], template))
    for words in (
        "It lost 1 instance and continued on another.",
        "Total: $0.0030 for 8 min 01 s; on demand $0.0168, 82% less.",
        "Attempt 1 r5.large, us-east-1c, spot reclaimed",
        "EC2 reclaimed the spot instance i-0aaaaaaaaaaaaaaaa at 2026-05-23 08:56:20 UTC (notice 2 min 00 s before).",
        "Confirmed by EC2.",
        "3 min 00 s at $0.0360 per hour",
        "Free: EC2 reclaimed the spot instance within its first hour, which is not billed.",
        "The run terminated it, 7 folds resumed.",
        "5 min 01 s at $0.0360 per hour",
        "PriceAboveCap",
        "$9.0000",
        "4 offers, 2 refused",
    ):
        assert words in " ".join(page.text.split()), words


def test_page_of_interrupted_preflight_says_to_run_it_again(both: Inputs, attempts: Any, template: Path) -> None:
    both.run, both.outcome = {**both.run, "mode": "preflight"}, "interrupted"
    both.attempts, both.full, both.smoke = attempts[:1], None, None
    page = outline(render_page(build_receipt(both), [], template))
    assert "The run lost its instance before it finished." in page.text
    assert "preflights do not resume: run it again" in page.text
    assert "Start the preflight again" in page.text


def test_page_of_a_run_without_capacity_lists_the_offers(run: Any, template: Path) -> None:
    cells = [{"market": "spot", "type": "r5.large", "az": "us-east-1a", "error": "InsufficientInstanceCapacity"}] * 3
    attempts = [{"number": 1, "instance": {}, "cells": cells}]
    page = outline(render_page(build_receipt(Inputs(run=run, attempts=attempts, outcome="no_capacity")), [], template))
    assert page.text.count("us-east-1a") == 3
    assert "No instance was available (InsufficientInstanceCapacity 3)." in page.text


def test_page_is_self_contained_and_without_scripts(both: Inputs, template: Path) -> None:
    page = render_page(build_receipt(both), ["logs/deps.log"], template)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(outline(page).tags)
    assert not re.search(r"(https?:)?//\w|@import|url\((?!#)", page)


def test_every_chart_has_accessible_text(both: Inputs, template: Path) -> None:
    page = render_page(build_receipt(both), [], template)
    pictures = re.findall(r"<svg([^>]*)>(.*?)</svg>", page, flags=re.DOTALL)
    assert len(pictures) > 8
    for attributes, content in pictures:
        assert 'aria-hidden="true"' in attributes or ('role="img"' in attributes and "<title" in content)
    assert "<desc" in page


def test_page_of_a_failed_run_has_error_log_and_advice(run: Any, clock: Any, template: Path) -> None:
    events = clock.step("deps", 5, "task_failed", msg="no wheel for arcticdb", host="i-0abc")
    receipt = build_receipt(Inputs(run=run, events=events, instance={"id": "i-0abc"}))
    page = outline(render_page(receipt, ["logs/deps.log", "logs/open.log"], template))
    assert "The run failed in step deps." in page.text
    assert 'deps failed at "Do deps" on i-0abc: no wheel for arcticdb' in page.text
    assert "What to do next" in page.text
    assert page.links[0] == "logs/deps.log"
    assert "No preflight result" in page.text


def test_run_without_evidence_has_a_page(template: Path) -> None:
    page = outline(render_page(build_receipt(Inputs(run={"run_id": "r1"}, outcome="failed")), [], template))
    assert "no cause was recorded" in page.text
    assert "no steps were recorded" in page.text


@pytest.mark.parametrize("outcome", ["passed", "failed", "interrupted", "no_capacity"])
@pytest.mark.parametrize("mode", ["preflight", "smoke", "full", "both", None])
def test_outcomes_have_headlines_and_bad_ones_advice(outcome: str, mode: str | None, training: dict[str, Any]) -> None:
    trained = training if outcome == "passed" and mode in ("smoke", "full", "both") else None
    inputs = Inputs(run={"run_id": "r1", "mode": mode}, outcome=outcome, writes={"data_bucket": 0})
    receipt = build_receipt(replace(inputs, smoke=trained, full=trained))
    assert receipt["outcome"] == outcome
    assert headline(receipt).endswith(".")
    assert bool(advice(receipt)) == (outcome != "passed")


def test_page_says_why_the_weights_were_not_promoted(both: Inputs, template: Path) -> None:
    assert both.full is not None
    both.full |= {"promoted": False, "median_ic": 0.01}
    both.full["gates"][0]["passed"] = False
    page = outline(render_page(build_receipt(both), [], template))
    assert "Not promoted: median_ic did not pass. The live weights are untouched." in page.text
    assert "Passed" in page.text


def test_gate_that_was_not_judged_is_no_pass(both: Inputs, template: Path) -> None:
    assert both.full is not None
    unjudged = {"name": "short_history", "value": None, "threshold": 0.0, "passed": None, "blocking": True}
    both.full["gates"].append(unjudged)

    page = outline(render_page(build_receipt(both), [], template))

    assert "Promoted: no blocking gate failed (short_history not judged), and the new weights are live." in page.text
    assert "? not judged" in page.text


def test_nothing_from_outside_becomes_markup(both: Inputs, template: Path) -> None:
    assert both.preflight is not None and both.full is not None
    both.run = {**both.run, "run_id": EVIL, "region": EVIL, "revision": EVIL}
    both.error = EVIL
    both.instance = {"id": EVIL, "type": EVIL, "attempts": [{"market": EVIL, "error": EVIL}] * 2}
    cut = {"noticed_at": EVIL, "reclaim_at": EVIL, "confirmed_by": EVIL}
    lost = {"instance": both.instance, "cells": [{"az": EVIL}], "ended_by": "reclaim", "interruption": cut}
    both.attempts = [lost, lost]
    both.preflight |= {"ages": {EVIL: 1, f"2{EVIL}": 4}, "stale": [EVIL], "newest": EVIL, "unreadable": {EVIL: EVIL}}
    both.preflight |= {"missing": [EVIL] * 20, "new": [EVIL] * 20}
    both.preflight["checks"][0] |= {"name": EVIL, "detail": EVIL}
    both.preflight["checks"][1] |= {
        "name": EVIL,
        "detail": EVIL,
        "remedy": EVIL,
        "status": "fail",
        "items": [f"3{EVIL}"],
    }
    both.full["fold_ics"][0] |= {"fold": EVIL, "test_start": EVIL}
    both.full["gates"][0] |= {"name": EVIL, "value": EVIL}
    both.full["written"] = [EVIL]
    half = {"sha256": EVIL, "objects": 1, "bytes": 1, "seconds": 1}
    changed = [{"key": EVIL, "change": EVIL}]
    digest = {"before": half, "after": half, "equal": False, "prefixes": [EVIL], "changed": changed, "changed_count": 2}
    both.writes = {"data_bucket": 1, "evidence": {EVIL: EVIL}, "digest": digest}
    both.api_calls = {EVIL: 1}
    both.notes = [EVIL]
    both.events = [{**event, "step": EVIL} for event in both.events]
    page = outline(render_page(build_receipt(both), [f"logs/{EVIL}.log"], template))
    assert "script" not in page.tags and "img" not in page.tags
    assert EVIL in page.text


def test_bars_stay_inside_their_track(clock: Any) -> None:
    events = [*clock.step("open", 0.001), *clock.step("deps", 5000), *clock.step("terminate", 0.001)]
    rows = timeline_rows(summarise_steps([*events, clock.event("playbook_finished")]))
    assert [row.label for row in rows] == ["open", "deps", "terminate"]
    for row in rows:
        for left, width in re.findall(r'x="([\d.]+)%" y="2" rx="2" width="([\d.]+)%"', row.svg):
            assert float(left) >= 0 and float(left) + float(width) <= 100.01


def test_step_without_duration_is_drawn(clock: Any) -> None:
    rows = timeline_rows(summarise_steps([clock.event("task_ok", "open"), clock.event("playbook_finished")]))
    assert [row.value for row in rows] == ["0.0 s"]


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=80), st.none() | st.floats(-1, 1))
@settings(max_examples=60)
def test_every_fold_is_drawn_inside_the_chart(ics: list[float], threshold: float | None) -> None:
    svg = ic_chart([{"fold": index, "ic": value} for index, value in enumerate(ics)], None, threshold)
    bars = re.findall(r'<rect class="(?:up|down)" x="([\d.]+)%" y="([\d.]+)" width="[\d.]+%" height="([\d.]+)"', svg)
    assert len(bars) == len(ics)
    assert all(float(top) + float(height) <= 221 for _, top, height in bars)
    lines = re.findall(r'class="(?:grid|zero|median|threshold)"[^>]*y1="(-?[\d.]+)"', svg)
    assert lines and all(0 <= float(line) <= 220 for line in lines)


def test_folds_without_ic_are_not_drawn() -> None:
    assert ic_chart([{"fold": 1, "ic": None}, {"fold": 2, "ic": float("nan")}], None, 0.02) == ""


def test_log_files_are_sorted_by_name(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name in ("open.log", "deps.log", "notes.txt"):
        (tmp_path / "logs" / name).touch()
    assert log_files(tmp_path) == ["logs/deps.log", "logs/open.log"]
    assert log_files(tmp_path / "nowhere") == []


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
RESULT_KEYS = [
    *("id", "type", "az", "requested_at", "terminated_at", "price_usd_hour", "number", "instance", "cells", "ended_by"),
    *("interruption", "resumed_folds", "noticed_at", "reclaim_at"),
    *("checks", "symbols", "stale", "newest", "oldest", "ages", "seconds", "folds", "median_ic", "promoted", "gates"),
    *(
        "tier",
        "group",
        "detail",
        "remedy",
        "items",
        "limit",
        "missing",
        "new",
        "unreadable",
        "before",
        "after",
        "equal",
    ),
    *("sha256", "objects", "bytes", "prefixes", "changed", "changed_count", "key", "change"),
    *("dry_run", "fold_ics", "skipped_folds", "written", "name", "status", "ic", "test_start", "threshold", "value"),
]
ODD_ENTRY = st.dictionaries(st.sampled_from(RESULT_KEYS), ODD, max_size=8)
ODD_RESULT = st.dictionaries(
    st.sampled_from(RESULT_KEYS), ODD | st.lists(ODD_ENTRY, max_size=3) | ODD_ENTRY, max_size=12
)


@given(preflight=ODD_RESULT, training=ODD_RESULT, rest=st.lists(ODD_ENTRY, min_size=6, max_size=6), price=ODD)
@settings(max_examples=50)
def test_arbitrary_result_files_do_not_prevent_the_report(
    tmp_path_factory: pytest.TempPathFactory,
    preflight: Any,
    training: Any,
    rest: list[dict[str, Any]],
    price: Any,
) -> None:
    folder = tmp_path_factory.getbasetemp() / "odd"
    folder.mkdir(exist_ok=True)
    write_json(folder / "preflight.json", preflight)
    write_json(folder / "preflight-controller.json", rest[4])
    write_json(folder / "training-full.json", training)
    checked, notes = read_preflight(folder)
    trained, more_notes = read_training(folder / "training-full.json")
    receipt = build_receipt(
        Inputs(
            run={"run_id": "r1", "mode": "full", **rest[0]},
            events=[{"event": "task_failed", "step": "open", **rest[1]}],
            instance={"id": "i-0", "attempts": [rest[2]], **rest[2]},
            attempts=[{"instance": {"id": "i-0", **rest[2]}, "cells": [rest[2]], **rest[3]}, {**rest[5]}, price],
            preflight=checked,
            full=trained,
            writes={
                "data_bucket": price,
                "evidence": price,
                "denied": price,
                "digest": {**rest[5], "before": rest[4], "after": rest[4]},
            },
            leaks={"instances": price},
            api_calls=rest[3],
            cost={"market_price_usd_hour": price},
            notes=[*notes, *more_notes],
        )
    )
    assert receipt["outcome"] == "failed"
    outline(render_page(receipt, [], TEMPLATE))
    assert len(summary_lines(receipt, "report.html")) <= 12


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def test_unfinished_training_is_reported_as_such() -> None:
    training = {"error": "interrupted", "dry_run": False, "promoted": False, "gates": [], "folds": 3, "median_ic": None}

    assert decision("full", training).startswith("The training did not finish")
    assert training_line(training).endswith("did not finish")
