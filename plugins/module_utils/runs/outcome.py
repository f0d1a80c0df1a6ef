# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The outcome of a run, as the module run_report has told it, and the exit code that says the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ansible import constants, context

if TYPE_CHECKING:
    from ansible.executor.task_result import CallbackTaskResult

MODULE = "run_report"
#: 64 is what the origin's launcher exits with when every cell of its matrix was refused. 75 is EX_TEMPFAIL of
#: sysexits.h: try again later.
CODES = {"passed": 0, "no_capacity": 64, "interrupted": 75}


class Outcome:
    """What the report of a playbook's run has said last."""

    def __init__(self) -> None:
        """Start without a report."""
        self._code: int | None = None

    def note(self, result: CallbackTaskResult) -> None:
        """Take the outcome from the result of a task, if that was the report."""
        told = result.result
        if str(result.task.action).rpartition(".")[2] == MODULE and isinstance(told, Mapping):
            self._code = CODES.get(str(told.get("outcome")))

    def code(self, failed: Iterable[str]) -> int | None:
        """Return the exit code of a playbook on which hosts failed; None where Ansible's own is the right one.

        Args:
            failed: The hosts that failed or could not be reached.
        """
        hosts = set(failed)
        if not hosts:
            return None
        # Something failed after the report or beside it; or there is a playbook that will now not be played.
        alone = len(context.CLIARGS.get("args", ())) == 1
        if self._code == 0 and (not alone or hosts.intersection(constants.LOCALHOST)):
            return None
        return self._code
