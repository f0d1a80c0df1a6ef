"""Find the symbols that the universe must hold, in a file or in the receipt of an earlier run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

DOCUMENTATION = r"""
module: expected_symbols
short_description: Find the symbols that the universe must hold
description:
  - Runs on the control node.
options:
  source:
    description:
      - V(last) for the symbols in the newest receipt in O(runs_dir) of a run that passed and matches O(same), V(none)
        for no expectation, else a file with one symbol a line.
      - In the file, C(#) starts a comment at the start of a line or after a space. A symbol in double quotes is taken
        literally, for example C(" #1 ").
    type: str
    required: true
  runs_dir:
    description: Folder that has a folder for each run.
    type: path
    required: true
  same:
    description:
      - Values that the receipt's C(run) must have, for example C(data_bucket). Nested dictionaries are compared in the
        same way. Values that the receipt does not have match.
    type: dict
    required: true
"""

RETURN = r"""
symbols:
  description: The symbols, sorted; empty for no expectation.
  returned: always
  type: list
  elements: str
origin:
  description: Their source, for people.
  returned: always
  type: str
"""


def from_file(path: Path) -> list[str]:
    """Read the symbols in a file; raise AnsibleActionFail if it cannot be read or has no symbols."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AnsibleActionFail(f"preflight_expected_symbols: cannot read {path}: {error}") from error
    symbols = sorted({symbol for line in lines if (symbol := parse_line(line))})
    if not symbols:
        raise AnsibleActionFail(f"preflight_expected_symbols: {path} has no symbols; use none for no expectation")
    return symbols


def parse_line(line: str) -> str:
    """Return the symbol in a line of a file; empty without one."""
    if quoted := re.fullmatch(r'\s*"(.*)"\s*(?:#.*)?', line):
        return quoted[1]
    return re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()


def from_receipts(runs: Path, same: Mapping[str, Any]) -> tuple[list[str], str]:
    """Return the symbols in the newest receipt of a run that passed and matches, and its id; or both empty."""
    for receipt in _receipts(runs):
        ages = (receipt.get("preflight") or {}).get("ages") or {}
        alike = _agrees(receipt.get("run"), same)
        if receipt.get("outcome") == "passed" and ages and alike and isinstance(ages, dict):
            return sorted(ages), str(receipt.get("run_id"))
    return [], ""


def _agrees(found: Any, wanted: Any) -> bool:
    """Whether a part of a receipt has the wanted value, or none."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(_agrees(found.get(name), value) for name, value in wanted.items())
    return found in (wanted, None)


def _receipts(runs: Path) -> Iterator[dict[str, Any]]:
    """The readable receipts, newest first: the id of a run starts with its time."""
    for path in sorted(runs.glob("*/receipt.json"), reverse=True):
        if path.parent.is_symlink():
            continue  # runs/latest
        try:
            receipt = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # truncated or foreign
        if isinstance(receipt, dict):
            yield receipt


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    _VALID_ARGS = frozenset(("source", "runs_dir", "same"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the symbols."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        source, runs = str(self._task.args["source"]), Path(str(self._task.args["runs_dir"]))
        symbols: list[str] = []
        origin = "no expectation"
        if source == "last":
            symbols, run_id = from_receipts(runs, dict(self._task.args["same"]))
            origin = f"the receipt of run {run_id}" if run_id else "no matching run has passed"
        elif source != "none":
            symbols, origin = from_file(Path(source).expanduser()), source
        return {**result, "changed": False, "symbols": symbols, "origin": origin}
