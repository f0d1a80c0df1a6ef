# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Callback for a terminal: one line per step, the current task on a live line, each failure in full and once.

If the output is not a terminal, or with more than `-v`, this is Ansible's callback `default`, which AWX, logs and
scripts rely on. The choice is made when the plugin is loaded, once per process.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible import constants, context
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as Stock
from ansible.utils import color
from ansible.utils.display import Display
from ansible_collections.spot_train.core.plugins.module_utils.report.text import duration
from ansible_collections.spot_train.core.plugins.module_utils.runs.exit_code import Outcome
from ansible_collections.spot_train.core.plugins.module_utils.runs.tasks import message_of, rescuer_of, role_of, step_of
from ansible_collections.spot_train.core.plugins.module_utils.runs.text import clean
from ansible_collections.spot_train.core.plugins.module_utils.terminal.failures import Seen, failure_lines
from ansible_collections.spot_train.core.plugins.module_utils.terminal.groups import (
    INTERNAL,
    Group,
    clean_edges,
    counts_of,
    plain,
)
from ansible_collections.spot_train.core.plugins.module_utils.terminal.screen import (
    Screen,
    cut,
    padded,
    shows_lines,
    supports_live_line,
    wrapped,
)

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook import Playbook
    from ansible.playbook.play import Play
    from ansible.playbook.task import Task

DOCUMENTATION = """
name: run_lines
type: stdout
short_description: One line per step on a terminal, Ansible's default output elsewhere
description:
  - On a terminal, shows one line for each step of a run, or for each role or play of another playbook, with its
    duration. A live line shows the current task, and the progress of a training. Failures and unreachable hosts are
    shown in full, once. Messages of M(ansible.builtin.debug) and warnings are shown.
  - With C(-v), each task has a line too. From C(-vv) on, with C(--step), and if the output is not a terminal, this is
    the callback P(ansible.builtin.default#callback), with all its options.
  - With C(NO_COLOR) or C(ANSIBLE_NOCOLOR), or on a C(dumb) terminal, there are no colours and no live line.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout in configuration
"""

#: Widths of the columns state, name and duration.
STATE = 12
NAME = 12
TIME = 12
#: Indent of the texts below a line.
INDENT = STATE
#: Tasks outside the steps get a line if they took this many seconds.
WORTH_A_LINE = 1.0
#: Actions that print; only a part of their output is shown here.
VERDICT = "preflight_verdict"
FOLLOW = "follow_training"
#: The action that prompts. The live line is hidden while it runs.
ASKING = "pause"


