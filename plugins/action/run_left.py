"""What a run left in its folder: what it was, how far it came, and whether anyone has reported on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

DOCUMENTATION = r"""
module: run_left
short_description: Read what a run left in its folder
description:
  - Reads C(run.json), C(attempts.json) and C(events.jsonl) of a run that has ended, or seems to have; changes nothing.
  - A missing or damaged file is as if there were nothing in it.
  - Runs on the controller and needs no connection.
options:
  run_dir:
    description: The folder of the run.
    type: path
    required: true
attributes:
  check_mode:
    support: full
"""

RETURN = r"""
run:
  description: The run, as its playbook knew it; empty where there is no such folder.
  returned: always
  type: dict
reported:
  description: Whether there is a receipt.
  returned: always
  type: bool
step:
  description: The last step that anything was recorded of; empty where there is none.
  returned: always
  type: str
attempts:
  description: The attempts of the run.
  returned: always
  type: list
  elements: dict
"""


def read_json(path: Path, kind: type) -> Any:
    """What a JSON file holds; an empty ``kind`` where it is missing, damaged or of another kind."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return kind()
    return found if isinstance(found, kind) else kind()


def last_step(path: Path) -> str:
    """The step of the last recorded event that has one; the last line may be cut off."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("step"):
            return str(event["step"])
    return ""


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("run_dir",))
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read the folder."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(argument_spec={"run_dir": {"type": "path", "required": True}})
        folder = Path(arguments["run_dir"]).absolute()
        run = read_json(folder / "run.json", dict)
        return {
            **result,
            "changed": False,
            "run": {**run, "run_dir": str(folder)} if run else {},
            "reported": (folder / "receipt.json").exists(),
            "step": last_step(folder / "events.jsonl"),
            "attempts": read_json(folder / "attempts.json", list),
        }
