# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The owner of the record of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.spot_train.core.plugins.module_utils.runs.files import write_atomically
from ansible_collections.spot_train.core.plugins.module_utils.runs.record import (
    ATTEMPTS_FILE,
    RUN_FILE,
    RunRecord,
    last_step,
    read_json,
)

DOCUMENTATION = r"""
module: run_record
short_description: Update the record of a run
description:
  - Owns the record of a run while it runs. Each event updates the record, writes C(attempts.json) in the folder of the
    run, and returns the record as the fact C(run_record).
  - Plays read C(hostvars.localhost.ansible_facts.run_record). From another host, delegate the task to localhost with
    C(delegate_facts).
  - Reads the variable C(run). Without C(run.run_dir), or in check mode, nothing is written.
options:
  event:
    description:
      - What happened. The record's fields and the arguments of each event are in
        C(plugins/module_utils/runs/record.py).
      - V(open) writes C(run.json) and starts a new record; V(read) reads the record of a run whose playbook has ended,
        from O(run_dir).
    type: str
    required: true
    choices: [open, read, check_account, digest, start_attempt, offers, launched, online, interruption, fate,
              finish_work, swept, end_attempt, fail, fail_end]
  run_dir:
    description: For V(read), the folder of the run.
    type: path
  data:
    description: Arguments of the event.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
"""

RETURN = r"""
run:
  description: By V(read), the run as its playbook knew it; empty if the folder has none.
  returned: read
  type: dict
reported:
  description: By V(read), whether the run has a receipt.
  returned: read
  type: bool
step:
  description: By V(read), the last step with a recorded event; empty without one.
  returned: read
  type: str
resumed:
  description: C({attempt, reason}) if the event decided that another attempt resumes the run.
  returned: when it does
  type: dict
"""

FACT = "run_record"
EVENTS = ("check_account", "start_attempt", "offers", "launched", "online", "interruption", "finish_work", "swept",
          "end_attempt", "fail", "fail_end")  # fmt: skip


def plain(value: Any) -> Any:
    """A copy of lazily templated data as plain JSON types."""
    return json.loads(json.dumps(value, default=lambda each: dict(each) if isinstance(each, Mapping) else str(each)))


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    _VALID_ARGS = frozenset(("event", "run_dir", "data"))
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Apply one event."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "event": {"type": "str", "required": True, "choices": ["open", "read", "digest", "fate", *EVENTS]},
                "run_dir": {"type": "path"},
                "data": {"type": "dict", "default": {}},
            },
            required_if=[("event", "read", ("run_dir",))],
        )
        event, data = arguments["event"], plain(arguments["data"])
        if event == "read":
            return {**result, "changed": False, **self._read(Path(arguments["run_dir"]).absolute())}
        variables = task_vars or {}
        folder = self._folder(variables)
        record = RunRecord() if event == "open" else self._known(variables)
        try:
            if event == "open" and folder is not None:
                text = json.dumps(self._run(variables), indent=4, sort_keys=True) + "\n"
                write_atomically(folder / RUN_FILE, text, 0o640)
            elif event in ("digest", "fate"):
                setattr(record, event, data)
            elif event in EVENTS:
                getattr(record, event)(**data)
            if folder is not None and folder.is_dir():
                record.save(folder)
        except (TypeError, KeyError, ValueError) as error:
            raise AnsibleActionFail(f"run_record {event}: {error}") from error
        except OSError as error:
            raise AnsibleActionFail(f"Cannot write {error.filename}: {error.strerror}") from error
        resumed = {"resumed": record.resumed} if event == "end_attempt" and record.resumed else {}
        return {**result, "changed": False, "ansible_facts": {FACT: record.as_fact()}, **resumed}

    def _run(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        run: dict[str, Any] = plain(self._templar.template(variables.get("run") or {}))
        return run

    def _folder(self, variables: Mapping[str, Any]) -> Path | None:
        """The folder to write to; None in check mode or without one."""
        folder = self._run(variables).get("run_dir")
        return Path(folder) if folder and not self._task.check_mode else None

    def _known(self, variables: Mapping[str, Any]) -> RunRecord:
        facts = variables["hostvars"]["localhost"].get("ansible_facts") or {}
        return RunRecord.of(plain(facts.get(FACT) or {}))

    def _read(self, folder: Path) -> dict[str, Any]:
        run = read_json(folder / RUN_FILE, dict)
        attempts = [
            each
            for each in read_json(folder / ATTEMPTS_FILE, list)
            if isinstance(each, dict) and isinstance(each.get("instance"), dict) and {"number", "cells"} <= each.keys()
        ]
        record = RunRecord(attempts=attempts)
        return {
            "run": {**run, "run_dir": str(folder)} if run else {},
            "reported": (folder / "receipt.json").exists(),
            "step": last_step(folder / "events.jsonl"),
            "ansible_facts": {FACT: record.as_fact()},
        }
