# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Callback that refuses command lines with which a playbook of this project would quietly do nothing, or half of it.

Some options keep the input gate itself from being played: ``--skip-tags always`` plays nothing at all and exits 0,
``--start-at-task`` begins behind the gate, ``--limit localhost`` rents an instance that no task ever reaches, and
``playbooks/terminate.yml --tags x`` ends nothing and calls that a success. Only a callback sees these before the first
task. What a callback raises is caught and shown as a warning (ansible-core 2.19 to 2.21), but for `SystemExit`, so that
is how it ends: before a play has begun, and with the exit code that Ansible itself has for a wrong option.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible_collections.spot_train.core.plugins.module_utils.inputs import tags as run_tags

if TYPE_CHECKING:
    from ansible.playbook import Playbook
    from ansible.playbook.task import Task

DOCUMENTATION = """
name: run_options
type: notification
short_description: Refuse options that would have a playbook do nothing, or half of what it is for
description:
  - Looks at playbooks that have the action P(run_inputs#module), and at no other.
  - Refuses tags that the playbook does not have or that leave nothing to do, C(--start-at-task), and C(--limit).
    One line says why, nothing is played, and ansible-playbook exits 5, as it does for an option that it does not know.
requirements:
  - enable in configuration (C(callbacks_enabled = run_options))
"""

GATE = "run_inputs"
#: Ansible's own exit code for wrong options.
WRONG_OPTION = 5


def objection(options: Mapping[str, Any], parts: Sequence[str]) -> str | None:
    """Say why a playbook cannot be played with these options; None where it can.

    Args:
        options: The command line, as Ansible parsed it.
        parts: The tags that the playbook has.
    """
    if options.get("start_at_task"):
        return "--start-at-task would leave out what must come first and what must come last: a run is played whole"
    if (options.get("subset") or "all") != "all":
        return (
            f"--limit {options['subset']} would leave out the controller or the instance, and what is left does not "
            "end what it began: leave it off"
        )
    try:
        run_tags.chosen_parts(list(options.get("tags") or ("all",)), list(options.get("skip_tags") or ()), parts)
    except run_tags.TagError as error:
        return str(error)
    return None


def tasks_of(blocks: Sequence[Any]) -> Iterator[Task]:
    """Walk the tasks of a play that are written in the playbook itself."""
    for entry in blocks:
        if hasattr(entry, "block"):
            for section in (entry.block, entry.rescue, entry.always):
                yield from tasks_of(section)
        else:
            yield entry


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core is not typed
    """Look at the options before anything is played."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "run_options"
    CALLBACK_NEEDS_ENABLED = False

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        """End here if the options cannot be."""
        gates = [t for p in playbook.get_plays() for t in tasks_of(p.tasks) if t.action.rpartition(".")[2] == GATE]
        if not gates:
            return
        parts = () if any(gate.args.get("only") for gate in gates) else run_tags.PARTS
        if (why := objection(context.CLIARGS, parts)) is not None:
            self._display.error(f"{why}. Nothing was started.")
            sys.exit(WRONG_OPTION)
