"""The table of all statements: what only they allow, and what fails without them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tools.policies.replay import Need
from tools.policies.statements import Statement
from tools.policies.trials import Failure

BEGIN, END = "<!-- begin: make policies -->", "<!-- end: make policies -->"
HEADER = ("policy", "statement", "requests that only it allows", "without it")


@dataclass(frozen=True)
class Row:
    """A statement, what of the recorded runs needs it, and what failed without it (None: not tried)."""

    statement: Statement
    need: Need
    failure: Failure | None

    def cells(self) -> tuple[str, str, str, str]:
        """The four columns."""
        told = f"refuses {self.need.told}" if self.statement.denies else self.need.told
        failed = f"**{self.failure.step}**: {cell(self.failure.message)}" if self.failure else "not run"
        return self.statement.policy, self.statement.sid, told, failed


def cell(message: str) -> str:
    """A message without what it says to do, as a cell of a table."""
    told = re.sub(r"\.? Do: .*?(?=; [a-z_]+: |$)", "", message)
    return told.replace("|", "/").replace("*", "\\*")


def markdown(rows: Iterable[Row]) -> str:
    """The table as it stands in docs/policies.md."""
    lines = [HEADER, tuple("---" for _ in HEADER), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def between(text: str) -> str:
    """The table in a page."""
    return text.partition(BEGIN)[2].partition(END)[0].strip("\n") + "\n"


def put(text: str, table: str) -> str:
    """A page with this table in place of its own."""
    return f"{text.partition(BEGIN)[0]}{BEGIN}\n{table}{END}{text.partition(END)[2]}"
