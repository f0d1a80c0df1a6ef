# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Callback for people at a terminal: one line a step, what happens now in place below it, a failure whole and once.

Where the output is no terminal, or more than `-v` is asked for, this is Ansible's own callback `default` and nothing
else: AWX, logs and scripts parse that. The choice is made when the plugin is loaded, once in a process.
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
from ansible_collections.spot_train.core.plugins.module_utils.runs.tasks import (
    message_of,
    rescuer_of,
    role_of,
    step_of,
)
from ansible_collections.spot_train.core.plugins.module_utils.runs.text import clean
from ansible_collections.spot_train.core.plugins.module_utils.terminal.failures import Told, failure_lines
from ansible_collections.spot_train.core.plugins.module_utils.terminal.groups import (
    INTERNAL,
    Group,
    clean_edges,
    counts_of,
    plain,
)
from ansible_collections.spot_train.core.plugins.module_utils.terminal.screen import (
    Screen,
    compact_wanted,
    cut,
    live_wanted,
    padded,
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
short_description: One line a step for a terminal, Ansible's default output for everything else
description:
  - At a terminal, shows one line for each step of a run, or for each role or play of another playbook, with its time.
    What happens now is in a line of its own, which changes in place; so is the progress of a training. Failures and
    hosts that cannot be reached are shown whole, once. Messages of M(ansible.builtin.debug) and warnings are shown.
  - With C(-v) each task has a line too. From C(-vv) on, with C(--step), and where the output is no terminal, it is the
    callback P(ansible.builtin.default#callback), with all its options.
  - With C(NO_COLOR) or C(ANSIBLE_NOCOLOR), or a terminal that is C(dumb), nothing is coloured and nothing changes in
    place.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout in configuration
"""

#: Columns of the words that say how something ended, of the names, and of the times.
STATE = 12
NAME = 12
TIME = 12
#: Columns before what is below a line.
INDENT = STATE
#: What a play does outside every step has a line of its own if it took this many seconds.
WORTH_A_LINE = 1.0
#: Actions that print by themselves, and of which only a part is worth a line here.
VERDICT = "preflight_verdict"
FOLLOW = "follow_training"
#: While it runs a person is asked something: nothing may be drawn over that.
ASKING = "pause"


class Lines(Stock):  # type: ignore[misc]  # ansible-core is not typed
    """Condense what happens."""

    def __init__(self) -> None:
        """Start with an empty screen."""
        super().__init__()
        self._screen = Screen(self._display, live_wanted(os.environ, bool(color.ANSIBLE_COLOR)))
        self._began = time.monotonic()
        self._group: Group | None = None
        self._task: Task | None = None
        self._task_began: dict[str, float] = {}
        self._items: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        self._progress = ""
        self._told = Told()
        self._outcome = Outcome()
        self._play_name = ""
        self._apart = False
        self._shown: set[tuple[str, ...]] = set()

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        """Take the terminal."""
        self._began, self._group, self._task, self._told = time.monotonic(), None, None, Told()
        self._outcome = Outcome()
        self._shown.clear()
        self._screen.open(self._live_line, self._absorb)
        if context.CLIARGS.get("check"):
            self._say("check", "nothing is launched and nothing is changed", constants.COLOR_SKIP)

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Begin a play; a step may go on in it."""
        self._play_name = play.get_name().strip() or "play"
        # Hosts that do not wait for each other are in different roles at once.
        self._apart = str(play.strategy).rpartition(".")[2] in ("free", "host_pinned")
        if self._group is not None and self._group.key[0] != "step":
            self._close()

    def v2_playbook_on_vars_prompt(self, *arguments: Any, **options: Any) -> None:
        """Leave the terminal to the question."""
        self._close()
        self._task = None
        self._screen.draw()

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:
        """Show what happens now."""
        self._task, self._progress = task, ""
        self._task_began[task._uuid] = time.monotonic()
        name, key = self._place(task)
        if self._group is None or (self._group.key != key and not (key[0] == "play" and self._group.key[0] == "step")):
            self._close()
            self._group = Group(name, key, own=key[0] != "play")
            if self._display.verbosity:
                self._screen.say((name, constants.COLOR_HIGHLIGHT))
        self._screen.draw()

    def v2_playbook_on_handler_task_start(self, task: Task) -> None:
        """Show that a handler runs."""
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Count a task; show what it has to say to a person."""
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
        """Count a task that was left out."""
        self._handle_warnings(result.result)
        self._group_of(result).skipped += 1

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Show a failure whole, unless a role deals with it."""
        rescuer = rescuer_of(result.task)
        self._handle_warnings(result.result)
        if ignore_errors or (rescuer is not None and getattr(rescuer, "_role", None) is not None):
            group = self._group_of(result)
            group.ok += 1
            word = "ignored" if ignore_errors else "dealt with"
            self._note(group, [f"{word}: {clean(result.task.get_name())}: {self._words(result)[0]}"])
            return
        # EC2 took the instance: what comes of that, another attempt or the end, is told below.
        notice = result.result.get("interruption") or {}
        self._fail(result, "interrupted" if notice.get("kind") == "spot" else "FAILED")

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """Show that a host cannot be reached."""
        self._handle_warnings(result.result)
        self._fail(result, "UNREACHABLE")

    def v2_runner_retry(self, result: CallbackTaskResult) -> None:
        """Show in place that something is tried again."""
        self._group_of(result).retries += 1
        told = result.result
        self._progress = f"not yet, {max(0, told.get('retries', 0) - told.get('attempts', 0))} tries left"
        self._screen.draw()

    def v2_runner_item_on_ok(self, result: CallbackTaskResult) -> None:
        """Show which item of a loop is done; what one has to say is its own."""
        self._handle_warnings(result.result)
        if isinstance(result.task, TaskInclude):
            return
        if plain(result.task.action) == "debug" and "censored" not in result.result:
            self._note(self._group_of(result), self._said(result))

    def v2_runner_item_on_failed(self, result: CallbackTaskResult) -> None:
        """Keep it for the end of the loop, which itself does not say which item failed."""
        self._handle_warnings(result.result)
        self._items.setdefault((result.task._uuid, result.host.get_name()), []).append(result.result)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Show that a play has nobody to play for."""
        self._say("skipped", f"{self._play_name}: no hosts matched", constants.COLOR_SKIP)

    def v2_playbook_on_no_hosts_remaining(self) -> None:
        """Show that nobody is left."""
        self._close()
        self._say("ended", f"{self._play_name}: no host is left", constants.COLOR_ERROR)

    def v2_on_file_diff(self, result: CallbackTaskResult) -> None:
        """Show differences as they are, with the name of the task."""
        told = result.result
        entries = told["results"] if result.task.loop and "results" in told else [told]
        for entry in entries:
            if entry.get("diff") and entry.get("changed") and (diff := self._get_diff(entry["diff"])):
                self._screen.say((clean(result.task.get_name()), constants.COLOR_CHANGED))
                self._display.display(diff)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Sum up, and give the terminal back."""
        self._close()
        self._task = None
        hosts = {host: stats.summarize(host) for host in sorted(stats.processed)}
        failed = [host for host, counts in hosts.items() if counts["failures"] or counts["unreachable"]]
        # As the exit code: a run that lost an instance and did its work on another has passed.
        bad = bool(failed) and self._outcome.code(failed) != 0
        told = "; ".join(f"{host}: {counts_of(counts)}" for host, counts in hosts.items())
        self._say("FAILED" if bad else "done", f"{duration(time.monotonic() - self._began)}, {told or 'no host'}",
                  constants.COLOR_ERROR if bad else constants.COLOR_OK)  # fmt: skip
        if stats.custom and self.get_option("show_custom_stats"):
            for host, values in sorted(stats.custom.items()):
                self._say("stats", f"{host}: {self._dump_results(values, indent=1).strip()}", None)
        self._screen.close()

    def _nothing(self, *arguments: Any, **options: Any) -> None:
        """Show nothing: what `default` says here is in the lines already, or of no use to a person."""

    v2_runner_on_start = v2_runner_item_on_skipped = v2_playbook_on_include = v2_playbook_on_notify = _nothing
    v2_runner_on_async_poll = v2_runner_on_async_ok = v2_runner_on_async_failed = _nothing

    def _place(self, task: Task) -> tuple[str, tuple[str, ...]]:
        """Name the group of a task."""
        if not self._apart:
            if step := step_of(task):
                return step, ("step", step)
            if role := role_of(task):
                return role, ("role", role, self._play_name)
        return self._play_name, ("play", self._play_name)

    def _group_of(self, result: CallbackTaskResult) -> Group:
        """Return the group that is shown now; results come while their task is the newest."""
        if self._group is None:
            name, key = self._place(result.task)
            self._group = Group(name, key, own=key[0] != "play")
        return self._group

    def _close(self) -> None:
        """Show the line of the group that has ended, and what belongs below it."""
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
        """Say whether the line of a group would tell nobody anything."""
        if group.failed or group.lines or group.note:
            return False
        if group.key[0] == "step":
            again = group.key in self._shown
            return (again if group.changed or not group.ok else True) and seconds < WORTH_A_LINE
        if group.key[0] == "role":
            return not group.ok
        # What a play does around steps is the way from one to the next; without steps it is all there is to see.
        among_steps = bool(self._shown) or (self._task is not None and step_of(self._task) is not None)
        return not group.ok or (among_steps and seconds < WORTH_A_LINE)

    def _line(self, state: str, colour: str | None, name: str, took: str, detail: str) -> None:
        """Show one line of the table."""
        named = self._named(name)
        rest = self._screen.columns - STATE - len(named) - TIME
        text = cut(clean(detail).replace("\n", " "), rest) if rest > 8 else ""
        self._screen.say((padded(state, STATE), colour), (named, None), (f"{took:>{TIME - 2}}  ", None), (text, None))

    def _named(self, name: str) -> str:
        """Return a name as wide as its column, which is wider for names of plays."""
        room = max(NAME, min(30, self._screen.columns - STATE - TIME - 20))
        columns = NAME if len(name) < NAME else min(room, len(name) + 1)
        named: str = padded(cut(name, columns - 1), columns)
        return named

    def _say(self, state: str, text: str, colour: str | None) -> None:
        """Show a line that is of no group."""
        first, *more = wrapped(text, self._screen.columns, INDENT)
        self._screen.say((padded(state, STATE - 1) + " ", colour), (first.lstrip(), None))
        for line in more:
            self._screen.say((line, None))

    def _below(self, text: str, colour: str | None) -> None:
        """Show a text below a line, wrapped."""
        for line in wrapped(text, self._screen.columns, INDENT):
            self._screen.say((line, colour))

    def _note(self, group: Group, texts: list[str]) -> None:
        """Keep texts for below the line of a step; what a play says by itself is shown at once."""
        for text in texts:
            if group.own:
                group.lines.append((text, None))
            else:
                self._below(text, None)

    def _said(self, result: CallbackTaskResult) -> list[str]:
        """Return what a task of M(debug) says, without what was shown before."""
        told = result.result
        message = told.get("msg")
        if message is None:
            shown = {name: value for name, value in told.items() if not name.startswith("_") and name not in INTERNAL}
            texts = self._dump_results(shown, indent=1).strip("\n").splitlines() if shown else []
        else:
            texts = [str(entry) for entry in message] if isinstance(message, list) else [str(message)]
        here = f"{Path.cwd()}{os.sep}"
        return [self._told.shortened(clean_edges(text).replace(here, "")) for text in texts]

    def _fail(self, result: CallbackTaskResult, word: str) -> None:
        """Show a failure: whose it is, and below that its words, whole."""
        name, group = clean(result.task.get_name()).rpartition(" : ")[2], self._group
        if group is not None and (step_of(result.task) is not None or group.key[0] != "step"):
            group.failed, group.note = word, name
            self._close()
        else:
            # What a play does around its steps: the step itself has not failed.
            self._close()
            self._say(word, name, constants.COLOR_ERROR)
        words = self._told.new(self._words(result))
        # The checks that failed have been shown one by one, which reads better than their message.
        texts = [] if plain(result.task.action) == VERDICT and group is not None and group.lines else words
        path = (result.task.get_path() or "").removeprefix(f"{Path.cwd()}{os.sep}")
        for text in [*texts, f"on {self.host_label(result)}" + (f", at {path}" if path else "")]:
            self._below(text, None)
        self._screen.draw()

    def _words(self, result: CallbackTaskResult) -> list[str]:
        """Return what a failure has to say."""
        items = self._items.pop((result.task._uuid, result.host.get_name()), [])
        texts: list[str] = failure_lines(result.result, items)
        return texts

    def _task_line(self, result: CallbackTaskResult, state: str) -> None:
        """With -v, show a task."""
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
        """Make the line that says what happens now."""
        group, task = self._group, self._task
        if group is None or task is None or plain(task.action) == ASKING:
            return ""
        seconds = round(time.monotonic() - group.began)
        what = self._progress or clean(task.get_name()).rpartition(" | ")[2].rpartition(" : ")[2]
        return (
            f"{padded('…', STATE)}{self._named(group.name)}{f'{seconds // 60}:{seconds % 60:02d}':>{TIME - 2}}  {what}"
        )

    def _absorb(self, text: str, colour: str | None) -> bool:
        """Take what actions print by themselves: of the checks only warnings stay, of a training the newest line."""
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
    """Say whether this process shows lines."""
    terminal = bool(getattr(sys.stdout, "isatty", bool)())
    asks = bool((context.CLIARGS or {}).get("step")) or bool(constants.config.get_config_value("ENABLE_TASK_DEBUGGER"))
    return bool(compact_wanted(os.environ, terminal, int(Display().verbosity), asks))


_BASE = Lines if _compact() else Stock


class CallbackModule(_BASE):  # type: ignore[misc,valid-type]  # chosen when it is loaded
    """The one of the two. Ansible finds the options of a plugin by this name of its class."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "run_lines"
