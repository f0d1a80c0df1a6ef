# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Charts of a training's diagnostics: cumulative IC, calibration, feature importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from itertools import pairwise
from typing import Any

from .axes import BOTTOM, HEIGHT, TOP, Scale, level_labels, render_chart, tick, vertical_line
from .text import counted, number

#: Width and height of the inner SVG of a curve, which is stretched to the plot.
UNITS = 1000
#: Margin in percent on both sides, so that no dot is cut off.
MARGIN = 3
SHARE_HEIGHT = 16


def curve_chart(points: Sequence[Mapping[str, Any]]) -> str:
    """Draw the running sum of the daily rank ICs, ``{date, value}``; empty without points on two days."""
    known = sorted(
        (day, value)
        for point in points
        if (day := _day(point["date"])) is not None and (value := number(point["value"])) is not None
    )
    if not known or known[0][0] == known[-1][0]:
        return ""
    first, last = known[0][0], known[-1][0]
    values = [value for _, value in known]
    scale = Scale.over([0.0, *values])

    def x(day: date) -> float:
        return (day - first).days / (last - first).days

    path = " ".join(
        f"{UNITS * x(day):.1f},{UNITS * (scale.high - value) / (scale.high - scale.low):.1f}" for day, value in known
    )
    years = [(100 * x(date(year, 1, 1)), str(year)) for year in range(first.year + 1, last.year + 1)]
    description = (
        f"from {first} to {last}: ends at {values[-1]:+.2f}; highest {max(values):+.2f}; lowest {min(values):+.2f}"
    )
    curve = (
        f'<svg x="0" y="{TOP}" width="100%" height="{HEIGHT - TOP - BOTTOM}" viewBox="0 0 {UNITS} {UNITS}"'
        f' preserveAspectRatio="none"><polyline class="curve" points="{path}"/></svg>'
    )
    return render_chart("curve", "Cumulative rank IC", description, scale, curve + level_labels(years))


def calibration_chart(bins: Sequence[Mapping[str, Any]]) -> str:
    """Draw realised against forecast returns, with the line on which both are equal.

    ``bins`` are ``{forecast, realised, low, high, rows}``, fractions; ``low`` and ``high`` may be None. Empty without
    two bins of different forecast.
    """
    known = [
        (forecast, realised, entry)
        for entry in bins
        if (forecast := number(entry["forecast"])) is not None and (realised := number(entry["realised"])) is not None
    ]
    known.sort(key=lambda bin_: bin_[:2])
    if not known or known[0][0] == known[-1][0]:
        return ""
    ends = [end for *_, entry in known for key in ("low", "high") if (end := number(entry[key])) is not None]
    across = Scale.over([forecast for forecast, *_ in known])
    low, high = across.low, across.high
    scale = Scale.over([low, high, *(realised for _, realised, _ in known), *ends])

    def x(value: float) -> float:
        share: float = (value - low) / (high - low)
        return MARGIN + (100 - 2 * MARGIN) * share

    ideal = f'<line class="ideal" x1="{x(low):.2f}%" x2="{x(high):.2f}%" y1="{scale.y(low)}" y2="{scale.y(high)}"/>'
    joined = "".join(
        f'<line class="curve" x1="{x(a[0]):.2f}%" x2="{x(b[0]):.2f}%" y1="{scale.y(a[1])}" y2="{scale.y(b[1])}"/>'
        for a, b in pairwise(known)
    )
    dots = "".join(_dot(x(forecast), realised, entry, scale) for forecast, realised, entry in known)
    ticks = [(x(value), _percent(value, across.step)) for value in across.ticks()]
    labels = level_labels(ticks, anchor="middle", last=100)
    description = f"{counted(len(known), 'bin')} of similar forecast; " + "; ".join(
        f"forecast {forecast:+.2%}, realised {realised:+.2%}" for forecast, realised, _ in (known[0], known[-1])
    )
    axis = scale.labels(lambda value: _percent(value, scale.step))
    content = ideal + joined + dots + labels
    return render_chart("calibration", "Forecast and outcome", description, scale, content, axis)


@dataclass(frozen=True)
class Share:
    """One feature of a model: its mean share with the range over the folds, formatted, and the bar."""

    feature: str
    value: str
    svg: str


def share_rows(entries: Sequence[Mapping[str, Any]]) -> dict[str, list[Share]]:
    """Draw each model's features, ``{model, feature, mean, low, high, folds}``, on one scale for all models."""
    known = [entry for entry in entries if number(entry["mean"]) is not None]
    most = max([*(number(entry[key]) or 0.0 for entry in known for key in ("mean", "high")), 1e-9])
    rows: dict[str, list[Share]] = {}
    for entry in known:
        mean, low, high = number(entry["mean"]) or 0.0, number(entry["low"]), number(entry["high"])
        spread = "" if low is None or high is None else f" ({low:.0%} to {high:.0%})"
        value = f"{mean:.0%}{spread}"
        feature = str(entry["feature"] or "unnamed")
        folds = f", over {counted(entry['folds'], 'fold')}" if entry["folds"] else ""
        svg = _share_bar(f"{feature}: {value}{folds}", mean, low, high, most)
        rows.setdefault(str(entry["model"] or "model"), []).append(Share(feature, value, svg))
    return rows


def _share_bar(title: str, mean: float, low: float | None, high: float | None, most: float) -> str:
    """Draw one share as a bar, and its range as a whisker."""
    middle = SHARE_HEIGHT / 2
    bar = f'<rect class="bar" x="0" y="3" rx="2" width="{_length(mean, most):.2f}%" height="{SHARE_HEIGHT - 6}"/>'
    spread = ""
    if low is not None and high is not None:
        left, right = _length(low, most), _length(high, most)
        ends = "".join(vertical_line("whisker", place, middle - 4, middle + 4) for place in (left, right))
        spread = f'<line class="whisker" x1="{left:.2f}%" x2="{right:.2f}%" y1="{middle}" y2="{middle}"/>{ends}'
    return (
        f'<svg width="100%" height="{SHARE_HEIGHT}" role="img"><title>{escape(title)}</title>'
        f'<line class="zero" x1="0" x2="0" y1="0" y2="{SHARE_HEIGHT}"/>{bar}{spread}</svg>'
    )


def _length(value: float, most: float) -> float:
    """Return a length in percent, at most 99, so that the end of the longest stays visible."""
    return min(99.0, max(0.0, 99 * value / most))


def _dot(place: float, realised: float, entry: Mapping[str, Any], scale: Scale) -> str:
    """Draw one bin with its interval."""
    low, high = number(entry["low"]), number(entry["high"])
    whisker = "" if low is None or high is None else vertical_line("whisker", place, scale.y(low), scale.y(high))
    spread = "" if low is None or high is None else f" ({low:+.2%} to {high:+.2%})"
    title = (
        f"forecast {number(entry['forecast']):+.2%}, realised {realised:+.2%}{spread}, {counted(entry['rows'], 'row')}"
    )
    return (
        f'{whisker}<circle class="dot" cx="{place:.2f}%" cy="{scale.y(realised)}" r="4">'
        f"<title>{escape(title)}</title></circle>"
    )


def _day(value: Any) -> date | None:
    """Parse a date; None if it is invalid."""
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        return None


def _percent(value: float, step: float) -> str:
    """Format a fraction as an axis label in percent."""
    return f"{tick(100 * value, 100 * step)}%"
