"""Action plugin that shows the preflight's checks as a table and fails with the list of failed ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.spot_train.core.plugins.module_utils.checks.records import read_check, table, verdict
from ansible_collections.spot_train.core.plugins.module_utils.runs.files import write_atomically

DOCUMENTATION = r"""
module: preflight_verdict
short_description: Show the checks of the preflight and fail if any of them failed
description:
  - Shows a table, failures first, then warnings, then passes. Failures and warnings are shown in full, with their
    remedy; a passed check is one line, cut to the terminal's width.
  - Fails if any check failed, with a message that lists them all, in the words of the receipt and the report page.
  - A malformed record, or one with an unknown status, counts as failed. An empty list fails.
  - Runs on the control node and needs no connection.
options:
  checks:
    description:
      - The checks, each C({name, tier, group, status, detail, remedy, seconds}); C(status) is C(pass), C(warn) or
        C(fail).
    type: list
    elements: raw
    required: true
  title:
    description: The first line of the table.
    type: str
    default: Preflight
  dest:
    description: File on the control node that gets O(content), before the verdict.
    type: path
  content:
    description: The document with the checks.
    type: str
  symbols:
    description: Number of symbols checked, for the message of a preflight that passed.
    type: int
attributes:
  check_mode:
    support: full
"""

# Width of the table if the terminal's is unknown.
COLUMNS = 120


def terminal_width(columns: str, detected: int) -> int:
    """Choose the table's width: $COLUMNS if valid, else that of Display, which is 79 without a terminal."""
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    return detected if detected > 79 else COLUMNS


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    _VALID_ARGS = frozenset(("checks", "title", "dest", "content", "symbols"))
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Show the table and return the verdict."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "checks": {"type": "raw", "required": True},
                "title": {"type": "str", "default": "Preflight"},
                "dest": {"type": "path"},
                "content": {"type": "str"},
                "symbols": {"type": "int"},
            },
            required_together=[("dest", "content")],
        )
        if arguments["dest"] and not self._task.check_mode:
            try:
                write_atomically(Path(arguments["dest"]), arguments["content"], 0o640)
            except OSError as error:
                raise AnsibleActionFail(f"Cannot write {arguments['dest']}: {error.strerror}") from error
        if not isinstance(arguments["checks"], list):
            raise AnsibleActionFail("checks: expected a list of records")
        checks = [read_check(entry)[0] for entry in arguments["checks"]]
        colours = {"fail": constants.COLOR_ERROR, "warn": constants.COLOR_WARN}
        width = terminal_width(os.environ.get("COLUMNS", ""), int(self._display.columns or 0))
        for status, line in table(checks, arguments["title"], width):
            self._display.display(line, color=colours.get(status))
        passed, message = verdict(checks, arguments["symbols"])
        return {**result, "changed": False, "failed": not passed, "msg": message}
