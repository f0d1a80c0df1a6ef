# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Callback that records a run: one JSON line an event, and a readable log a step, in the run's folder."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from ansible import constants, context
from ansible.plugins.callback import CallbackBase
from ansible_collections.spot_train.core.plugins.module_utils.runs.tasks import (
    attempt_of,
    clean,
    enclosing_blocks,
    item_prefix,
    message_of,
    rescuer_of,
    step_of,
)

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook import Playbook
    from ansible.playbook.play import Play
    from ansible.playbook.task import Task

DOCUMENTATION = """
name: run_events
type: notification
short_description: Record the events of a training run
description:
  - Waits for the first task on the controller that returns C(ansible_facts.run) with C(run_id) and C(run_dir), and then
    appends everything that happened, from the start of the playbook on, to C(<run_dir>/events.jsonl).
  - Writes what each step's tasks said to C(<run_dir>/logs/<step>.log).
  - The step of a task is the variable C(run_step) set on the task, its block or its include; without it, the task's
    role decides.
  - The attempt of a task is the variable C(run_attempt), set in the same places or on the play.
  - A task on the controller that returns C(ansible_facts.run_resumes), C({attempt, reason}), tells that the run goes on
    from an attempt that lost its instance. It is recorded as an event of its own, C(attempt_resumed).
  - Records nothing in check mode, and nothing of a result that C(no_log) hides.
  - A record that cannot be written costs one warning, never the run.
requirements:
  - enable in configuration (C(callbacks_enabled = run_events))
"""

#: Longest message kept in an event; the step's log has the whole of it.
LONGEST_MESSAGE = 4000


