"""The training on the page: each part is shown only with its data."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.report.curves import (
    calibration_chart,
    curve_chart,
    share_rows,
)
from ansible_collections.spot_train.core.plugins.module_utils.report.evidence import read_training
from ansible_collections.spot_train.core.plugins.module_utils.report.fold_charts import difference_chart, ic_chart
from ansible_collections.spot_train.core.plugins.module_utils.report.page import headline, render_page
from ansible_collections.spot_train.core.plugins.module_utils.report.receipt import Inputs, build_receipt
from ansible_collections.spot_train.core.plugins.module_utils.report.summary import training_line
from ansible_collections.spot_train.core.plugins.module_utils.report.training_page import decision
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.report import rich_training

EVIL = "<script>alert('x')</script>\"><img src=x onerror=y>"
# A part of the result -> texts that are on the page only if the result has it.
PARTS = {
    "diagnostics.cumulative_ic": ["Cumulative rank IC, out of sample", "A steady climb is skill"],
    "diagnostics.calibration": ["Calibration: realised against forecast"],
    "diagnostics.importance": ["Feature importance", "predicted_volatility", "42% (21% to 55%)"],
    "median_ic_interval": ["interval of the median", "95% interval -0.0102 to +0.0534"],
    "gates": ["Gates", "standard deviation of the last forecasts, 61 different ones"],
    "incumbent": ["Comparison with the live weights", "better in 8 of 12 folds", "median difference +0.0041"],
    "data_changes": [
        "Changes in the data",
        "The training read the versions that this run's preflight checked.",
        "Since run 20221222T090000Z-a1b2c3, of 2022-12-22: 1 symbol added, 2 symbols removed, "
        "3 symbols in a new version.",
        "GONE, OLD",
        "8,310 → 8,315",
    ],
    "promotion": ["Live version 2022-12-29-20221229T090000Z-0a1b2c", "Replaced 2022-12-22-2022", "ETag of the"],
    "left_out": ["Excluded symbols", "NEW : 12 days with a price, 504 are needed"],
    "heartbeat": ["sent: AlphaEngine/Heartbeat with Process=predictor-training"],
}


@pytest.fixture
def full() -> dict[str, Any]:
    return rich_training.everything()


def page_of(training: dict[str, Any], template: Path, tmp_path: Path) -> str:
    """Render the page of a run with this result, read from its file."""
    path = tmp_path / "training-full.json"
    path.write_text(json.dumps(training), encoding="utf-8")
    read, notes = read_training(path)
    receipt = build_receipt(Inputs(run={"run_id": "r1", "mode": "full"}, full=read, notes=notes))
    return str(render_page(receipt, [], template))


def text_of(page: str) -> str:
    text = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", " ", text).replace("&#39;", "'")
    return " ".join(text.split())


@pytest.mark.parametrize("part", PARTS)
def test_part_is_shown_only_with_its_data(part: str, full: dict[str, Any], template: Path, tmp_path: Path) -> None:
    shown = text_of(page_of(full, template, tmp_path))
    assert [words for words in PARTS[part] if words not in shown] == []

    lacking = copy.deepcopy(full)
    holder = lacking if "." not in part else lacking["diagnostics"]
    del holder[part.rpartition(".")[2]]

    absent = text_of(page_of(lacking, template, tmp_path))
    assert [words for words in PARTS[part] if words in absent] == []


def test_intervals_are_shown_only_if_folds_have_them(full: dict[str, Any], template: Path, tmp_path: Path) -> None:
    assert "95% interval of the fold" in text_of(page_of(full, template, tmp_path))
    for fold in full["fold_ics"]:
        del fold["ic_low"], fold["ic_high"]

    page = page_of({**full, "diagnostics": {}}, template, tmp_path)

    assert "95% interval of the fold" not in text_of(page)
    assert 'class="whisker"' not in page


def test_page_of_another_project_has_only_its_metrics(template: Path, tmp_path: Path) -> None:
    text = text_of(page_of(rich_training.of_another_project(), template, tmp_path))

    for words in (
        "Metrics",
        "accuracy 0.9123",
        "rows 1500",
        "Trained: accuracy 0.9123, rows 1,500. The new weights are live.",
        "Promoted: the new weights are live.",
    ):
        assert words in text, words
    for words in ("Gates", "fold", "median", "unknown", "Heartbeat"):
        assert words not in text.partition("Training")[2].partition("Evidence")[0], words


def test_empty_result_claims_nothing(template: Path, tmp_path: Path) -> None:
    text = text_of(page_of({}, template, tmp_path))

    assert "Trained." in text
    assert "promoted" not in text.lower()


def test_texts_of_another_project_have_no_folds() -> None:
    training: dict[str, Any] = {**dict.fromkeys(("folds", "median_ic", "promoted", "seconds", "dry_run")), "gates": []}

    assert headline({"outcome": "passed", "mode": "full", "training": training, "attempts": []}) == "Trained."
    assert training_line({**training, "promoted": True}) == "no metrics, promoted"


def test_unsent_heartbeat_is_a_warning(full: dict[str, Any], template: Path, tmp_path: Path) -> None:
    full["heartbeat"] = {"sent": False, "detail": "AccessDenied"}

    page = page_of(full, template, tmp_path)

    assert '<p class="warning">The heartbeat could not be sent: AccessDenied</p>' in page


def test_versions_changed_since_the_preflight_are_listed(full: dict[str, Any], template: Path, tmp_path: Path) -> None:
    changed = [{"symbol": "AAPL", "library": "universe", "preflight": 3, "training": 4},
               {"symbol": "NEW", "library": "universe", "preflight": None, "training": 0}]  # fmt: skip
    full["data_changes"] = {"since_preflight": {"changed": changed}, "since_last_run": None}

    text = text_of(page_of(full, template, tmp_path))

    assert "2 symbols changed between this run's preflight and its training." in text
    assert "universe AAPL : version 3 in the preflight, 4 in the training" in text
    assert "universe NEW : version none in the preflight, 0 in the training" in text
    assert "Since" not in text


def test_many_features_and_symbols_are_folded(full: dict[str, Any], template: Path, tmp_path: Path) -> None:
    entry = full["diagnostics"]["importance"][0]
    full["diagnostics"]["importance"] = [{**entry, "model": "research", "feature": f"f{n}"} for n in range(30)]
    full["left_out"] = [{"symbol": f"S{n}", "reason": "short"} for n in range(40)]

    text = text_of(page_of(full, template, tmp_path))

    assert "18 more features" in text
    assert "28 more symbols" in text
    assert "S39 : short" in text


def test_unfinished_training_may_have_promoted() -> None:
    cut = {"error": "cut", "dry_run": False, "promoted": True, "gates": [], "folds": 3, "median_ic": None}

    assert "promoted nothing" in decision("full", cut)
    assert "the new weights are live" in decision("full", {**cut, "promotion": {"version": "v"}})


def _with_evil(value: Any) -> Any:
    """Replace every text."""
    if isinstance(value, dict):
        return {name: _with_evil(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_with_evil(entry) for entry in value]
    return EVIL if isinstance(value, str) else value


def test_no_text_of_a_result_becomes_markup(full: dict[str, Any], template: Path, tmp_path: Path) -> None:
    evil = {**_with_evil(full), "metrics": {EVIL: EVIL}, "notes": [EVIL]}

    page = page_of(evil, template, tmp_path)

    assert "<script" not in page and "<img" not in page
    assert page.count("&lt;script&gt;") > 30


ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
TREE = st.recursive(
    ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all parts of a document; of a list, only of its first entry."""
    inside = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    return [path, *(place for key, entry in inside for place in _places(entry, (*path, key)))][1 if not path else 0 :]


