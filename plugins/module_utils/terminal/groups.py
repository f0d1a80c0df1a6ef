# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The groups of tasks that a terminal shows as one line each, and their texts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible import constants

from ..runs.text import clean

#: Fields of a result that are not shown.
INTERNAL = ("changed", "failed", "skipped", "invocation", "warnings", "deprecations", "exception")


@dataclass
class Group:
    """The tasks of one line: of a step, of a role, or of a play outside both.

    Attributes:
        name: The displayed name.
        key: The identity; its first part is ``step``, ``role`` or ``play``.
        began: Start, on the clock of `time.monotonic`.
        lines: Texts and colours to show below its line.
    """

    name: str
    key: tuple[str, ...]
    began: float = field(default_factory=time.monotonic)
    ok: int = 0
    changed: int = 0
    skipped: int = 0
    retries: int = 0
    failed: str = ""
    note: str = ""
    lines: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def state(self) -> tuple[str, str]:
        """The result, and its colour."""
        if self.failed:
            return self.failed, constants.COLOR_ERROR
        if not self.ok:
            return "skipped", constants.COLOR_SKIP
        return "ok", constants.COLOR_OK

    @property
    def detail(self) -> str:
        """The note, or the counts of tasks."""
        parts = [self.note] if self.note else []
        if not self.note and self.ok:
            parts.append(f"{self.ok} {'task' if self.ok == 1 else 'tasks'}")
            parts += [f"{self.changed} changed"] if self.changed else []
        parts += [f"{self.retries} {'retry' if self.retries == 1 else 'retries'}"] if self.retries else []
        return ", ".join(parts)


def clean_edges(text: str) -> str:
    """Return a text without control characters and trailing space; leading spaces are kept."""
    lead = len(text) - len(text.lstrip(" "))
    return f"{' ' * lead}{clean(text)}"


def plain(action: object) -> str:
    """Return the name of an action without its collection."""
    return str(action).rpartition(".")[2]


def counts_of(counts: Mapping[str, int]) -> str:
    """Format the counts of a host's tasks by result, without zeros."""
    names = ("ok", "changed", "unreachable", "failures", "rescued", "ignored")
    words = {"failures": "failed"}
    return ", ".join(f"{counts[name]} {words.get(name, name)}" for name in names if counts[name] or name == "ok")
