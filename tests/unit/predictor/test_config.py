from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from predictor.config import load, parse
from predictor.errors import ConfigError


def test_shipped_configuration_has_its_documented_values(default_settings: dict[str, Any]) -> None:
    config = parse(default_settings)

    assert (config.labels.horizon, config.labels.clip) == (21, 0.25)
    folds = config.walk_forward
    assert (folds.min_train_days, folds.test_days, folds.purge_days) == (504, 126, 21)
    assert (folds.min_train_rows, folds.min_test_rows) == (1000, 100)
    assert (config.meta.alpha, config.gates.median_ic.threshold, config.research.min_rows) == (1.0, 0.02, 100)
    barrier = config.gates.triple_barrier
    assert (barrier.days, barrier.ratio, barrier.min_pairs) == (42, 1.15, 100)
    blocking = {name: gate["blocking"] for name, gate in config.as_dict()["gates"].items()}
    assert [name for name, blocks in blocking.items() if blocks] == ["median_ic", "short_history", "beats_incumbent"]


@pytest.mark.parametrize("content", ["", "\n", "# only a comment\n", "{}", "---\n"])
def test_empty_file_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text(content)

    with pytest.raises(ConfigError, match=r"empty\.yaml is empty"):
        load(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: .*No such file"):
        load(tmp_path / "absent.yaml")


@pytest.mark.parametrize("content", [b"models: [a", b"\xff\xfe\x00"])
def test_invalid_yaml_is_a_one_line_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        load(path)

    assert "\n" not in str(caught.value)


def _set(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(settings: dict[str, Any]) -> None:
        for key in path[:-1]:
            settings = settings[key]
        settings[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("models", value=[]), "models: missing momentum, volatility, meta"),
        (_set("models", value=["magic"]), "models: expected momentum or volatility or research or meta, got 'magic'"),
        (_set("models", value=["momentum", "volatility", "meta", "meta"]), "models: expected each model once, got ["),
        (_set("models", value=["momentum"]), "models: missing volatility, meta; only research is optional"),
        (_set("models", value="momentum"), "models: expected a list, got 'momentum'"),
        (_set("modles", value=[]), "modles: unknown key, expected one of data, "),
        (_set("labels", "horizont", value=21), "labels.horizont: unknown key, expected one of horizon, clip"),
        (_set("labels", value=None), "labels: expected a mapping, got None"),
        (_set("labels", "horizon", value="21"), "labels.horizon: expected a whole number, got '21'"),
        (_set("labels", "horizon", value=True), "labels.horizon: expected a whole number, got True"),
        (_set("labels", "horizon", value=0), "labels.horizon: expected at least 1, got 0"),
        (_set("labels", "clip", value=0), "labels.clip: expected more than 0, got 0.0"),
        (_set("labels", "clip", value=float("nan")), "labels.clip: expected a finite number, got nan"),
        (_set("walk_forward", "purge_days", value=20), "purge_days: expected at least labels.horizon, 21, got 20"),
        (_set("data", "macro", value={"SPX": "maybe"}), "data.macro.SPX: expected fresh or historical, got 'maybe'"),
        (_set("data", "macro", value={False: "fresh"}), "data.macro: expected text, got False"),
        (_set("data", "last_rows", "known_jumps", value=[1]), "data.last_rows.known_jumps: expected text, got 1"),
        (_set("data", "calendar", value=""), "data.calendar: expected text, got ''"),
        (_set("data", "changed_since_preflight", value="ignore"), "expected note or fail, got 'ignore'"),
        (_set("gates", "sharpe", value={"blocking": True}), "gates.sharpe: unknown key, expected one of median_ic, "),
        (_set("gates", "median_ic", "blocking", value=1), "gates.median_ic.blocking: expected true or false, got 1"),
    ],
)
def test_invalid_value_is_named(
    settings: dict[str, Any], change: Callable[[dict[str, Any]], None], message: str
) -> None:
    change(settings)

    with pytest.raises(ConfigError) as caught:
        parse(settings)

    assert message in str(caught.value)


def test_missing_key_is_named(settings: dict[str, Any]) -> None:
    del settings["gates"]["median_ic"]

    with pytest.raises(ConfigError, match=r"^gates\.median_ic: missing$"):
        parse(settings)


def test_research_is_optional(settings: dict[str, Any]) -> None:
    settings["models"].remove("research")

    assert parse(settings).models == ["momentum", "volatility", "meta"]
