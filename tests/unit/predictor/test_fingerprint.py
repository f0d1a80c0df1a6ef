"""Whatever changes a fold's result changes the fingerprint, and nothing else does."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from predictor import lock
from predictor.config import Config
from predictor.training import fingerprint
from predictor.training.panel import Panel
from predictor.training.research import Research

LOCK = "0" * 64


@pytest.fixture
def panel(walks: Any) -> Panel:
    days = np.arange("2022-01-03", "2022-02-02", dtype="datetime64[D]")
    return Panel(days, ["S00", "S01"], walks(30, 2), {"S00": 1, "S01": 1})


@pytest.fixture
def research() -> Research:
    return Research({"research.view": np.ones((30, 2))}, "", {"S00": 1})


def test_it_is_a_digest_and_the_same_for_the_same(config: Config, panel: Panel, research: Research) -> None:
    found = fingerprint.compute(config, panel, research, LOCK)

    assert len(found) == 64
    assert found == fingerprint.compute(config, panel, research, LOCK)


def test_the_same_data_written_anew_is_the_same(config: Config, panel: Panel, research: Research) -> None:
    rewritten = replace(panel, versions={"S00": 9, "S01": 9})

    assert fingerprint.compute(config, rewritten, research, LOCK) == fingerprint.compute(config, panel, research, LOCK)


def test_one_price_one_opinion_or_one_setting_makes_another(config: Config, panel: Panel, research: Research) -> None:
    close = panel.close.copy()
    close[7, 1] = np.nextafter(close[7, 1], np.inf)
    view = np.ones((30, 2))
    view[0, 0] = 2
    more_trees = replace(config, lightgbm=replace(config.lightgbm, trees=11))

    all_of_them = {
        fingerprint.compute(config, panel, research, LOCK),
        fingerprint.compute(config, replace(panel, close=close), research, LOCK),
        fingerprint.compute(config, replace(panel, symbols=["S00", "S02"]), research, LOCK),
        fingerprint.compute(config, panel, replace(research, columns={"research.view": view}), LOCK),
        fingerprint.compute(config, panel, replace(research, columns={"research.other": np.ones((30, 2))}), LOCK),
        fingerprint.compute(config, panel, Research(skipped="there is none"), LOCK),
        fingerprint.compute(more_trees, panel, research, LOCK),
        fingerprint.compute(config, panel, research, "1" * 64),
        fingerprint.compute(config, panel, research, None),
    }

    assert len(all_of_them) == 9


def test_what_becomes_of_a_model_and_what_the_preflight_asks_is_no_part_of_a_fold(
    config: Config, panel: Panel, research: Research
) -> None:
    stricter = replace(config.gates, median_ic=replace(config.gates.median_ic, threshold=0.5))
    elsewhere = replace(config.data, universe_library="other", changed_since_preflight="fail")
    another = replace(
        config,
        gates=stricter,
        data=elsewhere,
        heartbeat=replace(config.heartbeat, metric="Other"),
        resources=replace(config.resources, headroom=2.0),
    )

    assert fingerprint.compute(another, panel, research, LOCK) == fingerprint.compute(config, panel, research, LOCK)


def test_every_other_section_of_the_configuration_counts(config: Config, panel: Panel, research: Research) -> None:
    counted = set(fingerprint.document(config, panel, research, LOCK)["config"])

    assert counted == set(config.as_dict()) - {"data", "resources", "gates", "heartbeat"}
    assert counted >= {"models", "labels", "walk_forward", "lightgbm", "research", "meta", "run"}


@pytest.mark.parametrize(("where", "name"), [(lock, "installed"), (platform, "python_version"), (platform, "machine")])
def test_other_software_makes_another(
    where: Any, name: str, config: Config, panel: Panel, research: Research, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = fingerprint.compute(config, panel, research, LOCK)

    monkeypatch.setattr(where, name, lambda: {"numpy": "0"})

    assert fingerprint.compute(config, panel, research, LOCK) != here


def test_every_package_that_computes_is_in_it(config: Config, panel: Panel, research: Research) -> None:
    packages = fingerprint.document(config, panel, research, LOCK)["packages"]

    assert {"numpy", "pandas", "scipy", "scikit-learn", "lightgbm", "arcticdb"} <= set(packages)
    assert packages["numpy"] == np.__version__


def test_the_code_is_every_python_file_by_its_path_and_content(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "inner" / "b.py").write_text("2")
    first = fingerprint.code_digest(tmp_path)

    (tmp_path / "compiled.pyc").write_text("whatever")
    assert fingerprint.code_digest(tmp_path) == first

    (tmp_path / "inner" / "b.py").write_text("3")
    changed = fingerprint.code_digest(tmp_path)
    (tmp_path / "inner" / "b.py").rename(tmp_path / "c.py")
    assert len({first, changed, fingerprint.code_digest(tmp_path)}) == 3
