"""Start and stop the watchdog of a run, a process outside the playbook."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.spot_train.core.plugins.module_utils.runs.watchdog import start_time

DOCUMENTATION = r"""
module: watchdog
short_description: Start or stop the watchdog of a run
description:
  - V(started) starts a process in a separate session that waits for the end of this C(ansible-playbook). If the run is
    not closed by then, for example because a signal killed the playbook, it removes all resources with the tags of the
    run, and C(playbooks/terminate.yml) writes receipt and report. Its log is C(watchdog.log) in the folder of the run.
  - The process also terminates SSM sessions without activity for twice C(ansible_aws_ssm_timeout), for which the
    connection plugin, and so the playbook, would wait forever.
  - V(closed) marks the run as closed and stops the process.
  - Reads the fact C(run). The process does not outlive its machine or container.
options:
  state:
    description: Whether to start or to stop the watchdog.
    type: str
    choices: [started, closed]
    required: true
attributes:
  check_mode:
    support: none
"""

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = "ansible_collections.spot_train.core.plugins.module_utils.runs.watchdog"
START_SECONDS = 30.0
SSM_TIMEOUT = 60
"""Default of amazon.aws.aws_ssm, seconds."""


def collections_root() -> Path:
    """The folder whose ``ansible_collections`` has this collection."""
    parents = Path(__file__).absolute().parents
    return next((folder.parent for folder in parents if folder.name == "ansible_collections"), PROJECT / "collections")


def main_process() -> int:
    """The process id of ``ansible-playbook`` itself; an action runs in a worker that it forked."""
    parent = multiprocessing.parent_process()
    return os.getpid() if parent is None or parent.pid is None else parent.pid


def report_command(run: Mapping[str, Any]) -> list[str]:
    """The command that terminates and reports a run, with the inventory and the secrets of this playbook."""
    command = [sys.executable, "-m", "ansible", "playbook", str(PROJECT / "playbooks" / "terminate.yml")]
    for source in context.CLIARGS.get("inventory") or ():
        command += ["-i", source]
    for secret in context.CLIARGS.get("vault_ids") or ():
        command += ["--vault-id", secret]
    names = ("run_id", "runs_dir", "project", "aws_region", "transport_bucket")
    given = {**{name: run[name] for name in names}, "run_ended_by": "the watchdog"}
    return [*command, "-e", json.dumps(given)]


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    _VALID_ARGS = frozenset(("state",))
    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Start or stop the watchdog."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={"state": {"type": "str", "choices": ["started", "closed"], "required": True}}
        )
        variables = task_vars or {}
        run = self._templar.template(variables.get("run") or {})
        if not run.get("run_dir"):
            raise AnsibleActionFail("watchdog: expected the fact run with run_dir")
        folder = Path(run["run_dir"])
        if arguments["state"] == "closed":
            self._close(folder)
            return {**result, "changed": True}
        at_most = int(self._templar.template(variables.get("spot_instance_end_at_most", 3)))
        patience = 2 * float(self._templar.template(variables.get("ansible_aws_ssm_timeout", SSM_TIMEOUT)))
        return {**result, "changed": True, "pid": self._start(folder, run, at_most, patience), "run_dir": str(folder)}

    def _start(self, folder: Path, run: Mapping[str, Any], at_most: int, session_seconds: float) -> int:
        """Start the program and wait until it watches; return its process id."""
        pid = main_process()
        settings = {
            "pid": pid,
            "started": start_time(pid),
            "run_dir": str(folder),
            "region": run["region"],
            "wanted": {
                "project": run["project"],
                "run_id": run["run_id"],
                "transport_bucket": run["transport_bucket"],
                "at_most": at_most,
                "wait_seconds": 60,
            },
            "report_command": report_command(run),
            "config": constants.CONFIG_FILE,
            "session_seconds": session_seconds,
        }
        search_path = os.pathsep.join(filter(None, [str(collections_root()), os.environ.get("PYTHONPATH")]))
        log = folder / "watchdog.log"
        with log.open("ab") as output:
            watchdog = subprocess.Popen(
                [sys.executable, "-m", PROGRAM, json.dumps(settings)],
                env={**os.environ, "PYTHONPATH": search_path},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        (folder / "watchdog.pid").write_text(str(watchdog.pid))
        deadline = time.monotonic() + START_SECONDS
        while "watching" not in (output_so_far := log.read_text(errors="replace")):
            if watchdog.poll() is not None or time.monotonic() > deadline:
                last = (output_so_far.strip().splitlines() or ["no output"])[-1]
                watchdog.kill()
                raise AnsibleActionFail(
                    f"The watchdog of the run did not start: {last}. See {log}; disable it with -e run_watchdog=false"
                )
            time.sleep(0.05)
        return watchdog.pid

    def _close(self, folder: Path) -> None:
        """Mark the run as closed and stop its watchdog."""
        (folder / "closed").touch()
        try:
            pid = int((folder / "watchdog.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        except (OSError, ValueError):
            return  # not started, or a system without /proc: it sees the mark when the playbook ends
        if PROGRAM in command and str(folder) in command:
            os.kill(pid, signal.SIGTERM)
