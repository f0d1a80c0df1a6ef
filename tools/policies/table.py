"""The table of all statements: the requests that need each, and what fails without it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tools.policies.recording import Asked
from tools.policies.statements import Statement
from tools.policies.trials import Failure

BEGIN, END = "<!-- begin: make policies -->", "<!-- end: make policies -->"
HEADER = ("policy", "statement", "requests that only it allows", "without it")


@dataclass(frozen=True)
class Row:
    """A statement, the decisions that depend on it, and what failed without it (None: not tried)."""

    statement: Statement
    need: list[Asked]
    failure: Failure | None

    def cells(self) -> tuple[str, str, str, str]:
        """The four columns."""
        needed = "none"
        if self.need:
            first = self.need[0]
            needed = f"{len(self.need)}, `{first.line['permission']}` ({first.where})"
        needed = f"refuses {needed}" if self.statement.denies else needed
        failed = f"**{self.failure.step}**: {cell(self.failure.message)}" if self.failure else "not run"
        return self.statement.policy, self.statement.sid, needed, failed


def cell(message: str) -> str:
    """A message as a cell of a table, without its remedy."""
    text = re.sub(r"\.? Do: .*?(?=; [a-z_]+: |$)", "", message)
    return text.replace("|", "/").replace("*", "\\*")


def markdown(rows: Iterable[Row]) -> str:
    """The table in docs/policies.md."""
    lines = [HEADER, tuple("---" for _ in HEADER), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def between(text: str) -> str:
    """The table in a page."""
    return text.partition(BEGIN)[2].partition(END)[0].strip("\n") + "\n"


def put(text: str, table: str) -> str:
    """Replace the table of a page."""
    return f"{text.partition(BEGIN)[0]}{BEGIN}\n{table}{END}{text.partition(END)[2]}"
