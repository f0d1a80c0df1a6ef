"""What the gates take for a value, whoever gave it: from text to its type, once."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.inputs.values import (
    InputError,
    convert,
    known_inputs,
    known_of,
)

from tests.unit.terminal.conftest import ROOT

ROLES = ROOT / "roles"


@pytest.mark.parametrize(
    ("kind", "value", "converted"),
    [
        ("int", "5400", 5400),
        ("int", 1, 1),
        ("float", "0.5", 0.5),
        ("bool", "Yes", True),
        ("str", 3.12, "3.12"),
        ("raw", None, None),
    ],
)
def test_text_becomes_what_the_input_is(kind: str, value: Any, converted: Any) -> None:
    assert convert("x", value, {"type": kind}) == converted


@pytest.mark.parametrize("value", [0, -5, "0", "-5"])
@pytest.mark.parametrize("kind", ["int", "float"])
def test_of_nothing_that_is_counted_there_is_zero_or_less(kind: str, value: Any) -> None:
    with pytest.raises(InputError, match=r"^training_full_seconds=.*\d'? is too small: it must be above 0$"):
        convert("training_full_seconds", value, {"type": kind})


def test_a_number_that_is_none_is_not_above_zero() -> None:
    with pytest.raises(InputError, match="too small"):
        convert("x", "nan", {"type": "float"})


def test_every_default_of_a_number_is_one_that_could_be_given() -> None:
    every = known_inputs(ROLES, known_of(ROLES / "run_open"), without=())
    numbers = {
        name: spec["default"]
        for name, spec in every.items()
        if spec.get("type") in ("int", "float") and "default" in spec
    }
    assert len(numbers) > 10
    for name, default in numbers.items():
        assert "{{" in str(default) or convert(name, default, every[name]) == default


def test_a_run_takes_no_input_of_what_is_played_once() -> None:
    of_a_run, every = (
        known_inputs(ROLES, known_of(ROLES / "run_open"), **more).keys() for more in ({}, {"without": ()})
    )
    assert {name.partition("_")[0] for name in every - of_a_run} == {"aws", "awx"}
    assert {"aws_region", "data_bucket", "training_full_seconds"} <= of_a_run
