# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks and results as callbacks receive them: step, attempt, role and enclosing blocks; the message of a result."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .text import clean

if TYPE_CHECKING:
    from ansible.playbook.block import Block
    from ansible.playbook.task import Task

STEP_VARIABLE = "run_step"
ATTEMPT_VARIABLE = "run_attempt"

_REFERENCE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
# Messages without a cause, which the output has.
_EMPTY_MESSAGES = ("non-zero return code", "module failure", "result deserialization failed")


def step_of(task: Task) -> str | None:
    """Return the run step of a task, the variable ``run_step`` of task, block or include; None without one."""
    step = literal_of(task.get_vars(), STEP_VARIABLE)
    return str(step) if isinstance(step, str) and step else None


def attempt_of(task: Task, play: Mapping[str, Any]) -> int | None:
    """Return the attempt of a task, the variable ``run_attempt`` of the task or its play; None without one."""
    attempt = literal_of({**play, **task.get_vars()}, ATTEMPT_VARIABLE)
    return int(attempt) if str(attempt).isdecimal() else None


def literal_of(variables: Mapping[str, Any], name: str) -> Any:
    """Read a variable without templating, or the other one if it is ``{{ variable }}``; None for other expressions."""
    value = variables.get(name)
    if isinstance(value, str) and (reference := _REFERENCE.fullmatch(value.strip())):
        # A loop variable of an include: the included task has its value.
        value = variables.get(reference[1])
    return None if isinstance(value, str) and "{{" in value else value


def role_of(task: Task) -> str:
    """Return the name of the role that a task belongs to or includes, without its collection; empty without one."""
    if task.action.rpartition(".")[2] == "include_role":
        name = task.args.get("name") or task.args.get("role") or ""
    else:
        role = getattr(task, "_role", None)
        name = role.get_name() if role is not None else ""
    return str(name).rpartition(".")[2]


def enclosing_blocks(task: Task) -> Iterator[tuple[Block, str]]:
    """Iterate over the blocks that contain a task, innermost first, each with its section that contains the task.

    A section is ``block``, ``rescue`` or ``always``.
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
    """Return the message of a result that has no secrets; empty without one.

    If the task ``failed``, the end of the output replaces a missing message, and is added to one that is only "non-zero
    return code" or similar.
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
    """Return the label of a result's loop item and a colon; empty if the label is too long."""
    label = item.get("_ansible_item_label", item.get("item"))
    if label is None or "censored" in item:
        return ""
    text = clean(label)
    return f"{text}: " if len(text) <= 80 else ""
