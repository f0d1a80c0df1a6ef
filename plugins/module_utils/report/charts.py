# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bars of times on the report page, as inline SVG, like all its pictures.

Across, everything is measured in percent and nothing is scaled, so one picture serves a desk screen and a telephone
with the same size of letters. Colours come from the page's style sheet (classes), so light and dark work alike; what a
colour says is also said by a hatching or a word. Every string is escaped here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from ..runs.events import parse_time
from .text import duration, number

BAR_HEIGHT = 16
#: A bar narrower than this cannot be seen on a telephone.
LEAST_WIDTH = 0.6


@dataclass(frozen=True)
class Row:
    """One row of a bar list: a label, a picture and a value.

    Attributes:
        label: what the row is about.
        value: the number as a person reads it.
        state: ``passed``, ``failed``, ``interrupted``, ``skipped`` or ``running``.
        svg: the bar.
    """

    label: str
    value: str
    state: str
    svg: str


def timeline_rows(steps: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Draw one bar a step on a common clock.

    Args:
        steps: steps as in the receipt, with their ``spans``.

    Returns:
        One row a step, in order; empty when no step has a time.
    """
    spans = [_spans(step) for step in steps]
    moments = [moment for step in spans for span in step for moment in span]
    if not moments:
        return []
    begin, whole = min(moments), max((max(moments) - min(moments)).total_seconds(), 0.001)
    rows = []
    for step, stretches in zip(steps, spans, strict=True):
        bars = []
        for start, end in stretches:
            left = 100 * (start - begin).total_seconds() / whole
            width = max(LEAST_WIDTH, 100 * (end - start).total_seconds() / whole)
            bars.append((min(left, 100 - width), width))
        status = str(step["status"])
        at = duration((stretches[0][0] - begin).total_seconds()) if stretches else "an unknown time"
        title = f"{step['name']}: {status}, {duration(step['seconds'])}, began {at} into the run"
        value = "skipped" if status == "skipped" else duration(step["seconds"])
        rows.append(Row(str(step["name"]), value, status, _track(title, bars if status != "skipped" else [], status)))
    return rows


def time_bars(seconds: Sequence[Any]) -> list[str]:
    """Draw times against the longest of them: decoration beside the numbers, so without words of its own.

    Args:
        seconds: times; what is no number has no bar.

    Returns:
        One SVG a time.
    """
    known = [number(value) or 0.0 for value in seconds]
    longest = max([*known, 1e-9])
    return [
        f'<svg class="spark" width="64" height="6" aria-hidden="true"><rect class="bar" rx="1"'
        f' width="{max(2.0, 100 * value / longest) if value > 0 else 0:.1f}%" height="6"/></svg>'
        for value in known
    ]


def _track(title: str, bars: Sequence[tuple[float, float]], state: str) -> str:
    """Draw bars (left and width in percent) on an empty track."""
    shapes = "".join(
        f'<rect class="bar {escape(state)}" x="{left:.3f}%" y="2" rx="2"'
        f' width="{width:.3f}%" height="{BAR_HEIGHT - 4}"/>'
        for left, width in bars
    )
    return (
        f'<svg width="100%" height="{BAR_HEIGHT}" role="img"><title>{escape(title)}</title>'
        f'<line class="grid" x1="0" x2="100%" y1="{BAR_HEIGHT - 1}" y2="{BAR_HEIGHT - 1}"/>{shapes}</svg>'
    )


def _spans(step: Mapping[str, Any]) -> list[tuple[datetime, datetime]]:
    """Return the stretches of a step as times."""
    found = []
    for start, end in step.get("spans") or []:
        begin, finish = parse_time(start), parse_time(end)
        if begin is not None and finish is not None:
            found.append((begin, max(begin, finish)))
    return found