class Lines(Stock):  # type: ignore[misc]  # ansible-core is not typed
    """One line per step, role or play."""

    def __init__(self) -> None:
        """Start without a playbook."""
        super().__init__()
        self._screen = Screen(self._display, supports_live_line(os.environ, bool(color.ANSIBLE_COLOR)))
        self._began = time.monotonic()
        self._group: Group | None = None
        self._task: Task | None = None
        self._task_began: dict[str, float] = {}
        self._items: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        self._progress = ""
        self._seen = Seen()
        self._outcome = Outcome()
        self._play_name = ""
        self._apart = False
        self._shown: set[tuple[str, ...]] = set()

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        """Open the screen."""
        self._began, self._group, self._task, self._seen = time.monotonic(), None, None, Seen()
        self._outcome = Outcome()
        self._shown.clear()
        self._screen.open(self._live_line, self._absorb)
        if context.CLIARGS.get("check"):
            self._say("check", "nothing is launched and nothing is changed", constants.COLOR_SKIP)

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Begin a play, in which a step may continue."""
        self._play_name = play.get_name().strip() or "play"
        # With these strategies, hosts run different roles at the same time.
        self._apart = str(play.strategy).rpartition(".")[2] in ("free", "host_pinned")
        if self._group is not None and self._group.key[0] != "step":
            self._close()

    def v2_playbook_on_vars_prompt(self, *arguments: Any, **options: Any) -> None:
        """Clear the live line for the prompt."""
        self._close()
        self._task = None
        self._screen.draw()

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:
        """Show the task on the live line."""
        self._task, self._progress = task, ""
        self._task_began[task._uuid] = time.monotonic()
        name, key = self._place(task)
        if self._group is None or (self._group.key != key and not (key[0] == "play" and self._group.key[0] == "step")):
            self._close()
            self._group = Group(name, key)
            if self._display.verbosity:
                self._screen.say((name, constants.COLOR_HIGHLIGHT))
        self._screen.draw()

    def v2_playbook_on_handler_task_start(self, task: Task) -> None:
        """Show the handler on the live line."""
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Count a task, and show its message."""
        self._handle_warnings(result.result)
        self._outcome.update(result)
        group, action = self._group_of(result), plain(result.task.action)
        if isinstance(result.task, TaskInclude):
            return
        group.ok += 1
        group.changed += bool(result.is_changed())
        if action == VERDICT:
            group.note = message_of(result.result)
        if action == "debug" and not {"censored", "results"} & set(result.result):
            self._note(group, self._said(result))
        self._task_line(result, "changed" if result.is_changed() else "ok")

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        """Count a skipped task."""
        self._handle_warnings(result.result)
        self._group_of(result).skipped += 1

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Show a failure in full, unless it is ignored or handled by a role."""
        rescuer = rescuer_of(result.task)
        self._handle_warnings(result.result)
        if ignore_errors or (rescuer is not None and getattr(rescuer, "_role", None) is not None):
            group = self._group_of(result)
            group.ok += 1
            word = "ignored" if ignore_errors else "handled"
            self._note(group, [f"{word}: {clean(result.task.get_name())}: {self._words(result)[0]}"])
            return
        # EC2 reclaimed the instance; later lines show whether another attempt follows.
        notice = result.result.get("interruption") or {}
        self._fail(result, "interrupted" if notice.get("kind") == "spot" else "FAILED")

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """Show an unreachable host."""
        self._handle_warnings(result.result)
        self._fail(result, "UNREACHABLE")

    def v2_runner_retry(self, result: CallbackTaskResult) -> None:
        """Show a retry on the live line."""
        self._group_of(result).retries += 1
        retry = result.result
        self._progress = f"retrying, {max(0, retry.get('retries', 0) - retry.get('attempts', 0))} tries left"
        self._screen.draw()

    def v2_runner_item_on_ok(self, result: CallbackTaskResult) -> None:
        """Show the message of a loop's item."""
        self._handle_warnings(result.result)
        if isinstance(result.task, TaskInclude):
            return
        if plain(result.task.action) == "debug" and "censored" not in result.result:
            self._note(self._group_of(result), self._said(result))

    def v2_runner_item_on_failed(self, result: CallbackTaskResult) -> None:
        """Keep the failure for the end of the loop, whose result does not contain it."""
        self._handle_warnings(result.result)
        self._items.setdefault((result.task._uuid, result.host.get_name()), []).append(result.result)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Show that no host matches the play."""
        self._say("skipped", f"{self._play_name}: no hosts matched", constants.COLOR_SKIP)

    def v2_playbook_on_no_hosts_remaining(self) -> None:
        """Show that no host remains."""
        self._close()
        self._say("ended", f"{self._play_name}: no hosts left", constants.COLOR_ERROR)

    def v2_on_file_diff(self, result: CallbackTaskResult) -> None:
        """Show the diff with the name of the task."""
        data = result.result
        entries = data["results"] if result.task.loop and "results" in data else [data]
        for entry in entries:
            if entry.get("diff") and entry.get("changed") and (diff := self._get_diff(entry["diff"])):
                self._screen.say((clean(result.task.get_name()), constants.COLOR_CHANGED))
                self._display.display(diff)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Show the summary, and close the screen."""
        self._close()
        self._task = None
        hosts = {host: stats.summarize(host) for host in sorted(stats.processed)}
        failed = [host for host, counts in hosts.items() if counts["failures"] or counts["unreachable"]]
        # As in the exit code, a run that lost an instance and finished on another has passed.
        bad = bool(failed) and self._outcome.code(failed) != 0
        summary = "; ".join(f"{host}: {counts_of(counts)}" for host, counts in hosts.items())
        self._say("FAILED" if bad else "done", f"{duration(time.monotonic() - self._began)}, {summary or 'no hosts'}",
                  constants.COLOR_ERROR if bad else constants.COLOR_OK)  # fmt: skip
        if stats.custom and self.get_option("show_custom_stats"):
            for host, values in sorted(stats.custom.items()):
                self._say("stats", f"{host}: {self._dump_results(values, indent=1).strip()}", None)
        self._screen.close()

    def _nothing(self, *arguments: Any, **options: Any) -> None:
        """Show nothing: the lines already contain what `default` shows here."""

    v2_runner_on_start = v2_runner_item_on_skipped = v2_playbook_on_include = v2_playbook_on_notify = _nothing
    v2_runner_on_async_poll = v2_runner_on_async_ok = v2_runner_on_async_failed = _nothing

    def _place(self, task: Task) -> tuple[str, tuple[str, ...]]:
        """Return the name and the key of a task's group."""
        if not self._apart:
            if step := step_of(task):
                return step, ("step", step)
            if role := role_of(task):
                return role, ("role", role, self._play_name)
        return self._play_name, ("play", self._play_name)

    def _group_of(self, result: CallbackTaskResult) -> Group:
        """Return the current group; results arrive while their task is the newest."""
        if self._group is None:
            self._group = Group(*self._place(result.task))
        return self._group

    def _close(self) -> None:
        """Show the line of the finished group, and the texts below it."""
        group, self._group = self._group, None
        if group is None:
            return
        seconds = time.monotonic() - group.began
        if not self._left_out(group, seconds):
            state, colour = group.state
            self._line(state, colour, group.name, "" if state == "skipped" else duration(seconds), group.detail)
            if group.key[0] == "step":
                self._shown.add(group.key)
        for text, line_colour in group.lines:
            self._below(text, line_colour)

    def _left_out(self, group: Group, seconds: float) -> bool:
        """Return whether to omit the line of a group because it has no information."""
        if group.failed or group.lines or group.note:
            return False
        if group.key[0] == "step":
            again = group.key in self._shown
            return (again if group.changed or not group.ok else True) and seconds < WORTH_A_LINE
        if group.key[0] == "role":
            return not group.ok
        # Tasks between steps are of little interest; without steps, they are all there is to show.
        among_steps = bool(self._shown) or (self._task is not None and step_of(self._task) is not None)
        return not group.ok or (among_steps and seconds < WORTH_A_LINE)

    def _line(self, state: str, colour: str | None, name: str, took: str, detail: str) -> None:
        """Show one line with all columns."""
        named = self._named(name)
        rest = self._screen.columns - STATE - len(named) - TIME
        text = cut(clean(detail).replace("\n", " "), rest) if rest > 8 else ""
        self._screen.say((padded(state, STATE), colour), (named, None), (f"{took:>{TIME - 2}}  ", None), (text, None))

    def _named(self, name: str) -> str:
        """Pad a name to its column, which is wider for names of plays."""
        room = max(NAME, min(30, self._screen.columns - STATE - TIME - 20))
        columns = NAME if len(name) < NAME else min(room, len(name) + 1)
        return padded(cut(name, columns - 1), columns)

    def _say(self, state: str, text: str, colour: str | None) -> None:
        """Show a line outside the groups."""
        first, *more = wrapped(text, self._screen.columns, INDENT)
        self._screen.say((padded(state, STATE - 1) + " ", colour), (first.lstrip(), None))
        for line in more:
            self._screen.say((line, None))

    def _below(self, text: str, colour: str | None) -> None:
        """Show a text below a line, wrapped."""
        for line in wrapped(text, self._screen.columns, INDENT):
            self._screen.say((line, colour))

    def _note(self, group: Group, texts: list[str]) -> None:
        """Keep texts for below the line of a step or a role; show those of a play at once."""
        for text in texts:
            if group.key[0] != "play":
                group.lines.append((text, None))
            else:
                self._below(text, None)

    def _said(self, result: CallbackTaskResult) -> list[str]:
        """Return the texts of a debug task, without those that were shown before."""
        data = result.result
        message = data.get("msg")
        if message is None:
            shown = {name: value for name, value in data.items() if not name.startswith("_") and name not in INTERNAL}
            texts = self._dump_results(shown, indent=1).strip("\n").splitlines() if shown else []
        else:
            texts = [str(entry) for entry in message] if isinstance(message, list) else [str(message)]
        here = f"{Path.cwd()}{os.sep}"
        return [self._seen.shortened(clean_edges(text).replace(here, "")) for text in texts]

    def _fail(self, result: CallbackTaskResult, word: str) -> None:
        """Show a failure: the group and the task, and below it the message in full."""
        name, group = clean(result.task.get_name()).rpartition(" : ")[2], self._group
        if group is not None and (step_of(result.task) is not None or group.key[0] != "step"):
            group.failed, group.note = word, name
            self._close()
        else:
            # The task is outside the step, which has not failed.
            self._close()
            self._say(word, name, constants.COLOR_ERROR)
        words = self._seen.new(self._words(result))
        # The failed checks have already been shown one by one.
        texts = [] if plain(result.task.action) == VERDICT and group is not None and group.lines else words
        path = (result.task.get_path() or "").removeprefix(f"{Path.cwd()}{os.sep}")
        for text in [*texts, f"on {self.host_label(result)}" + (f", at {path}" if path else "")]:
            self._below(text, None)
        self._screen.draw()

    def _words(self, result: CallbackTaskResult) -> list[str]:
        """Return the texts of a failure."""
        items = self._items.pop((result.task._uuid, result.host.get_name()), [])
        return failure_lines(result.result, items)

    def _task_line(self, result: CallbackTaskResult, state: str) -> None:
        """Show a task if -v is given."""
        if not self._display.verbosity:
            return
        began = self._task_began.get(result.task._uuid)
        took = "" if began is None else duration(time.monotonic() - began)
        columns = self._screen.columns
        words = f"{clean(result.task.get_name())} [{self.host_label(result)}]"
        self._screen.say(
            (padded(f"  {state}", STATE), constants.COLOR_CHANGED if state == "changed" else constants.COLOR_OK),
            (f"{took:>{TIME - 2}}  ", None),
            (cut(words, columns - STATE - TIME), None),
        )

    def _live_line(self) -> str:
        """Return the live line: the current group, its time, and its task or progress."""
        group, task = self._group, self._task
        if group is None or task is None or plain(task.action) == ASKING:
            return ""
        seconds = round(time.monotonic() - group.began)
        what = self._progress or clean(task.get_name()).rpartition(" | ")[2].rpartition(" : ")[2]
        return (
            f"{padded('…', STATE)}{self._named(group.name)}{f'{seconds // 60}:{seconds % 60:02d}':>{TIME - 2}}  {what}"
        )

    def _absorb(self, text: str, colour: str | None) -> bool:
        """Filter the output of actions: keep only warnings of the checks, and the newest line of a training."""
        action = plain(self._task.action) if self._task is not None else ""
        if action == VERDICT and self._group is not None:
            if colour is not None and text.strip():
                self._group.lines.append((clean_edges(text), colour))
            return True
        if action == FOLLOW and colour is None and text.startswith("    "):
            self._progress = text.strip()
            if self._screen.live:
                self._screen.draw()
            else:
                self._below(text.strip(), None)
            return True
        return False


def _compact() -> bool:
    """Return whether this process shows one line per step."""
    terminal = bool(getattr(sys.stdout, "isatty", bool)())
    asks = bool((context.CLIARGS or {}).get("step")) or bool(constants.config.get_config_value("ENABLE_TASK_DEBUGGER"))
    return bool(shows_lines(os.environ, terminal, int(Display().verbosity), asks))


_BASE = Lines if _compact() else Stock


class CallbackModule(_BASE):  # type: ignore[misc,valid-type]  # chosen when it is loaded
    """The chosen callback, in a class with the name that Ansible expects."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "run_lines"
