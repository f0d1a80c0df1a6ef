# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Records a run in its folder: one JSON line per event, and a readable log per step."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from ansible import constants

from .events import format_time, log_name
from .tasks import attempt_of, enclosing_blocks, item_prefix, message_of, rescuer_of, step_of
from .text import clean

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook import Playbook
    from ansible.playbook.play import Play
    from ansible.playbook.task import Task

#: Longest message in an event. The step's log has the whole message.
LONGEST_MESSAGE = 4000

_claimed: list[object] = []


def claim(playbook: object) -> bool:
    """Return True for the first caller with this playbook: two copies of the callback must not record it twice."""
    if _claimed and _claimed[0] is playbook:
        return False
    _claimed[:] = [playbook]
    return True


def now() -> str:
    """Return the time as ISO 8601 in UTC with milliseconds."""
    return format_time(datetime.now(UTC))


def on_control_node(result: CallbackTaskResult) -> bool:
    """Return whether a task ran on and for the control node; an instance's facts about the run are not trusted."""
    return {result.host.get_name(), result.task.delegate_to or "localhost"} <= set(constants.LOCALHOST)


class RunFiles:
    """Keeps text until the run's folder is known, then appends it to files there.

    Each text is one ``write`` to a file opened for appending, so that lines stay whole, also with a second playbook of
    the same run, unless the disk is full. Every method raises OSError if it cannot write.
    """

    def __init__(self) -> None:
        """Start without a folder."""
        self.folder: Path | None = None
        self._waiting: list[tuple[str, str]] = []

    def open(self, folder: Path) -> None:
        """Use ``folder``, and write the kept text."""
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        self.folder = folder
        waiting, self._waiting = self._waiting, []
        for name, text in waiting:
            self.append(name, text)

    def append(self, name: str, text: str) -> None:
        """Append to a file of the run, or keep the text until the folder is known."""
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


