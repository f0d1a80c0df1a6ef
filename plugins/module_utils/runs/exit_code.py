# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sets the exit code of ansible-playbook to the outcome of a run.

Neither a playbook nor a plugin can choose the exit code: ``ansible-playbook`` returns 2 if a host failed and 4 if one
was unreachable. But ``CLI.cli_executor`` ends, after all clean-up, with a call of ``sys.exit`` with that code
(ansible-core 2.19 to 2.21). At the end of the playbook, `replace` wraps ``sys.exit`` in the main process. Nothing else
calls it then: no playbook follows a failed one, and workers exit by ``os._exit``. If a later Ansible exits differently,
its own code stays, which is never 0 for a failed run.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from ansible import constants, context

if TYPE_CHECKING:
    from ansible.executor.task_result import CallbackTaskResult

MODULE = "run_report"
#: 64 is the original launcher's code if every offer was refused. 75 is EX_TEMPFAIL of sysexits.h: try again later.
CODES = {"passed": 0, "no_capacity": 64, "interrupted": 75}
#: Ansible's codes for a failed or unreachable host, the only ones to replace.
REPLACED = (2, 4)


class Outcome:
    """The outcome of a playbook's last report, and its exit code."""

    def __init__(self) -> None:
        """Start without a report."""
        self._code: int | None = None

    def update(self, result: CallbackTaskResult) -> None:
        """Read the outcome from the result of a task if it is the report."""
        report = result.result
        if str(result.task.action).rpartition(".")[2] == MODULE and isinstance(report, Mapping):
            self._code = CODES.get(str(report.get("outcome")))

    def code(self, failed: Iterable[str]) -> int | None:
        """Return the exit code of a playbook with failed or unreachable hosts; None to keep Ansible's code."""
        hosts = set(failed)
        if not hosts:
            return None
        # Return 0 only if nothing failed on the control node and no other playbook would be skipped.
        alone = len(context.CLIARGS.get("args", ())) == 1
        if self._code == 0 and (not alone or hosts.intersection(constants.LOCALHOST)):
            return None
        return self._code


def replace(code: int | None) -> None:
    """Exit with ``code`` when Ansible exits with one of `REPLACED`; None changes nothing."""
    if code is None:
        return
    leave = sys.exit

    def leave_with(status: Any = None) -> NoReturn:
        # Flush all output before a caller acts on the code.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # the reader has gone
                stream.flush()
        leave(code if status in REPLACED else status)

    sys.exit = leave_with