@given(place=st.sampled_from(_places(rich_training.everything())), odd=TREE)
@settings(max_examples=150)
def test_arbitrary_part_of_a_result_does_not_prevent_the_page(
    place: tuple[Any, ...], odd: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    spoilt = rich_training.everything()
    holder = spoilt
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = odd
    template = Path(__file__).resolve().parents[3] / "roles/run_report/templates/report.html.j2"
    folder = tmp_path_factory.getbasetemp() / "spoilt"
    folder.mkdir(exist_ok=True)

    assert "Training" in page_of(spoilt, template, folder)


def inside_plot(svg: str) -> bool:
    """Return whether all vertical positions are inside the chart."""
    tops = [float(value) for value in re.findall(r' (?:y|y1|y2|cy)="(-?[\d.]+)"', svg)]
    return bool(tops) and all(0 <= top <= 220 for top in tops)


IC = st.floats(-1, 1)


@given(st.lists(st.tuples(IC, IC, IC), min_size=1, max_size=60), st.tuples(IC, IC))
@settings(max_examples=60)
def test_every_interval_is_drawn_inside_the_chart(ics: list[tuple[float, ...]], interval: tuple[float, float]) -> None:
    folds = [{"fold": n, "ic": ic, "ic_low": low, "ic_high": high} for n, (ic, low, high) in enumerate(ics)]

    svg = ic_chart(folds, None, 0.02, sorted(interval))

    assert inside_plot(svg)
    assert svg.count('class="whisker"') == len(folds)
    assert svg.count('class="band"') == 1


@given(st.lists(st.floats(-500, 500), min_size=2, max_size=400))
@settings(max_examples=40)
def test_curve_fills_its_box_from_first_to_last_day(values: list[float]) -> None:
    svg = curve_chart(
        [{"date": f"20{10 + n // 12}-{n % 12 + 1:02}-01", "value": value} for n, value in enumerate(values)]
    )

    points = re.findall(r"(-?[\d.]+),(-?[\d.]+)", re.findall(r'points="([^"]*)"', svg)[0])
    assert len(points) == len(values)
    assert all(0 <= float(x) <= 1000 and -0.1 <= float(y) <= 1000.1 for x, y in points)
    assert (float(points[0][0]), float(points[-1][0])) == (0, 1000)


@pytest.mark.parametrize(
    "points", [[], [{"date": "2020-01-01", "value": 1.0}], [{"date": "soon", "value": 1.0}] * 3,
               [{"date": "2020-01-01", "value": None}, {"date": "2020-02-01", "value": 1.0}]]
)  # fmt: skip
def test_curve_of_less_than_two_days_is_not_drawn(points: list[dict[str, Any]]) -> None:
    assert curve_chart(points) == ""


RETURN = st.floats(-0.3, 0.3)


@given(st.lists(st.tuples(RETURN, RETURN, RETURN, RETURN), min_size=2, max_size=10, unique_by=lambda one: one[0]))
@settings(max_examples=60)
def test_every_bin_is_drawn_inside_the_chart(bins: list[tuple[float, ...]]) -> None:
    names = ("forecast", "realised", "low", "high")
    svg = calibration_chart([{**dict(zip(names, one, strict=True)), "rows": 10} for one in bins])

    assert inside_plot(svg)
    assert svg.count("<circle") == len(bins)
    assert all(0 <= float(x) <= 100.01 for x in re.findall(r'cx="(-?[\d.]+)%"', svg))


def test_single_bin_is_not_drawn() -> None:
    one = {"forecast": 0.01, "realised": 0.02, "low": None, "high": None, "rows": 5}

    assert calibration_chart([one]) == calibration_chart([one, one]) == ""


def test_difference_is_training_minus_incumbent() -> None:
    folds = [
        {"fold": 1, "ic": 0.05, "incumbent_ic": 0.02, "days": 126},
        {"fold": 2, "ic": 0.01, "incumbent_ic": 0.03, "days": None},
        {"fold": 3, "ic": 0.01, "incumbent_ic": None, "days": 0},
    ]
    incumbent = {"folds": folds, "median_difference": None}

    svg = difference_chart(incumbent, [{"fold": 1, "test_start": "2012-01-03"}], 0.0)

    assert re.findall(r"fold \d: [^<]*", svg) == [
        "fold 1: +0.0300 (+0.0500 against +0.0200, 126 common days)",
        "fold 2: -0.0200 (+0.0100 against +0.0300)",
    ]
    assert "2 folds, 1 better than the incumbent; median difference +0.0050" in svg
    assert ">2012</text>" in svg
    assert difference_chart({"folds": folds[2:], "median_difference": None}, [], None) == ""


def test_all_models_share_one_scale() -> None:
    rows = share_rows(
        [
            {"model": "a", "feature": "x", "mean": 0.5, "low": 0.4, "high": 1.0, "folds": 3},
            {"model": "b", "feature": "y", "mean": 0.25, "low": None, "high": None, "folds": None},
        ]
    )

    widths = {model: re.findall(r'rx="2" width="([\d.]+)%"', row[0].svg) for model, row in rows.items()}
    assert widths == {"a": ["49.50"], "b": ["24.75"]}
    assert rows["a"][0].value == "50% (40% to 100%)"
    assert rows["b"][0].value == "25%"
