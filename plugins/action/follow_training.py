"""Follow a detached training: show its progress, copy its result, enforce its time limit."""

from __future__ import annotations

import base64
import json
import math
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

DOCUMENTATION = r"""
module: follow_training
short_description: Follow a detached training and show its progress
description:
  - Polls an asynchronous job over short sessions, so that timeouts of commands and connections do not affect the
    training. Shows its progress when it advances, and at least every 30 s, with the last known IC.
  - Shows EC2's announcement from C(spot_watch.py), and returns it as C(interruption). A training that then ends with
    exit code 75 was interrupted.
  - Copies the result file to the control node, also that of a failed training.
options:
  jid:
    description: Job id of the task started with C(async) and C(poll) 0.
    type: str
    required: true
  progress:
    description: Progress file on the instance, one JSON object a line.
    type: path
    required: true
  notice:
    description: Notice file of C(spot_watch.py) on the instance.
    type: path
    required: true
  result:
    description: Result file on the instance.
    type: path
    required: true
  dest:
    description: File on the control node that gets the result.
    type: path
    required: true
  limit:
    description: Time limit of the job in seconds, which C(spot_watch.py) enforces; for the message.
    type: int
    required: true
  every:
    description: Seconds between two checks.
    type: int
    default: 5
"""

# Time beyond the limit for the instance to stop the job and write its result.
GRACE_SECONDS = 120
# Exit codes of spot_watch.py.
INTERRUPTED = 75
OVER_LIMIT = 124
NOTICE_FIELDS = ("kind", "noticed_at", "reclaim_at")
SPOT = "spot"
MARK = "notice:"
# A terminal that is silent for longer looks dead.
SILENT_SECONDS = 30
# Lines of progress to read at a check; more than a training writes between two checks.
LINES = 40
# Fields that stay valid until a newer value.
LASTING = ("fold", "folds", "ic", "saved")
# Fields of a beat, a line that only shows that the training is alive.
PASSING = ("time", "beat", "elapsed", "remaining", "rss_mb")


@dataclass
class Look:
    """The state in the instance's files: the last line of progress, lasting fields of earlier lines, and the notice."""

    progress: dict[str, Any] = field(default_factory=dict)
    lasting: dict[str, Any] = field(default_factory=dict)
    notice: dict[str, Any] | None = None

    def read(self, text: str) -> None:
        """Update the state from lines of progress and, below a line ``MARK``, the notice."""
        lines = [line.strip() for line in text.splitlines()]
        mark = lines.index(MARK) if MARK in lines else len(lines)
        for facts in _objects(lines[:mark]):
            self.progress = facts
            self.lasting.update({name: facts[name] for name in LASTING if facts.get(name) is not None})
        for notice in _objects(lines[mark + 1 :]):
            self.notice = {name: notice.get(name) for name in NOTICE_FIELDS}

    @property
    def step(self) -> dict[str, Any]:
        """The last line without passing fields; it differs when the training has advanced."""
        return {name: value for name, value in self.progress.items() if name not in PASSING}

    @property
    def end(self) -> dict[str, Any] | None:
        """The notice, if EC2 takes the instance back."""
        return self.notice if self.notice is not None and self.notice["kind"] == SPOT else None


def _objects(lines: list[str]) -> Iterator[dict[str, Any]]:
    """The JSON objects in lines; skips other lines, for example truncated ones."""
    for line in lines:
        try:
            facts = json.loads(line)
        except ValueError:
            continue
        if isinstance(facts, dict):
            yield facts


def describe(facts: dict[str, Any], lasting: dict[str, Any] | None = None) -> str:
    """Format a progress line for people; ``lasting`` are fields of earlier lines.

    Omits fields that should be numbers and are not, as any project may have written the line.
    """
    known = {**(lasting or {}), **{name: value for name, value in facts.items() if value is not None}}
    parts = [str(facts.get("stage") or "")]
    if facts.get("fold") is not None:
        parts = [f"fold {facts['fold']} of {known.get('folds', '?')}"]
    elif lasting and lasting.get("fold") is not None:
        parts.append(f"fold {lasting['fold']} of {known.get('folds', '?')}")
    if facts.get("resumed"):
        parts.append("resumed")
    if _is_number(known.get("ic")):
        parts.append(f"{'IC' if facts.get('ic') is not None else 'last IC'} {known['ic']:+.4f}")
    for name, word in (("elapsed", "elapsed"), ("remaining", "left")):
        if _is_number(facts.get(name)):
            parts.append(f"{_clock(facts[name])} {word}")
    if _is_number(facts.get("rss_mb")):
        parts.append(f"{facts['rss_mb']:.0f} MB")
    return ", ".join(part for part in parts if part)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def announce(notice: dict[str, Any]) -> str:
    """Format a notice for people."""
    if notice["kind"] == SPOT:
        return f"EC2 takes the instance back at {notice['reclaim_at'] or 'an unknown time'}{_ahead(notice)}"
    return f"EC2 recommends rebalancing (noticed at {notice['noticed_at']}): an interruption is more likely; continuing"


