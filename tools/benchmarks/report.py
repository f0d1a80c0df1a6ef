"""The shared parts of the reports: requirements, and tables as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Requirement:
    """Limits that apply at one point: a number's name -> its upper limit and what it means."""

    point: Mapping[str, int]
    where: str
    limits: Mapping[str, tuple[float, str]]

    def judge(self, points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Compare the measured point with the limits.

        Returns:
            The point, `limits`, `failures` (texts), and `met`: None if the point was not measured.
        """
        found = [one for one in points if self.point.items() <= one.items()]
        failures = [
            f"{one[name]:.2f} {meaning} (at most {limit:.2f})"
            for one in found
            for name, (limit, meaning) in self.limits.items()
            if one[name] > limit
        ]
        limits = {name: limit for name, (limit, _) in self.limits.items()}
        return {**self.point, "limits": limits, "failures": failures, "met": not failures if found else None}

    def verdict(self, judged: Mapping[str, Any]) -> Iterator[str]:
        """What `judge` returned as text; a failure is an error message of its own."""
        if judged["met"] is None:
            yield f"No requirement applies: nothing was measured at {self.where}."
        elif judged["met"]:
            limits = ", ".join(f"at most {limit:.2f} {meaning}" for limit, meaning in self.limits.values())
            yield f"Required at {self.where}, and met: {limits}."


def columns(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Format rows as lines, numbers right-aligned, words left-aligned."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numeric = [cell[:1] in "~0123456789" for cell in rows[-1]]
    for row in rows:
        cells = [
            cell.ljust(width) if cell[:1].isalpha() and not is_number else cell.rjust(width)
            for cell, width, is_number in zip(row, widths, numeric, strict=True)
        ]
        yield "  " + "  ".join(cells).rstrip()
