"""The placeholders in the commands of a training source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.spot_train.core.plugins.module_utils.inputs import placeholders as run_placeholders
from ansible_collections.spot_train.core.plugins.module_utils.inputs.placeholders import COMMON, TRAINING, fill, unknown

ROOT = Path(__file__).resolve().parents[3]
VALUES = {"data_bucket": "prices", "run_date": "2022-12-29", "training_seconds": 5400, "revision": ""}


@pytest.mark.parametrize(
    ("arguments", "filled"),
    [
        (["trainer", "--bucket", "{data_bucket}"], ["trainer", "--bucket", "prices"]),
        (["trainer", "--at={data_bucket}/{run_date}/x"], ["trainer", "--at=prices/2022-12-29/x"]),
        (["trainer", "{training_seconds}", "{revision}"], ["trainer", "5400", ""]),
        (["trainer", '{"a": {"b": 1}}', "{}", "{0}", "{ data_bucket }"],
         ["trainer", '{"a": {"b": 1}}', "{}", "{0}", "{ data_bucket }"]),
        (["trainer", "{{data_bucket}}"], ["trainer", "{prices}"]),
    ],
)  # fmt: skip
def test_fills_each_argument_separately(arguments: list[str], filled: list[str]) -> None:
    assert fill(arguments, VALUES) == filled


def test_fills_values_verbatim() -> None:
    assert fill(["x", "{a}"], {"a": "two words; {b} \\1 $HOME", "b": "never"}) == ["x", "two words; {b} \\1 $HOME"]


@pytest.mark.parametrize(
    ("program", "started"),
    [("trainer", "/venv/bin/trainer"), ("/usr/bin/env", "/usr/bin/env"), ("{source}/go.sh", "/opt/source/go.sh")],
)
def test_program_without_folder_is_from_environment(program: str, started: str) -> None:
    assert fill([program, "-v"], {"source": "/opt/source"}, "/venv/bin") == [started, "-v"]


def test_unknown_placeholder_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"unknown placeholder \{bucket\} \(expected one of data_bucket, revision"):
        fill(["trainer", "{bucket}"], VALUES)
    with pytest.raises(ValueError, match="the command is empty"):
        fill([], VALUES)


def test_unknown_placeholders_are_listed_once_in_order() -> None:
    assert unknown(["{b}{data_bucket}", "{a}", "{b}"], VALUES) == ["b", "a"]


@pytest.mark.parametrize(
    ("role", "names"), [("preflight", COMMON.keys()), ("training", COMMON.keys() | TRAINING.keys())]
)
def test_role_fills_every_accepted_placeholder(role: str, names: set[str]) -> None:
    path = ROOT / "roles" / role / "tasks" / {"preflight": "main.yml", "training": "step.yml"}[role]
    (values,) = _find(yaml.safe_load(path.read_text()), f"__{role}_values")

    assert values.keys() == names


def _find(node: object, name: str) -> list[dict[str, str]]:
    """Return every mapping of this name in a document, each once."""
    if isinstance(node, list):
        return list({id(one): one for entry in node for one in _find(entry, name)}.values())
    if not isinstance(node, dict):
        return []
    own = [node[name]] if name in node else []
    return list({id(one): one for one in own + [f for entry in node.values() for f in _find(entry, name)]}.values())


def test_documented_placeholders_are_the_known_ones() -> None:
    page = (ROOT / "docs" / "bring-your-own.md").read_text()
    table = page.partition("## Placeholders")[2].partition("\n## ")[0]

    rows = dict(re.findall(r"^\| `\{(\w+)\}` \| (.+?) \|", table, flags=re.MULTILINE))
    assert rows == {**run_placeholders.COMMON, **run_placeholders.TRAINING}
