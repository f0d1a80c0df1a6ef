from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from predictor.config import load, parse
from predictor.errors import ConfigError


def test_the_shipped_configuration_has_the_origins_values(default_settings: dict[str, Any]) -> None:
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
def test_an_empty_file_is_an_error_and_does_not_train_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text(content)

    with pytest.raises(ConfigError, match="is empty: it would train nothing"):
        load(path)


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml does not exist"):
        load(tmp_path / "absent.yaml")


@pytest.mark.parametrize("content", [b"models: [a", b"\xff\xfe\x00"])
def test_a_file_that_is_no_yaml_is_one_line_of_error(tmp_path: Path, content: bytes) -> None:
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
        (_set("models", value=[]), "models is empty"),
        (_set("models", value=["momentum", "volatility", "meta", "magic"]), "unknown model 'magic'"),
        (_set("models", value=["momentum", "volatility", "meta", "meta"]), "twice"),
        (_set("models", value=["momentum"]), "models lacks volatility, meta"),
        (_set("models", value="momentum"), "models must be a list of names"),
        (_set("modles", value=[]), "unknown key 'modles' in the file"),
        (_set("labels", "horizont", value=21), "unknown key 'horizont' in labels"),
        (_set("labels", value=None), "labels must be a mapping, is empty"),
        (_set("labels", "horizon", value="21"), "labels.horizon must be of type int, is str"),
        (_set("labels", "horizon", value=True), "labels.horizon must be of type int, is bool"),
        (_set("labels", "horizon", value=0), "labels.horizon is 0, must be at least 1"),
        (_set("labels", "clip", value=0), "labels.clip is 0.0, must be above 0"),
        (_set("labels", "clip", value=float("nan")), "labels.clip must be finite"),
        (_set("walk_forward", "purge_days", value=20), "purge_days 20 is below labels.horizon 21"),
        (_set("data", "macro", value={"SPX": "maybe"}), "data.macro.SPX is 'maybe'"),
        (_set("data", "calendar", value=""), "data.calendar is empty"),
        (_set("data", "changed_since_preflight", value="ignore"), "'ignore', allowed are note, fail"),
        (_set("gates", "sharpe", value={"blocking": True}), "unknown key 'sharpe' in gates, known are median_ic"),
        (_set("gates", "median_ic", "blocking", value=1), "gates.median_ic.blocking must be of type bool, is int"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(
    settings: dict[str, Any], change: Callable[[dict[str, Any]], None], message: str
) -> None:
    change(settings)

    with pytest.raises(ConfigError) as caught:
        parse(settings)

    assert message in str(caught.value)


def test_a_missing_key_is_named(settings: dict[str, Any]) -> None:
    del settings["gates"]["median_ic"]

    with pytest.raises(ConfigError, match="gates lacks median_ic"):
        parse(settings)


def test_research_may_be_left_out(settings: dict[str, Any]) -> None:
    settings["models"].remove("research")

    assert parse(settings).models == ["momentum", "volatility", "meta"]