class Recorder:
    """Records one playbook as it runs."""

    def __init__(self, warn: Callable[[str], object], enabled: bool = True) -> None:
        """Start without a run; ``warn`` is called at most once, when a write fails. ``enabled`` is for check mode."""
        self._warn = warn
        self._enabled = enabled
        self._files = RunFiles()
        self._play = ""
        self._play_variables: Mapping[str, Any] = {}
        self._started: dict[str, float] = {}
        self._failed_items: dict[tuple[str, str], str] = {}

    def playbook_started(self, playbook: Playbook) -> None:
        """Record the start of the playbook."""
        self._write({"event": "playbook_started", "playbook": Path(str(playbook._file_name)).name})

    def play_started(self, play: Play) -> None:
        """Record the start of a play."""
        self._play = play.get_name().strip()
        self._play_variables = play.get_vars()
        self._write({"event": "play_started", "play": self._play})

    def task_started(self, task: Task) -> None:
        """Record the start of a task or handler."""
        self._started[task._uuid] = monotonic()
        event = {"event": "task_started", **self._place(task)}
        source = "/".join((task.get_path() or "").split("/")[-3:])
        self._write(event, log=f"\n{now()}  {event['task']}" + (f"  ({source})" if source else "") + "\n")

    def task_succeeded(self, result: CallbackTaskResult) -> None:
        """Record a success; the first result with the run's fact determines the folder."""
        self._find_run(result)
        self.task_finished(result, "task_changed" if result.is_changed() else "task_ok")
        self._resumption(result)

    def item_failed(self, result: CallbackTaskResult) -> None:
        """Keep the message of a loop's first failed item, which the loop's result does not contain."""
        place = (result.task._uuid, result.host.get_name())
        self._failed_items.setdefault(place, item_prefix(result.result) + message_of(result.result, failed=True))

    def task_failed(self, result: CallbackTaskResult, ignored: bool) -> None:
        """Record a failure, and whether the playbook handles it."""
        rescuer = rescuer_of(result.task)
        self.task_finished(
            result,
            "task_failed",
            ignored=bool(ignored),
            rescued=rescuer is not None,
            # A role's rescue recovers from the failure; a playbook's rescue terminates the run.
            recovered=rescuer is not None and getattr(rescuer, "_role", None) is not None,
        )

    def task_retried(self, result: CallbackTaskResult) -> None:
        """Log a retry."""
        self._write(None, log=f"  … retrying (attempt {result.result.get('attempts')})\n", task=result.task)

    def playbook_finished(self, stats: AggregateStats) -> None:
        """Record the end of the playbook with each host's counts."""
        hosts = {host: stats.summarize(host) for host in sorted(stats.processed)}
        self._write({"event": "playbook_finished", "hosts": hosts})

    def task_finished(self, result: CallbackTaskResult, kind: str, **more: object) -> None:
        """Record the end of a task on one host, in the events and in the step's log."""
        task = result.task
        started = self._started.get(task._uuid)
        seconds = None if started is None else round(monotonic() - started, 3)
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
        took = "" if seconds is None else f" after {seconds:.1f} s"
        self._write(event, log=f"  {word} on {target}{took}\n{_details(result.result, message)}", task=task)

    def _find_run(self, result: CallbackTaskResult) -> None:
        """Take the run's folder from the facts of a task on the control node."""
        if self._files.folder is not None or not self._enabled:
            return
        run = _fact(result, "run")
        if not run.get("run_id") or not run.get("run_dir") or not on_control_node(result):
            return
        try:
            self._files.open(Path(str(run["run_dir"])).expanduser().absolute())
        except OSError as error:
            self._stop(error)

    def _resumption(self, result: CallbackTaskResult) -> None:
        """Record that the run continues after an attempt that lost its instance."""
        resumed = result.result.get("resumed")
        if isinstance(resumed, Mapping) and str(resumed.get("attempt")).isdecimal() and on_control_node(result):
            reason = clean(resumed.get("reason") or "")[:LONGEST_MESSAGE]
            self._write({"event": "attempt_resumed", "attempt": int(resumed["attempt"]), "reason": reason})

    def _place(self, task: Task) -> dict[str, Any]:
        """Return a task's play, role, step, attempt and name, and whether it handles an earlier failure."""
        role = getattr(task, "_role", None)
        return {
            "play": self._play,
            "role": str(role.get_name()) if role is not None else None,
            "step": step_of(task),
            "attempt": attempt_of(task, self._play_variables),
            "task": clean(task.name or task.get_name()),
            "handling": any(section != "block" for _, section in enclosing_blocks(task)),
        }

    def _write(self, event: dict[str, Any] | None, log: str = "", task: Task | None = None) -> None:
        """Append an event and a text to the step's log; after an error, warn once and stop."""
        if not self._enabled:
            return
        step = step_of(task) if task is not None else (event or {}).get("step")
        try:
            if event is not None:
                line = json.dumps({"time": now(), **event}, ensure_ascii=False, default=str)
                self._files.append("events.jsonl", f"{line}\n")
            if log:
                self._files.append(f"logs/{log_name(step)}.log", log)
        except OSError as error:
            self._stop(error)

    def _stop(self, error: OSError) -> None:
        """Warn that the run continues without a record."""
        self._enabled = False
        self._warn(f"The run continues, but its events are no longer recorded: {error}")


def _fact(result: CallbackTaskResult, name: str) -> Mapping[str, Any]:
    """Return a fact that is a mapping from a result; empty without it."""
    facts = result.result.get("ansible_facts")
    fact = facts.get(name) if isinstance(facts, Mapping) else None
    return fact if isinstance(fact, Mapping) else {}


def _details(result: Mapping[str, Any], message: str) -> str:
    """Format a result for the step's log: the message, and the output of commands item by item."""
    if "censored" in result and not isinstance(result.get("results"), list):
        return _indented("", message)
    text = _indented("", message)
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