def now() -> str:
    """Return the time as ISO 8601 in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def on_controller(result: CallbackTaskResult) -> bool:
    """Say whether a task ran on the controller, for the controller: an instance is not to be believed about a run."""
    return {result.host.get_name(), result.task.delegate_to or "localhost"} <= set(constants.LOCALHOST)


class Recorder:
    """Keeps events until the run's folder is known, then appends them there.

    Every line is one ``write`` to a file opened for appending, so a reader or a second playbook on the same run never
    sees or makes half a line, short of a full disk.
    """

    def __init__(self) -> None:
        """Start with nothing recorded and nowhere to record it."""
        self.folder: Path | None = None
        self._waiting: list[tuple[str, str]] = []

    def record(self, event: Mapping[str, Any]) -> None:
        """Append an event.

        Raises:
            OSError: the record cannot be written.
        """
        self._append("events.jsonl", json.dumps(event, ensure_ascii=False, default=str) + "\n")

    def log(self, step: str | None, text: str) -> None:
        """Append text to a step's log; tasks outside every step share ``playbook.log``.

        Raises:
            OSError: the log cannot be written.
        """
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", step or "").strip("-") or "playbook"
        self._append(f"logs/{name}.log", text)

    def settle(self, folder: Path) -> None:
        """Take ``folder`` as the run's and write there what has been waiting.

        Raises:
            OSError: the folder cannot be made or written.
        """
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        self.folder = folder
        waiting, self._waiting = self._waiting, []
        for name, text in waiting:
            self._append(name, text)

    def _append(self, name: str, text: str) -> None:
        """Append to a file of the run, or keep the text until there is one."""
        if self.folder is None:
            self._waiting.append((name, text))
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self.folder / name, flags, 0o644)
        try:
            rest = memoryview(text.encode("utf-8", errors="replace"))
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core is not typed
    """Record what happens in a run as it happens."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "run_events"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Start with an empty record."""
        super().__init__(*args, **kwargs)
        self._recorder = Recorder()
        self._play = ""
        self._play_variables: Mapping[str, Any] = {}
        self._begun: dict[str, float] = {}
        self._failed_items: dict[tuple[str, str], str] = {}
        self._broken = bool(context.CLIARGS.get("check"))

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        """Begin a record: each playbook of one command line finds its own run."""
        self._recorder = Recorder()
        self._begun.clear()
        self._failed_items.clear()
        self._write({"event": "playbook_started", "playbook": Path(str(playbook._file_name)).name})

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Record the start of a play."""
        self._play = play.get_name().strip()
        self._play_variables = play.get_vars()
        self._write({"event": "play_started", "play": self._play})

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:
        """Record the start of a task, and put its name into the step's log."""
        self._begun[task._uuid] = monotonic()
        event = {"event": "task_started", **self._place(task)}
        path = task.get_path() or ""
        source = "/".join(path.split("/")[-3:])
        self._write(event, log=f"\n{now()}  {event['task']}" + (f"  ({source})" if source else "") + "\n")

    def v2_playbook_on_handler_task_start(self, task: Task) -> None:
        """Record the start of a handler."""
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Record a success; the first one that names the run tells where the record goes."""
        self._find_run(result)
        self._finished(result, "task_changed" if result.is_changed() else "task_ok")
        self._note_resumption(result)

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        """Record a skipped task."""
        self._finished(result, "task_skipped")

    def v2_runner_item_on_failed(self, result: CallbackTaskResult) -> None:
        """Keep what the first failed item of a loop said: the loop itself only says that some item failed."""
        place = (result.task._uuid, result.host.get_name())
        self._failed_items.setdefault(place, item_prefix(result.result) + message_of(result.result, failed=True))

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Record a failure, and whether anything in the playbook handles it."""
        rescuer = rescuer_of(result.task)
        self._finished(
            result,
            "task_failed",
            ignored=bool(ignore_errors),
            rescued=rescuer is not None,
            # A role that rescues its own failure deals with it; a playbook that does so is on its way to terminate.
            recovered=rescuer is not None and getattr(rescuer, "_role", None) is not None,
        )

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """Record that a host cannot be reached."""
        # `ignore_unreachable` on a play keeps it going towards termination: the failure still is one. Nor does any
        # `rescue` see an unreachable host.
        self._finished(result, "task_unreachable", ignored=False, rescued=False, recovered=False)

    def v2_runner_retry(self, result: CallbackTaskResult) -> None:
        """Put a retry into the log: a step that waits shows that it does."""
        attempts = result.result.get("attempts")
        self._write(None, log=f"  … not yet (attempt {attempts})\n", task=result.task)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Record the end of the playbook with the count of each host."""
        hosts = {host: stats.summarize(host) for host in sorted(stats.processed)}
        self._write({"event": "playbook_finished", "hosts": hosts})

    def _find_run(self, result: CallbackTaskResult) -> None:
        """Take the run's folder from the facts of a task that ran on the controller."""
        if self._recorder.folder is not None or self._broken:
            return
        facts = result.result.get("ansible_facts")
        run = facts.get("run") if isinstance(facts, Mapping) else None
        if not isinstance(run, Mapping) or not run.get("run_id") or not run.get("run_dir"):
            return
        if not on_controller(result):
            return
        try:
            self._recorder.settle(Path(str(run["run_dir"])).expanduser().absolute())
        except OSError as error:
            self._give_up(error)

    def _note_resumption(self, result: CallbackTaskResult) -> None:
        """Record that the run goes on from an attempt that lost its instance."""
        facts = result.result.get("ansible_facts")
        told = facts.get("run_resumes") if isinstance(facts, Mapping) else None
        if isinstance(told, Mapping) and str(told.get("attempt")).isdecimal() and on_controller(result):
            reason = clean(told.get("reason") or "")[:LONGEST_MESSAGE]
            self._write({"event": "attempt_resumed", "attempt": int(told["attempt"]), "reason": reason})

    def _place(self, task: Task) -> dict[str, Any]:
        """Say where a task stands: play, role, step, name, and whether it handles an earlier failure."""
        role = getattr(task, "_role", None)
        return {
            "play": self._play,
            "role": str(role.get_name()) if role is not None else None,
            "step": step_of(task),
            "attempt": attempt_of(task, self._play_variables),
            "task": clean(task.name or task.get_name()),
            "handling": any(section != "block" for _, section in enclosing_blocks(task)),
        }

    def _finished(self, result: CallbackTaskResult, kind: str, **more: object) -> None:
        """Record the end of a task on one host, in the events and in the step's log."""
        task = result.task
        begun = self._begun.get(task._uuid)
        seconds = None if begun is None else round(monotonic() - begun, 3)
        host = result.host.get_name()
        target = task.delegate_to or host
        failed = kind in ("task_failed", "task_unreachable")
        message = message_of(result.result, failed) if kind != "task_skipped" else ""
        if failed and "censored" not in result.result:
            message = self._failed_items.pop((task._uuid, host), message)
        event = {
            "event": kind,
            **self._place(task),
            "host": host,
            **({"delegated_to": str(target)} if target != host else {}),
            "seconds": seconds,
            "msg": message[:LONGEST_MESSAGE],
            "ignored": False,
            "rescued": False,
            **more,
        }
        word = kind.removeprefix("task_") + (" (ignored)" if more.get("ignored") else "")
        taken = "" if seconds is None else f" after {seconds:.1f} s"
        self._write(event, log=f"  {word} on {target}{taken}\n{_details(result.result, message)}", task=task)

    def _write(self, event: dict[str, Any] | None, log: str = "", task: Task | None = None) -> None:
        """Write an event and a piece of log; on an error warn once and record no more."""
        if self._broken:
            return
        step = step_of(task) if task is not None else (event or {}).get("step")
        try:
            if event is not None:
                self._recorder.record({"time": now(), **event})
            if log:
                self._recorder.log(step, log)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Warn that the run goes on without a record."""
        self._broken = True
        self._display.warning(f"The run goes on, but its events are no longer recorded: {error}")


def _details(result: Mapping[str, Any], message: str) -> str:
    """Lay out what a task said for the step's log: the message, and the output of commands item by item."""
    if "censored" in result and not isinstance(result.get("results"), list):
        return _indented("", message)
    text = _indented("", message) if message else ""
    items = result.get("results")
    for part in items if isinstance(items, list) else [result]:
        if not isinstance(part, Mapping) or "censored" in part:
            continue
        if part is not result:
            own = message_of(part)
            label = item_prefix(part).rstrip(": ")
            text += _indented(f"item {label}" if label else "item", own)
        for stream in ("stdout", "stderr"):
            output = clean(part.get(stream) or "")
            text += _indented(stream, output) if output else ""
    return text


def _indented(label: str, text: str) -> str:
    """Indent text by four columns under a label."""
    lines = text.splitlines()
    if not label:
        return "".join(f"    {line}\n" for line in lines)
    return f"    {label}:\n" + "".join(f"      {line}\n" for line in lines)
