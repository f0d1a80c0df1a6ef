"""The look-up of the symbols that a universe is expected to hold."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return importlib.import_module("ansible_collections.spot_train.core.plugins.action.expected_symbols")


def receipt(runs: Path, run_id: str, symbols: list[str], outcome: str = "passed", **about: Any) -> None:
    folder = runs / run_id
    folder.mkdir()
    content = {
        "run_id": run_id,
        "outcome": outcome,
        "preflight": {"ages": dict.fromkeys(symbols, 0)},
        "run": {"data_bucket": "data", **about},
    }
    (folder / "receipt.json").write_text(json.dumps(content))


COMMAND = ["predictor", "preflight", "--data-bucket={data_bucket}"]
SAME = {
    "data_bucket": "data",
    "arctic_prefix": "arcticdb",
    "training_source": {"preflight_command": COMMAND, "config": ""},
}


def test_the_newest_run_that_passed_and_asked_the_same_is_asked(module: ModuleType, tmp_path: Path) -> None:
    receipt(tmp_path, "20260101T000000Z-aaaaaa", ["OLD"])
    here = {"preflight_command": COMMAND, "path": "here"}
    receipt(tmp_path, "20260102T000000Z-bbbbbb", ["B", "A"], training_source=here)
    receipt(tmp_path, "20260103T000000Z-cccccc", ["FAILED"], outcome="failed")
    receipt(tmp_path, "20260104T000000Z-dddddd", ["OTHER"], data_bucket="other")
    receipt(tmp_path, "20260105T000000Z-eeeeee", ["PREFIX"], arctic_prefix="other")
    another = {"preflight_command": ["practice", *COMMAND[1:]]}
    receipt(tmp_path, "20260105T000001Z-eeeeee", ["PROJECT"], training_source=another)
    configured = {"preflight_command": COMMAND, "config": "config/small.yaml"}
    receipt(tmp_path, "20260105T000002Z-eeeeee", ["CONFIGURATION"], training_source=configured)
    receipt(tmp_path, "20260106T000000Z-ffffff", [])
    (tmp_path / "20260107T000000Z-000000").mkdir()
    (tmp_path / "20260107T000000Z-000000" / "receipt.json").write_text("{cut sho")
    (tmp_path / "latest").symlink_to("20260106T000000Z-ffffff")

    assert module.from_receipts(tmp_path, SAME) == (["A", "B"], "20260102T000000Z-bbbbbb")


def test_without_such_a_run_nothing_is_expected(module: ModuleType, tmp_path: Path) -> None:
    assert module.from_receipts(tmp_path / "nowhere", SAME) == ([], "")


def test_a_file_has_one_symbol_a_line(module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "symbols.txt"
    path.write_text("# the universe\nKO\nAAPL  # fruit\n\nKO\n")

    assert module.from_file(path) == ["AAPL", "KO"]


@pytest.mark.parametrize(
    ("line", "symbol"),
    [
        ("ES#F", "ES#F"),
        ("ES#F # a future", "ES#F"),
        ("  #comment", ""),
        ('" padded "  # literally', " padded "),
        ('"#1"', "#1"),
        ("BRK B", "BRK B"),
        ("   ", ""),
    ],
)
def test_line_of_a_file_is_parsed(module: ModuleType, line: str, symbol: str) -> None:
    assert module.parse_line(line) == symbol


def test_byte_order_mark_is_no_part_of_a_symbol(module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "symbols.txt"
    path.write_text("KO\r\nAAPL\r\n", encoding="utf-8-sig")

    assert module.from_file(path) == ["AAPL", "KO"]


@pytest.mark.parametrize("text", [None, "# nothing\n"])
def test_a_file_that_names_none_is_an_error(module: ModuleType, tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "symbols.txt"
    if text is not None:
        path.write_text(text)

    with pytest.raises(AnsibleActionFail, match="preflight_expected_symbols"):
        module.from_file(path)
