"""Follow a detached training: show its progress at each look, return when it ends, bind its time limit."""

from __future__ import annotations

import json
import shlex
import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

DOCUMENTATION = r"""
module: follow_training
short_description: Follow a detached training and show its progress
description:
  - Polls an asynchronous job over short sessions, so that neither the time-out of a command nor that of a connection
    bears on the training, and shows the last line of its progress file each time it has changed.
options:
  jid:
    description: Job id of the task that was started with C(async) and C(poll) 0.
    type: str
    required: true
  progress:
    description: Progress file on the instance, one JSON object a line.
    type: path
    required: true
  limit:
    description: Seconds that the job may take. The instance ends it by itself; this says so.
    type: int
    required: true
  every:
    description: Seconds between two looks.
    type: int
    default: 5
"""

# What the instance gets beyond the limit to write down that it ended the job.
GRACE_SECONDS = 30


def describe(line: str) -> str:
    """One progress line as a person reads it; empty where it is none."""
    try:
        facts = json.loads(line)
    except ValueError:
        return ""
    parts = [str(facts.get("stage", ""))]
    if facts.get("fold"):
        parts = [f"fold {facts['fold']} of {facts.get('folds', '?')}"]
    if facts.get("ic") is not None:
        parts.append(f"IC {facts['ic']:+.4f}")
    for name, word in (("elapsed", "elapsed"), ("remaining", "left")):
        if facts.get(name) is not None:
            parts.append(f"{_clock(facts[name])} {word}")
    if facts.get("rss_mb") is not None:
        parts.append(f"{facts['rss_mb']:.0f} MB")
    return ", ".join(part for part in parts if part)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("jid", "progress", "limit", "every"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Poll until the job has ended; fail as it failed."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        limit, every = int(arguments["limit"]), int(arguments.get("every", 5))
        deadline = time.monotonic() + limit + GRACE_SECONDS
        shown = ""
        while True:
            shown = self._show(str(arguments["progress"]), shown)
            job = self._job(str(arguments["jid"]), task_vars or {})
            if job.get("finished"):
                break
            if time.monotonic() > deadline:
                raise AnsibleActionFail(f"the training did not end within its limit of {limit} s")
            time.sleep(every)
        self._show(str(arguments["progress"]), shown)
        if job.get("rc") != 0:
            words = str(job.get("stderr") or job.get("msg") or job.get("stdout") or "").strip().splitlines()
            detail = words[-1] if words else f"it was ended, most likely at its limit of {limit} s"
            return {**result, "failed": True, "msg": f"the training failed: {detail}", "rc": job.get("rc"),
                    "stdout": job.get("stdout", ""), "stderr": job.get("stderr", "")}  # fmt: skip
        return {**result, "changed": False, "stdout": job.get("stdout", ""), "stderr": job.get("stderr", "")}

    def _show(self, path: str, shown: str) -> str:
        answer = self._low_level_execute_command(f"tail -n 1 {shlex.quote(path)} 2>/dev/null || true")
        text = describe(answer["stdout"].strip())
        if text and text != shown:
            self._display.display(f"    {text}")
        return text or shown

    def _job(self, jid: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        folder = self.get_shell_option("async_dir", default="~/.ansible_async")
        answer: dict[str, Any] = self._execute_module(
            module_name="ansible.legacy.async_status",
            module_args={"jid": jid, "mode": "status", "_async_dir": folder},
            task_vars=task_vars,
        )
        if answer.get("failed") and "rc" not in answer and "finished" not in answer:
            raise AnsibleActionFail(f"cannot ask for the training: {answer.get('msg', 'no answer')}")
        return answer
