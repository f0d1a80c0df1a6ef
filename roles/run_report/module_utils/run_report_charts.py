# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pictures of the report page, as inline SVG.

Across, everything is measured in percent and nothing is scaled, so one picture serves a desk screen and a telephone
with the same size of letters. Colours come from the page's style sheet (classes), so light and dark work alike; what a
colour says is also said by a hatching or a word. Every string is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from statistics import median
from typing import Any

from ansible.module_utils.run_report_events import parse_time
from ansible.module_utils.run_report_text import counted, duration, ic, number

BAR_HEIGHT = 16
IC_HEIGHT = 220
IC_AXIS_WIDTH = 52
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


def ic_chart(folds: Sequence[Mapping[str, Any]], median_ic: float | None, threshold: float | None) -> str:
    """Draw the information coefficient of each fold with the median and what the gate asks for.

    Args:
        folds: ``{fold, test_start, test_end, ic}`` in order of time.
        median_ic: the median over the folds, or None to take it from them.
        threshold: the gate's threshold, or None.

    Returns:
        Two SVGs side by side (axis and plot), or an empty string when no fold has a number.
    """
    known = [(fold, value) for fold in folds if (value := number(fold.get("ic"))) is not None]
    if not known:
        return ""
    middle = median(value for _, value in known) if median_ic is None else median_ic
    lines = [value for value in (middle, threshold) if value is not None]
    low, high, step = _nice_range([0.0, *lines, *(value for _, value in known)])

    def y(value: float) -> float:
        return round(8 + (IC_HEIGHT - 34) * (high - value) / (high - low), 1)

    ticks = [low + step * index for index in range(round((high - low) / step) + 1)]
    labels = "".join(
        f'<text x="{IC_AXIS_WIDTH - 8}" y="{y(tick) + 4}" text-anchor="end">{_tick(tick, step)}</text>'
        for tick in ticks
    )
    grid = "".join(
        f'<line class="{"zero" if abs(tick) < step / 9 else "grid"}" x1="0" x2="100%" y1="{y(tick)}" y2="{y(tick)}"/>'
        for tick in ticks
    )
    slot = 100 / len(known)
    bars: list[str] = []
    years: list[tuple[float, str]] = []
    shown = ""
    for index, (fold, value) in enumerate(known):
        top, bottom = (y(value), y(0)) if value >= 0 else (y(0), y(value))
        period = " to ".join(str(fold[key]) for key in ("test_start", "test_end") if fold.get(key))
        title = f"fold {fold.get('fold', index + 1)}: IC {ic(value)}" + (f", tested {period}" if period else "")
        bars.append(
            f'<rect class="{"up" if value >= 0 else "down"}" x="{index * slot + slot * 0.14:.3f}%" y="{top}"'
            f' width="{slot * 0.72:.3f}%" height="{max(1.0, bottom - top):.1f}"><title>{escape(title)}</title></rect>'
        )
        year = str(fold.get("test_start") or "")[:4]
        if year and year != shown and index * slot <= 90 and (not years or index * slot >= years[-1][0] + 13):
            years.append((index * slot, year))
        shown = year
    dates = "".join(f'<text x="{left:.2f}%" y="{IC_HEIGHT - 6}">{escape(year)}</text>' for left, year in years)
    marks = "".join(
        f'<line class="{name}" x1="0" x2="100%" y1="{y(value)}" y2="{y(value)}"/>'
        for kind, value in (("threshold", threshold), ("median", middle))
        if value is not None
        for name in (f"halo {kind}", kind)
    )
    below = sum(1 for _, value in known if value < 0)
    best, worst = max(value for _, value in known), min(value for _, value in known)
    description = (
        f"{counted(len(known), 'fold')}; median {ic(middle)}; best {ic(best)}; worst {ic(worst)}; {below} below zero"
        + ("" if threshold is None else f"; the gate asks for {ic(threshold)}")
    )
    return (
        f'<svg class="axis" width="{IC_AXIS_WIDTH}" height="{IC_HEIGHT}" aria-hidden="true">{labels}</svg>'
        f'<svg class="plot" width="100%" height="{IC_HEIGHT}" role="img" aria-labelledby="ic-title ic-desc">'
        f'<title id="ic-title">Information coefficient of each fold</title>'
        f'<desc id="ic-desc">{escape(description)}</desc>'
        f"{grid}{''.join(bars)}{marks}{dates}</svg>"
    )


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


def _nice_range(values: Sequence[float]) -> tuple[float, float, float]:
    """Find round ends and a round step for an axis over some values.

    Returns:
        Low, high and step; low and high are multiples of step, and there are about four of them.
    """
    spread = max(max(values) - min(values), 1e-3)
    raw = spread / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    low, high = math.floor(min(values) / step + 1e-9) * step, math.ceil(max(values) / step - 1e-9) * step
    return low, max(high, low + step), step


def _tick(value: float, step: float) -> str:
    """Format an axis label with as many decimals as the step needs."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f"{value:.{decimals}f}"
    return text.replace("-", "\u2212") if float(text) else f"{0:.{decimals}f}"
