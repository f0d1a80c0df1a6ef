# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Callback that tells the guard of a run that its playbook was told to stop by Ctrl-C, whatever comes of that.

A SIGINT does not always end ``ansible-playbook``. Where the clean-up terminates a worker that holds the lock of the
queue of results, it waits for that lock for ever afterwards; where Python is just clearing a weak reference, the
``KeyboardInterrupt`` is lost and the playbook goes on (both seen under ansible-core 2.19). So the first thing that a
SIGINT does here is to leave a note, by which the guard knows to end a playbook that does not end by itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ansible.plugins.callback import CallbackBase

if TYPE_CHECKING:
    from ansible.executor.task_result import CallbackTaskResult

DOCUMENTATION = """
name: run_interrupt
type: notification
short_description: Tell the guard of a run about Ctrl-C
description:
  - From the start of the guard on (the action P(run_guard#module)), a SIGINT to C(ansible-playbook) makes the file
    C(interrupted) in the folder of the run, and then does what it did before. The guard kills a playbook that still
    runs seconds later, and ends the run.
  - Does nothing where SIGINT is ignored, as for a process that a shell has put into the background.
requirements:
  - enable in configuration (C(callbacks_enabled = run_interrupt))
"""

ACTION = "run_guard"
NOTE = "interrupted"


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core is not typed
    """Take SIGINT once there is a guard."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "run_interrupt"
    CALLBACK_NEEDS_ENABLED = False

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Take SIGINT if this is the start of a guard."""
        told = result.result
        if str(result.task.action).rpartition(".")[2] == ACTION and isinstance(told, Mapping) and told.get("run_dir"):
            leave_note(Path(str(told["run_dir"])))


def leave_note(folder: Path) -> None:
    """Have SIGINT leave a note in ``folder`` before it does what it does now; in this process, not in those it forks.

    Args:
        folder: the folder of the run.
    """
    before, main = signal.getsignal(signal.SIGINT), os.getpid()
    if not callable(before):
        return

    def interrupt(number: int, frame: FrameType | None) -> Any:
        if os.getpid() == main:
            with contextlib.suppress(OSError):  # a full disk must not keep Ctrl-C from working
                (folder / NOTE).touch()
        return before(number, frame)

    signal.signal(signal.SIGINT, interrupt)
