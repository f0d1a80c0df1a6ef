"""The fingerprint changes exactly when a fold's result may."""

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
    return Panel.of(days, ["S00", "S01"], walks(30, 2), {"S00": 1, "S01": 1})


@pytest.fixture
def research() -> Research:
    return Research({"research.view": np.ones((30, 2))}, "", {"S00": 1})


def test_equal_inputs_have_equal_fingerprints(config: Config, panel: Panel, research: Research) -> None:
    found = fingerprint.compute(config, panel, research, LOCK)

    assert len(found) == 64
    assert found == fingerprint.compute(config, panel, research, LOCK)


def test_versions_of_the_data_do_not_count(config: Config, panel: Panel, research: Research) -> None:
    rewritten = replace(panel, versions={"S00": 9, "S01": 9})

    assert fingerprint.compute(config, rewritten, research, LOCK) == fingerprint.compute(config, panel, research, LOCK)


def test_each_input_changes_the_fingerprint(config: Config, panel: Panel, research: Research) -> None:
    close = panel.close.copy()
    close[7, 1] = np.nextafter(close[7, 1], np.inf)
    view = np.ones((30, 2))
    view[0, 0] = 2
    more_trees = replace(config, lightgbm=replace(config.lightgbm, trees=11))

    fingerprints = {
        fingerprint.compute(config, panel, research, LOCK),
        fingerprint.compute(config, replace(panel, close=close), research, LOCK),
        fingerprint.compute(config, replace(panel, symbols=["S00", "S02"]), research, LOCK),
        fingerprint.compute(config, replace(panel, bars={**panel.bars, "S00": panel.bars["S01"]}), research, LOCK),
        fingerprint.compute(config, panel, replace(research, columns={"research.view": view}), LOCK),
        fingerprint.compute(config, panel, replace(research, columns={"research.other": np.ones((30, 2))}), LOCK),
        fingerprint.compute(config, panel, Research(skipped="absent"), LOCK),
        fingerprint.compute(more_trees, panel, research, LOCK),
        fingerprint.compute(config, panel, research, "1" * 64),
        fingerprint.compute(config, panel, research, None),
    }

    assert len(fingerprints) == 10


def test_gates_data_location_and_preflight_do_not_count(config: Config, panel: Panel, research: Research) -> None:
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


def test_other_sections_of_the_configuration_count(config: Config, panel: Panel, research: Research) -> None:
    counted = set(fingerprint.document(config, panel, research, LOCK)["config"])

    assert counted == set(config.as_dict()) - {"data", "resources", "gates", "heartbeat"}
    assert counted >= {"models", "labels", "walk_forward", "lightgbm", "research", "meta", "run"}


@pytest.mark.parametrize(("where", "name"), [(lock, "installed"), (platform, "python_version"), (platform, "machine")])
def test_software_counts(
    where: Any, name: str, config: Config, panel: Panel, research: Research, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = fingerprint.compute(config, panel, research, LOCK)

    monkeypatch.setattr(where, name, lambda: {"numpy": "0"})

    assert fingerprint.compute(config, panel, research, LOCK) != here


def test_computing_packages_count(config: Config, panel: Panel, research: Research) -> None:
    packages = fingerprint.document(config, panel, research, LOCK)["packages"]

    assert {"numpy", "pandas", "scipy", "scikit-learn", "lightgbm", "arcticdb"} <= set(packages)
    assert packages["numpy"] == np.__version__


def test_code_digest_covers_paths_and_contents(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "inner" / "b.py").write_text("2")
    first = fingerprint.code_digest(tmp_path)

    (tmp_path / "compiled.pyc").write_text("bytecode")
    assert fingerprint.code_digest(tmp_path) == first

    (tmp_path / "inner" / "b.py").write_text("3")
    changed = fingerprint.code_digest(tmp_path)
    (tmp_path / "inner" / "b.py").rename(tmp_path / "c.py")
    assert len({first, changed, fingerprint.code_digest(tmp_path)}) == 3
