"""The symbols that the universe is expected to hold: out of a file, or of the receipt of the last run that passed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

DOCUMENTATION = r"""
module: expected_symbols
short_description: Say which symbols the universe is expected to hold
description:
  - Runs on the controller. Returns RV(symbols), sorted, or an empty list where nothing is expected.
options:
  source:
    description:
      - V(last) for the symbols of the newest receipt in O(runs_dir) of a run that passed and asked the same, V(none) to
        expect nothing, else a file with one symbol a line; C(#) begins a comment.
    type: str
    required: true
  runs_dir:
    description: Folder with a folder for each run.
    type: path
    required: true
  same:
    description:
      - What the receipt's C(run) must say for its symbols to be those to expect, for example C(data_bucket). In a
        dictionary in it, likewise. What the receipt does not say is no difference.
    type: dict
    required: true
"""

RETURN = r"""
symbols:
  description: The symbols, sorted.
  returned: always
  type: list
  elements: str
origin:
  description: Where they come from, in words.
  returned: always
  type: str
"""


def from_file(path: Path) -> list[str]:
    """The symbols in a file.

    Raises:
        AnsibleActionFail: It cannot be read, or names none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AnsibleActionFail(f"preflight_expected_symbols: {path} cannot be read: {error}") from error
    symbols = sorted({symbol for line in lines if (symbol := line.partition("#")[0].strip())})
    if not symbols:
        raise AnsibleActionFail(f"preflight_expected_symbols: {path} names no symbol; say none to expect nothing")
    return symbols


def from_receipts(runs: Path, same: Mapping[str, Any]) -> tuple[list[str], str]:
    """The symbols that the newest run saw that passed and asked the same: the same data, by the same preflight.

    Returns:
        The symbols and the run's id; both empty where there is no such run.
    """
    for receipt in _receipts(runs):
        ages = (receipt.get("preflight") or {}).get("ages") or {}
        alike = _agrees(receipt.get("run"), same)
        if receipt.get("outcome") == "passed" and ages and alike and isinstance(ages, dict):
            return sorted(ages), str(receipt.get("run_id"))
    return [], ""


def _agrees(said: Any, wanted: Any) -> bool:
    """Whether a part of a receipt says what is wanted of it, or nothing."""
    if isinstance(wanted, Mapping) and isinstance(said, Mapping):
        return all(_agrees(said.get(name), value) for name, value in wanted.items())
    return said in (wanted, None)


def _receipts(runs: Path) -> Iterator[dict[str, Any]]:
    """Receipts, newest first: the id of a run begins with its time. What is none is passed over."""
    for path in sorted(runs.glob("*/receipt.json"), reverse=True):
        if path.parent.is_symlink():
            continue  # runs/latest
        try:
            receipt = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # cut short by a full disk, or somebody else's: it says nothing of the symbols
        if isinstance(receipt, dict):
            yield receipt


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("source", "runs_dir", "same"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look the symbols up."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        source, runs = str(self._task.args["source"]), Path(str(self._task.args["runs_dir"]))
        symbols: list[str] = []
        origin = "nothing is expected"
        if source == "last":
            symbols, run_id = from_receipts(runs, dict(self._task.args["same"]))
            origin = f"the receipt of run {run_id}" if run_id else "no earlier run that asked the same has passed"
        elif source != "none":
            symbols, origin = from_file(Path(source).expanduser()), source
        return {**result, "changed": False, "symbols": symbols, "origin": origin}
