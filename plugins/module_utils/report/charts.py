# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Timeline and duration bars of the report page, as inline SVG, like all its charts.

Horizontal positions are in percent and nothing is scaled, so a chart fits any screen with the same text size. Colours
come from classes of the page's style sheet, for light and dark mode; a hatching or a word says the same as each colour.
Every string is escaped here.
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
#: A bar narrower than this, in percent, is invisible on a phone.
LEAST_WIDTH = 0.6


@dataclass(frozen=True)
class Row:
    """One row of a bar list; ``state`` is ``passed``, ``failed``, ``interrupted``, ``skipped`` or ``running``."""

    label: str
    value: str
    state: str
    svg: str


def timeline_rows(steps: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Draw one bar per step of the receipt on a common time axis; empty if no step has a time."""
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
    """Draw each time relative to the longest, without accessible text; a value that is not a number gets no bar."""
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
    """Parse the spans of a step."""
    found = []
    for start, end in step.get("spans") or []:
        begin, finish = parse_time(start), parse_time(end)
        if begin is not None and finish is not None:
            found.append((begin, max(begin, finish)))
    return found
