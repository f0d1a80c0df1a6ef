# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a task as callbacks get it is part of, and what its result means to a person."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ansible.playbook.block import Block
    from ansible.playbook.task import Task

ROLE_STEPS = {
    "run_open": "open",
    "bootstrap": "bootstrap",
    "deps": "deps",
    "preflight": "preflight",
    "training": "training",
    "run_report": "report",
}
#: Task files of spot_instance that belong to the step terminate; the others belong to request.
TERMINATING_FILES = ("terminate", "audit")
STEP_VARIABLE = "run_step"
ATTEMPT_VARIABLE = "run_attempt"

_REFERENCE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
# Messages with which Ansible says no more than that something failed; the output says what.
_EMPTY_MESSAGES = ("non-zero return code", "module failure", "result deserialization failed")


def step_of(task: Task) -> str | None:
    """Find the run step that a task belongs to.

    Args:
        task: a task as callbacks get it.

    Returns:
        The step, or None for a task outside every step.
    """
    chosen = literal_of(task.get_vars(), STEP_VARIABLE)
    if isinstance(chosen, str) and chosen:
        return str(chosen)
    name, entry = role_and_entry(task)
    if name == "spot_instance":
        # One role, two steps: the entry file tells them apart.
        return "terminate" if entry.startswith(TERMINATING_FILES) else "request"
    return ROLE_STEPS.get(name)


def attempt_of(task: Task, play: Mapping[str, Any]) -> int | None:
    """Find the attempt of the run that a task belongs to.

    Args:
        task: a task as callbacks get it.
        play: the variables of its play.

    Returns:
        The number of the attempt, or None for a task that belongs to none.
    """
    chosen = literal_of({**play, **task.get_vars()}, ATTEMPT_VARIABLE)
    return int(chosen) if str(chosen).isdecimal() else None


def literal_of(variables: Mapping[str, Any], name: str) -> Any:
    """Read a variable without templating.

    Returns:
        Its value, or that of the variable which it refers to as a whole; None where it is any other expression, which
        cannot be resolved here.
    """
    chosen = variables.get(name)
    if isinstance(chosen, str) and (reference := _REFERENCE.fullmatch(chosen.strip())):
        # The variable of a loop over includes, which the included task has with its value.
        chosen = variables.get(reference[1])
    return None if isinstance(chosen, str) and "{{" in chosen else chosen


def role_and_entry(task: Task) -> tuple[str, str]:
    """Find the role that a task belongs to, and by which of its task files it came.

    A task that includes a role counts as that role's: when it is skipped, it is the role that was skipped.

    Returns:
        The role's name and the file's name without its ending; both empty for a task of no role.
    """
    if task.action.rpartition(".")[2] == "include_role":
        name = str(task.args.get("name") or task.args.get("role") or "")
        return name.rpartition(".")[2], str(task.args.get("tasks_from") or "main")
    role = getattr(task, "_role", None)
    if role is None:
        return "", ""
    entry = re.sub(r"(\.ya?ml)?(:\d+)*$", "", task.get_path() or "").rpartition("/")[2]
    if task.action.rpartition(".")[2] == "validate_argument_spec":
        # Ansible's own task, which checks the inputs of the entry file it goes before.
        entry = str((task.args.get("validate_args_context") or {}).get("argument_spec_name") or entry)
    return str(role.get_name()).rpartition(".")[2], entry


def enclosing_blocks(task: Task) -> Iterator[tuple[Block, str]]:
    """Walk up the blocks that a task is in, innermost first.

    Yields:
        The block, and the section of it that the task is in: ``block``, ``rescue`` or ``always``.
    """
    child: Any = task
    parent: Any = getattr(task, "_parent", None)
    while parent is not None:
        for section in ("block", "rescue", "always"):
            # Blocks are copied while a play is compiled, so only the identifiers can be compared.
            if any(entry._uuid == child._uuid for entry in getattr(parent, section, None) or []):
                yield parent, section
                break
        child, parent = parent, getattr(parent, "_parent", None)


def rescuer_of(task: Task) -> Block | None:
    """Return the block whose ``rescue`` handles a failure of this task, or None."""
    return next((block for block, section in enclosing_blocks(task) if section == "block" and block.rescue), None)


def message_of(result: Mapping[str, Any], failed: bool = False) -> str:
    """Say in words what a result means to a person.

    Args:
        result: a task's result as callbacks get it, with secrets already taken out.
        failed: whether the task failed; then a result without a message is explained by its output.

    Returns:
        The message; where it is only "non-zero return code" or the like, the end of the output is added. Empty when the
        task had nothing to say.
    """
    if "censored" in result:
        return "the result is hidden (no_log)"
    message = result.get("msg")
    text = clean(message if isinstance(message, str) else "" if message is None else json.dumps(message, default=str))
    if text == "Assertion failed" and result.get("assertion"):
        return f"{text}: {clean(result['assertion'])}"
    if not failed or (text and not any(phrase in text.lower() for phrase in _EMPTY_MESSAGES)):
        return text
    for stream in ("stderr", "stdout", "module_stderr", "module_stdout"):
        lines = clean(result.get(stream) or "").splitlines()
        if lines:
            return ": ".join(filter(None, [text.rstrip("."), " | ".join(lines[-3:])]))
    return text


def item_prefix(item: Mapping[str, Any]) -> str:
    """Name the loop item of a result, unless its label is too long to be a name."""
    label = item.get("_ansible_item_label", item.get("item"))
    if label is None or "censored" in item:
        return ""
    text = clean(label)
    return f"{text}: " if len(text) <= 80 else ""


def clean(text: object) -> str:
    """Return ``text`` without terminal colours and control characters."""
    return _CONTROL.sub("", _ANSI.sub("", str(text).replace("\r\n", "\n"))).strip()
