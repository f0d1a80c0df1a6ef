"""The conversion of values to the types in argument specs."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.inputs.values import (
    InputError,
    check_date,
    convert,
    known_inputs,
    known_of,
)

ROLES = Path(__file__).resolve().parents[3] / "roles"
MARKETS = {"type": "list", "elements": "str", "choices": ["spot", "on-demand"]}
SOURCE = {
    "type": "dict",
    "options": {
        "path": {"type": "path"},
        "ref": {},
        "lock": {"required": True, "description": ["Lock file. With hashes."]},
        "imports": {"type": "list", "elements": "str", "default": []},
        "retries": {"type": "int"},
    },
}


@pytest.mark.parametrize(
    ("spec", "value", "converted"),
    [
        ({"type": "int"}, "5400", 5400),
        ({"type": "int"}, 1, 1),
        ({"type": "float"}, "0.5", 0.5),
        ({"type": "float"}, 2, 2.0),
        ({"type": "bool"}, "Yes", True),
        ({"type": "bool"}, "false", False),
        ({}, 312, "312"),
        ({}, dt.date(2022, 12, 29), "2022-12-29"),
        ({"type": "raw"}, None, None),
        ({"type": "raw"}, 0.1, 0.1),
        ({"type": "path"}, "~/runs", str(Path.home() / "runs")),
        (MARKETS, ["spot"], ["spot"]),
        (MARKETS, [], []),
        ({"type": "list", "elements": "int"}, ["1", 2], [1, 2]),
        ({"type": "list", "elements": "list"}, [[]], [[]]),
        ({"type": "list", "elements": "dict", "options": {"port": {"type": "int"}}}, [{"port": "25"}], [{"port": 25}]),
        (SOURCE, {"lock": "l", "retries": "2", "ref": None}, {"lock": "l", "imports": [], "retries": 2}),
    ],
)
def test_value_becomes_declared_type(spec: dict[str, Any], value: Any, converted: Any) -> None:
    found = convert("x", value, spec)

    assert (found, type(found)) == (converted, type(converted))


@pytest.mark.parametrize(
    ("spec", "value", "words"),
    [
        ({"type": "bool"}, "maybe", "x: expected true or false, got 'maybe'"),
        ({"type": "bool"}, 1, "x: expected true or false, got the number 1"),
        ({"type": "int"}, True, "x: expected a whole number, got true"),
        ({"type": "int"}, 1.5, "x: expected a whole number, got the number 1.5"),
        ({"type": "int"}, "²", "x: expected a whole number, got '²'"),
        ({"type": "int"}, "9" * 5000, f"x: expected a whole number of at most 15 digits, got '{'9' * 60}…'"),
        ({"type": "int"}, 10**4000, "x: expected a whole number of at most 15 digits, got a number of more than 15"),
        ({"type": "float"}, "nan", "x: expected a number, got 'nan'"),
        ({"type": "float"}, 10**4000, "x: expected a number, got a number of more than 15 digits"),
        ({"choices": ["both", "full", "smoke"]}, "fast", "x: expected both, full or smoke, got 'fast'"),
        ({}, 2024.10, "x: expected text, got the number 2024.1: put it in quotes"),
        ({}, True, "x: expected text, got true: put it in quotes"),
        ({}, None, "x: expected text, got null"),
        ({}, "a\0b", r"x: expected text without NUL characters, got 'a\x00b'"),
        ({}, "\udce9", r"x: expected valid Unicode, got '\udce9'"),
        ({"type": "raw"}, [{"a": "\0"}], r"x: expected text without NUL characters, got '\x00'"),
        ({"type": "path"}, "/a" * 3000, "x: expected a path of at most 4096 bytes, got '/a/a"),
        ({"type": "path"}, "ä" * 128, "x: expected a path whose components have at most 255 bytes, got 'ä"),
        ({"type": "path"}, "~no-such-user/x", "x: expected a path below the home of a known user, got '~no-such"),
        (
            MARKETS,
            "spot",
            """x: expected a list, got 'spot': use JSON (-e '{"x": ["…"]}') or a file (-e @inputs.yml)""",
        ),
        (MARKETS, None, "x: expected a list, got null"),
        (MARKETS, ["spot", "barter"], "x[1]: expected spot or on-demand, got 'barter'"),
        (SOURCE, "somewhere", "x: expected a mapping, got 'somewhere': use JSON"),
        (SOURCE, {"lock": "l", "imports": "m"}, "x.imports: expected a list, got 'm': use JSON or a file"),
        (SOURCE, {"lock": "l", "imports": [["m"]]}, "x.imports[0]: expected text, got a list"),
        (SOURCE, {"lock": "l", "ref": 2024.10}, "x.ref: expected text, got the number 2024.1: put it in quotes"),
        (SOURCE, {"lok": "l"}, "unknown input 'x.lok' (did you mean 'lock')"),
        (SOURCE, {1: "l"}, "unknown input 'x.1' (expected path, ref, lock, imports or retries)"),
        (SOURCE, {"lock": ""}, "x.lock is not set: Lock file"),
    ],
)
def test_wrong_value_is_one_line(spec: dict[str, Any], value: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        convert("x", value, spec)

    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("value", [0, -5, "0", "-5"])
@pytest.mark.parametrize(("kind", "words"), [("int", "a whole number"), ("float", "a number")])
def test_counts_are_above_zero(kind: str, words: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"^training_full_seconds: expected {words} above 0, got "):
        convert("training_full_seconds", value, {"type": kind})


@pytest.mark.parametrize("value", ["hunter2", ["hunter2"], 12345.5])
@pytest.mark.parametrize("kind", ["bool", "int", "path", "dict", "str"])
def test_secret_is_not_in_messages(kind: str, value: Any) -> None:
    spec = {"type": kind, "no_log": True, "choices": ["x"], "options": {"a": {}}}

    with pytest.raises(InputError) as caught:
        convert("x", value, spec)

    assert "hunter2" not in str(caught.value)
    assert "12345" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("int", "30", "x: expected a whole number, got '30': remove the quotes (in a template, add | int)"),
        ("bool", "true", "x: expected true or false, got 'true': remove the quotes (in a template, add | bool)"),
        ("str", 2024, "x: expected text, got the number 2024: put it in quotes"),
    ],
)
def test_value_of_group_vars_must_have_its_type(kind: str, value: Any, words: str) -> None:
    spec = {"type": kind, "typed": True}

    with pytest.raises(InputError) as caught:
        convert("x", value, spec)
    assert str(caught.value) == words
    with pytest.raises(InputError, match=r"^x\[0\]: "):
        convert("x", [value], {"type": "list", "elements": kind, "typed": True})
    assert convert("x", convert("x", value, {"type": kind}), spec) == convert("x", value, {"type": kind})


@pytest.mark.parametrize("text", ["2022-02-30", "30.12.2022", "20221230", "٢٠٢٢-١٢-٣٠", "2022-12-30\n"])
def test_date_is_iso(text: str) -> None:
    with pytest.raises(InputError, match=r"^x: expected a date \(YYYY-MM-DD\), got "):
        check_date("x", text)
    assert check_date("x", "2022-12-30") == "2022-12-30"


def test_every_default_of_a_number_is_valid() -> None:
    every = known_inputs(ROLES, known_of(ROLES / "run_open"), without=())
    numbers = {
        name: spec["default"]
        for name, spec in every.items()
        if spec.get("type") in ("int", "float") and "default" in spec
    }
    assert len(numbers) > 10
    for name, default in numbers.items():
        assert "{{" in str(default) or convert(name, default, every[name]) == default


def test_run_takes_no_input_of_set_up() -> None:
    of_a_run, every = (
        known_inputs(ROLES, known_of(ROLES / "run_open"), **more).keys() for more in ({}, {"without": ()})
    )
    assert {name.partition("_")[0] for name in every - of_a_run} == {"aws", "awx"}
    assert {"aws_region", "data_bucket", "training_full_seconds"} <= of_a_run
