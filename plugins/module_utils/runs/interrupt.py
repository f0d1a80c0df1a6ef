# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Signals Ctrl-C to the watchdog of a run with a file.

SIGINT does not always end ``ansible-playbook``. If the clean-up terminates a worker that holds the lock of the result
queue, it waits for that lock forever; if Python is clearing a weak reference at that moment, the ``KeyboardInterrupt``
is lost and the playbook continues (both observed with ansible-core 2.19). So SIGINT first creates a file, and the
watchdog kills a playbook that still runs seconds later.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ansible.executor.task_result import CallbackTaskResult

#: The action that starts the watchdog.
ACTION = "watchdog"
FILE = "interrupted"


def watch(result: CallbackTaskResult) -> None:
    """Handle SIGINT if ``result`` is the start of a watchdog."""
    started = result.result
    if str(result.task.action).rpartition(".")[2] == ACTION and isinstance(started, Mapping) and started.get("run_dir"):
        mark_interrupts(Path(str(started["run_dir"])))


def mark_interrupts(folder: Path) -> None:
    """Make SIGINT create a file in ``folder`` before its current action, in this process but not in its forks."""
    before, main = signal.getsignal(signal.SIGINT), os.getpid()
    if not callable(before):
        return

    def interrupt(number: int, frame: FrameType | None) -> Any:
        if os.getpid() == main:
            with contextlib.suppress(OSError):  # Ctrl-C must work even if the disk is full
                (folder / FILE).touch()
        return before(number, frame)

    signal.signal(signal.SIGINT, interrupt)
