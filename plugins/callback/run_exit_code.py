# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Callback that has ansible-playbook exit with the outcome of a run, where its own code says only "a host failed".

Ansible lets neither a playbook nor a plugin choose the exit code: ``ansible-playbook`` returns 2 when a host failed, 4
when one was unreachable, and what a callback raises is caught and shown as a warning. But the last thing that
``CLI.cli_executor`` does, after every clean-up, is to call ``sys.exit`` with that code (ansible-core 2.19 to 2.21). So
at the end of the playbook this callback puts a function of its own in the place of ``sys.exit``, in the main process,
which exchanges the code and calls the original. Nothing else uses that name at that time: no playbook follows one that
failed, and workers leave by ``os._exit``. That none follows is also why 0 is given only where no other was named: a
playbook that was not played has not passed. Should a later Ansible end otherwise, its own code stands: a run that
failed is never told as a success.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from ansible.plugins.callback import CallbackBase
from ansible_collections.spot_train.core.plugins.module_utils.runs.outcome import Outcome

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook import Playbook

DOCUMENTATION = """
name: run_exit_code
type: notification
short_description: Exit with the outcome of a training run
description:
  - Reads the outcome of a run from the result of the module P(run_report#module). Where it is C(no_capacity),
    ansible-playbook exits 64 instead of 2 or 4; where it is C(interrupted), 75.
  - Where it is C(passed), nothing failed on the controller and no other playbook was named, it exits 0. Ansible would
    not, should EC2 have taken an instance of the run back and another have done its work.
  - Every other exit code stays as it is, and every code of a playbook without such a report.
requirements:
  - enable in configuration (C(callbacks_enabled = run_exit_code))
"""

#: Ansible's own codes for a host that failed or was unreachable; no other is exchanged.
EXCHANGED = (2, 4)

Exit = Callable[..., NoReturn]


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core is not typed
    """Remember the outcome, and exchange the exit code at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "run_exit_code"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Start without an outcome."""
        super().__init__(*args, **kwargs)
        self._outcome = Outcome()

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        """Forget the run of the playbook before, of one command line."""
        self._outcome = Outcome()

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Take the outcome from a report."""
        self._outcome.note(result)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Exchange the exit code that is to come, if the playbook failed and the run's outcome has one.

        After a playbook that failed, ansible-playbook plays no other; after one that did not, the code is not its own.
        """
        code = self._outcome.code({*stats.failures, *stats.dark})
        if code is not None:
            sys.exit = exchanging(sys.exit, code)


def exchanging(leave: Exit, code: int) -> Exit:
    """Make a ``sys.exit`` that exits with ``code`` where it was called with one of `EXCHANGED`.

    Args:
        leave: the function to leave by.
        code: the exit code.
    """

    def leave_with(status: Any = None) -> NoReturn:
        # What was shown is out before the process ends with a code that somebody acts upon.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # the reader has gone
                stream.flush()
        leave(code if status in EXCHANGED else status)

    return leave_with
