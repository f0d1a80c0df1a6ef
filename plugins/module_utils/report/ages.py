# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Histogram of the ages of a universe's symbols, of the same size for one symbol and for 20,000.

Each class of age is a row. The first classes are single days, later ones are wider; one of them ends at the limit, so
the limit is a line between two rows. The length of a bar is the logarithm of its count, so that one stale symbol among
5,000 is visible, and its name is next to the bar.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from .text import counted

HEIGHT = 24
AXIS_HEIGHT = 20
#: Lower ends of the classes of age, in trading days: single days, then a week, a fortnight, a month, a quarter, a year.
EDGES = (0, 1, 2, 3, 4, 5, 10, 21, 63, 252)
#: The axis starts below one symbol, so that the bar of one symbol has a length.
BELOW_ONE = 0.3
#: Most characters of names in a row of the chart; the list below it has all names.
LONGEST_NAMES = 40


@dataclass(frozen=True)
class AgeRow:
    """One class of age: its label, its number of symbols, the first of them that are not fresh, and the bar or "".

    ``state`` is ``fresh``, ``stale``, ``unreadable`` or ``limit`` (a line between two classes, without bar and count).
    """

    label: str
    state: str
    count: int = 0
    names: str = ""
    svg: str = ""


def age_rows(
    ages: Mapping[str, int | None], stale: Sequence[str], unreadable: Sequence[str], limit: int | None
) -> list[AgeRow]:
    """Draw the number of symbols of each age in trading days (None: unreadable), a row per class, the youngest first.

    A stale symbol without an age counts as unreadable. The classes reach from 0 to the oldest age, at least to
    ``limit``, whose line is in between; the unreadable symbols are last. Empty without symbols.
    """
    edges = sorted({*EDGES, *([limit + 1] if limit is not None and limit >= 0 else [])})
    marked = set(stale)
    lost = {*unreadable, *(symbol for symbol in {*ages, *marked} if ages.get(symbol) is None)}
    members: dict[tuple[int, bool], list[tuple[int, str]]] = {}
    for symbol, age in ages.items():
        if age is not None and symbol not in lost:
            lower = max(edge for edge in edges if edge <= max(age, 0))
            members.setdefault((lower, symbol in marked), []).append((age, symbol))
    if not members and not lost:
        return []
    last = max([*(lower for lower, _ in members), *([limit] if limit is not None else [])], default=0)
    most = max([len(lost), *(len(found) for found in members.values())])
    rows = []
    for lower, upper in zip(edges, [*edges[1:], None], strict=True):
        if lower > last:
            break
        label = _label(lower, upper)
        for is_stale in (False, True):
            found = members.get((lower, is_stale), [])
            # An empty class is drawn once, to keep the scale; a class has both kinds only if limit and list disagree.
            if found or not (is_stale or (lower, True) in members):
                state = "stale" if is_stale else "fresh"
                names = _names([symbol for _, symbol in sorted(found, key=_oldest)]) if is_stale else ""
                rows.append(AgeRow(label, state, len(found), names, _bar(label, len(found), state, most)))
        if limit is not None and upper == limit + 1:
            rows.append(AgeRow(f"limit: {counted(limit, 'trading day')}", "limit"))
    if lost:
        svg = _bar("age unknown", len(lost), "unreadable", most)
        rows.append(AgeRow("age unknown", "unreadable", len(lost), _names(sorted(lost)), svg))
    return rows


def age_axis(rows: Sequence[AgeRow]) -> str:
    """Draw the axis below the rows: powers of ten."""
    top = _top(max((row.count for row in rows), default=1))
    labels = []
    for power in range(int(math.log10(top) + 1e-9) + 1):
        at = _length(10**power, top)
        anchor = "end" if at > 97 else "middle"
        labels.append(f'<text x="{at:.2f}%" y="14" text-anchor="{anchor}">{10**power:,}</text>')
    return f'<svg width="100%" height="{AXIS_HEIGHT}" aria-hidden="true">{"".join(labels)}</svg>'


def _bar(label: str, count: int, state: str, most: int) -> str:
    """Draw one row: the grid lines and, if there are symbols, a bar."""
    top = _top(most)
    ticks = range(int(math.log10(top) + 1e-9) + 1)
    grid = "".join(
        f'<line class="grid" x1="{(at := _length(10**power, top)):.2f}%" x2="{at:.2f}%" y1="0" y2="{HEIGHT}"/>'
        for power in ticks
    )
    bar = f'<rect class="bar {state}" x="0" y="4" rx="2" width="{_length(count, top):.2f}%" height="{HEIGHT - 8}"/>'
    title = escape(f"{label}: {counted(count, 'symbol')}" + (f", {state}" if count else ""))
    return (
        f'<svg width="100%" height="{HEIGHT}" role="img"><title>{title}</title>'
        f'<line class="zero" x1="0" x2="0" y1="0" y2="{HEIGHT}"/>{grid}{bar if count else ""}</svg>'
    )


def _top(most: int) -> int:
    """Return the end of the axis, at least 10, so that one symbol is not a full bar."""
    return max(10, most)


def _length(count: int, top: int) -> float:
    """Return the length of a bar in percent, on the logarithmic scale."""
    return 100 * (math.log10(count) + BELOW_ONE) / (math.log10(top) + BELOW_ONE) if count else 0.0


def _label(lower: int, upper: int | None) -> str:
    """Name the class from ``lower`` to just before ``upper``."""
    if upper is None:
        return f"{lower:,} days or more"
    if upper == lower + 1:
        return "up to date" if lower == 0 else counted(lower, "day")
    return f"{lower:,} to {upper - 1:,} days"


def _oldest(member: tuple[int, str]) -> Any:
    """Sort key: the oldest first, then by name."""
    return -member[0], member[1]


def _names(symbols: Sequence[str]) -> str:
    """List as many symbols as fit, at least one, and count the rest."""
    named: list[str] = []
    for symbol in symbols:
        if named and len(", ".join([*named, symbol])) > LONGEST_NAMES:
            break
        named.append(symbol if len(symbol) <= LONGEST_NAMES else symbol[: LONGEST_NAMES - 1] + "…")
    rest = len(symbols) - len(named)
    return ", ".join(named) + (f" and {rest:,} more" if rest else "")