def _ahead(notice: dict[str, Any]) -> str:
    """How long before the end the notice was seen; empty if unknown."""
    try:
        reclaim, noticed = (datetime.fromisoformat(notice[name]) for name in ("reclaim_at", "noticed_at"))
    except (TypeError, ValueError):
        return ""
    return f" (noticed {(reclaim - noticed).total_seconds():.0f} s before)"


def interrupted(notice: dict[str, Any], progress: dict[str, Any]) -> str:
    """Say why the training was interrupted, and how many folds are saved, if known."""
    kept = progress.get("saved")
    saved = f"; {kept} of {progress.get('folds', '?')} folds are saved" if isinstance(kept, int) else ""
    return f"interrupted: {announce(notice)}{saved}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


class Terminal:
    """Shows each step of the training, each notice once, and a line at least every SILENT_SECONDS."""

    def __init__(self, display: Callable[[str], None], every: float) -> None:
        """Start without output; ``display`` shows a line, ``every`` is the number of seconds between checks."""
        self._display = display
        self._every = every
        self._began = self._shown_at = time.monotonic()
        self._step: dict[str, Any] = {}
        self._progress: dict[str, Any] = {}
        self._notice: dict[str, Any] | None = None

    def show(self, look: Look) -> None:
        """Show what is new."""
        now = time.monotonic()
        # Before the silence is too long, not at the next check.
        silent = now - self._shown_at + self._every > SILENT_SECONDS
        if look.step != self._step or (silent and look.progress != self._progress):
            self._line(describe(look.progress, look.lasting), now)
        elif silent:
            # Nothing new but the time.
            step = look.step or {"stage": "training"}
            self._line(describe({**step, "elapsed": now - self._began}, look.lasting), now)
        self._step, self._progress = look.step, look.progress
        if look.notice is not None and look.notice != self._notice:
            self._line(announce(look.notice), now)
            self._notice = look.notice

    def _line(self, text: str, now: float) -> None:
        self._display(f"    {text}")
        self._shown_at = now


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    _VALID_ARGS = frozenset(("jid", "progress", "notice", "result", "dest", "limit", "every"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Poll until the job has ended; fail as it failed."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        look = Look()
        try:
            job = self._follow(look, task_vars or {})
            brought = self._bring(task_vars or {})
        except Exception as error:  # depends on the connection plugin
            if look.end is None:
                raise
            gone = f"; the instance no longer answers ({error})"
            message = interrupted(look.end, look.lasting) + gone
            return {**result, "failed": True, "msg": message, "interruption": look.end}
        output = {"stdout": job.get("stdout", ""), "stderr": job.get("stderr", ""), "rc": job.get("rc")}
        result.update(output, changed=False, interruption=look.notice)
        if job.get("rc") == INTERRUPTED and look.end is not None:
            result.update(failed=True, msg=interrupted(look.end, look.lasting))
        elif job.get("rc") == OVER_LIMIT:
            result.update(failed=True, msg=f"the training was ended at its limit of {self._task.args['limit']} s")
        elif job.get("rc") != 0:
            words = str(job.get("stderr") or job.get("msg") or job.get("stdout") or "").strip().splitlines()
            result.update(failed=True, msg=f"the training failed: {words[-1] if words else 'no output'}")
        elif not brought:
            result.update(failed=True, msg=f"the training left no result: {self._task.args['result']} cannot be read")
        return result

    def _follow(self, look: Look, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Show progress until the job has ended; return its result."""
        limit, every = int(self._task.args["limit"]), int(self._task.args.get("every", 5))
        terminal = Terminal(self._display.display, every)
        deadline = time.monotonic() + limit + GRACE_SECONDS
        while True:
            self._look(look, terminal)
            job = self._job(str(self._task.args["jid"]), task_vars)
            if job.get("finished"):
                self._look(look, terminal)
                return job
            if time.monotonic() > deadline:
                raise AnsibleActionFail(f"the training did not end within its limit of {limit} s")
            time.sleep(every)

    def _look(self, look: Look, terminal: Terminal) -> None:
        """Read the files of the instance, and show what is new."""
        progress, notice = (shlex.quote(str(self._task.args[name])) for name in ("progress", "notice"))
        answer = self._low_level_execute_command(
            f"tail -n {LINES} {progress} 2>/dev/null; echo; echo {MARK}; cat {notice} 2>/dev/null || true"
        )
        look.read(answer["stdout"])
        terminal.show(look)

    def _bring(self, task_vars: dict[str, Any]) -> bool:
        """Copy the result file to the control node; return whether it exists."""
        answer = self._execute_module(
            module_name="ansible.legacy.slurp", module_args={"src": self._task.args["result"]}, task_vars=task_vars
        )
        if answer.get("failed"):
            return False
        dest = Path(self._task.args["dest"])
        dest.write_bytes(base64.b64decode(answer["content"]))
        dest.chmod(0o640)
        return True

    def _job(self, jid: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        folder = self.get_shell_option("async_dir", default="~/.ansible_async")
        answer: dict[str, Any] = self._execute_module(
            module_name="ansible.legacy.async_status",
            module_args={"jid": jid, "mode": "status", "_async_dir": folder},
            task_vars=task_vars,
        )
        if answer.get("failed") and "rc" not in answer and "finished" not in answer:
            raise AnsibleActionFail(f"cannot read the status of the training: {answer.get('msg', 'no response')}")
        return answer
