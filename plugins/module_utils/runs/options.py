# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Refuses command-line options with which a playbook would do nothing, or only part of its work.

Some options bypass the input checks: ``--skip-tags always`` runs nothing and exits 0, ``--start-at-task`` starts after
the checks, ``--limit localhost`` launches an instance that no task reaches, and ``playbooks/terminate.yml --tags x``
terminates nothing and exits 0. Only a callback sees the options before the first task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..inputs import tags

if TYPE_CHECKING:
    from ansible.playbook import Playbook
    from ansible.playbook.task import Task

GATE = "run_inputs"
#: Ansible's own exit code for wrong options.
WRONG_OPTION = 5


def refusal_for(playbook: Playbook, options: Mapping[str, Any]) -> str | None:
    """Return why a playbook cannot run with these options of Ansible; None if it can, or if it has no input checks."""
    gates = gates_of(playbook)
    if not gates:
        return None
    # With `only`, the playbook has no optional parts.
    return refusal(options, () if any(gate.args.get("only") for gate in gates) else tags.PARTS)


def gates_of(playbook: Playbook) -> list[Task]:
    """Return the tasks of a playbook that check its inputs."""
    tasks = (task for play in playbook.get_plays() for task in tasks_of(play.tasks))
    return [task for task in tasks if task.action.rpartition(".")[2] == GATE]


def refusal(options: Mapping[str, Any], parts: Sequence[str]) -> str | None:
    """Return why a playbook with these parts, its tags, cannot run with these options of Ansible; None if it can."""
    if options.get("start_at_task"):
        return "--start-at-task would leave out the input checks: a run cannot start in the middle"
    if (options.get("subset") or "all") != "all":
        return f"--limit {options['subset']} would leave out the control node or the instance: omit it"
    try:
        tags.chosen_parts(list(options.get("tags") or ("all",)), list(options.get("skip_tags") or ()), parts)
    except tags.TagError as error:
        return str(error)
    return None


def tasks_of(blocks: Sequence[Any]) -> Iterator[Task]:
    """Iterate over the tasks in the playbook itself, without those of roles and includes."""
    for entry in blocks:
        if hasattr(entry, "block"):
            for section in (entry.block, entry.rescue, entry.always):
                yield from tasks_of(section)
        else:
            yield entry
