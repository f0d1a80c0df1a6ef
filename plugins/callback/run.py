# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Callback that checks the command line of a run, records the run, and exits with its outcome."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.spot_train.core.plugins.module_utils.inputs import gate
from ansible_collections.spot_train.core.plugins.module_utils.inputs.values import InputError
from ansible_collections.spot_train.core.plugins.module_utils.runs import exit_code, interrupt, options
from ansible_collections.spot_train.core.plugins.module_utils.runs.recorder import Recorder, claim

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook import Playbook
    from ansible.playbook.play import Play
    from ansible.playbook.task import Task

DOCUMENTATION = """
name: run
type: notification
short_description: Check the options of a run, record it, and exit with its outcome
description:
  - B(Options). If the playbook contains the action P(spot_train.core.run_inputs#module), refuses unknown tags, tags
    that leave nothing to do, C(--start-at-task) and C(--limit). Prints one line, starts nothing, and exits 5, Ansible's
    own exit code for a wrong option.
  - B(Inputs). If the playbook contains that action, replaces the extra variables that are inputs by their values in the
    types of the argument specs. Refuses connection variables in the same way as options. The action refuses the rest.
  - B(Events). When a task on the control node returns C(ansible_facts.run) with C(run_id) and C(run_dir), appends all
    events since the start of the playbook to C(<run_dir>/events.jsonl), and the output of each step's tasks to
    C(<run_dir>/logs/<step>.log). The step and the attempt of a task are the variables C(run_step) and C(run_attempt),
    set on the task, its block, its include or its play. A result of P(spot_train.core.run_record#module) on the control
    node with C(resumed), C({attempt, reason}), adds an C(attempt_resumed) event. Skips check mode and results hidden by
    C(no_log). If a write fails, warns once and stops recording; the run continues.
  - B(Exit code). Replaces exit code 2 or 4 according to the outcome that P(spot_train.core.run_report#module) returns.
    C(no_capacity) becomes 64 and C(interrupted) becomes 75. C(passed) becomes 0 if nothing failed on the control node
    and no other playbook was given.
  - B(Ctrl-C). Once the watchdog runs, SIGINT creates the file C(interrupted) in the run's folder before it does
    anything else, so that the watchdog can stop a playbook that hangs. Does nothing if SIGINT is ignored.
  - The playbooks of this collection load it from C(playbooks/callback_plugins), whatever C(callbacks_enabled) contains.
    Loading it a second time has no effect.
requirements:
  - for playbooks elsewhere, enable in configuration (C(callbacks_enabled = spot_train.core.run))
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core is not typed
    """Pass Ansible's events to the recorder and the exit code."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "spot_train.core.run"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Create a recorder without a run."""
        super().__init__(*args, **kwargs)
        self._recorder = Recorder(self._display.warning)
        self._outcome = exit_code.Outcome()

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        """Refuse wrong options, and start a new record: each playbook of a command line has its own run."""
        if not claim(playbook):
            # Loaded twice: by playbooks/callback_plugins and by callbacks_enabled.
            self.disabled = True
            return
        if (refusal := options.refusal_for(playbook, context.CLIARGS) or _convert_inputs(playbook)) is not None:
            # Ansible turns every exception of a callback into a warning, except SystemExit.
            self._display.error(f"{refusal}. Nothing was started.")
            sys.exit(options.WRONG_OPTION)
        self._outcome = exit_code.Outcome()
        self._recorder = Recorder(self._display.warning, enabled=not context.CLIARGS.get("check"))
        self._recorder.playbook_started(playbook)

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Record the start of a play."""
        self._recorder.play_started(play)

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:
        """Record the start of a task."""
        self._recorder.task_started(task)

    def v2_playbook_on_handler_task_start(self, task: Task) -> None:
        """Record the start of a handler."""
        self._recorder.task_started(task)

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Record a success, and take the run's folder, outcome and watchdog from it."""
        interrupt.watch(result)
        self._outcome.update(result)
        self._recorder.task_succeeded(result)

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        """Record a skipped task."""
        self._recorder.task_finished(result, "task_skipped")

    def v2_runner_item_on_failed(self, result: CallbackTaskResult) -> None:
        """Keep the message of a failed loop item."""
        self._recorder.item_failed(result)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Record a failure."""
        self._recorder.task_failed(result, ignore_errors)

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """Record an unreachable host."""
        # `ignore_unreachable` on a play lets it continue to the termination, but the failure counts. No `rescue`
        # handles an unreachable host.
        self._recorder.task_finished(result, "task_unreachable", recovered=False)

    def v2_runner_retry(self, result: CallbackTaskResult) -> None:
        """Log a retry."""
        self._recorder.task_retried(result)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Record the end of the playbook, and set the exit code."""
        self._recorder.playbook_finished(stats)
        exit_code.replace(self._outcome.code({*stats.failures, *stats.dark}))


def _convert_inputs(playbook: Playbook) -> str | None:
    """Convert the extra variables of a playbook with an input gate; say why it cannot run."""
    # VariableManager reads this dictionary.
    extra = load_extra_vars(playbook._loader)
    try:
        for task in options.gates_of(playbook):
            gate.replace(extra, gate.inputs_of(task.args.get("only") or (), task.args.get("spec") or "run_open"))
    except InputError as error:
        return str(error)
    return None
