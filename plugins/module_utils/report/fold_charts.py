# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Charts with one bar per fold: the information coefficient, and its difference from the incumbent's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median
from typing import Any

from .axes import Scale, level_labels, render_chart, vertical_line
from .text import counted, ic, number


@dataclass(frozen=True)
class FoldBar:
    """One fold: height and tooltip of its bar, the year in which its test window begins or "", and its interval."""

    value: float
    title: str
    year: str = ""
    interval: tuple[float, float] | None = None


def ic_chart(
    folds: Sequence[Mapping[str, Any]],
    median_ic: float | None,
    threshold: float | None,
    interval: Sequence[float] | None = None,
) -> str:
    """Draw the IC of each fold with the median, its interval and the gate's threshold; empty if no fold has an IC.

    ``folds`` are ``{fold, test_start, test_end, ic, ic_low, ic_high}`` in order of time. Without ``median_ic``, the
    median is calculated.
    """
    bars = [bar for index, fold in enumerate(folds) if (bar := _ic_bar(fold, index)) is not None]
    if not bars:
        return ""
    values = [bar.value for bar in bars]
    middle = median(values) if median_ic is None else median_ic
    below = sum(value < 0 for value in values)
    description = (
        f"{counted(len(bars), 'fold')}; median {ic(middle)}"
        + (f" (95% interval {ic(interval[0])} to {ic(interval[1])})" if interval else "")
        + f"; best {ic(max(values))}; worst {ic(min(values))}; {below} below zero"
        + ("" if threshold is None else f"; gate threshold {ic(threshold)}")
    )
    lines = [("threshold", threshold), ("median", middle)]
    return _chart("ic", "Information coefficient of each fold", description, bars, lines, interval)


def difference_chart(incumbent: Mapping[str, Any], folds: Sequence[Mapping[str, Any]], margin: float | None) -> str:
    """Draw by how much each fold's IC exceeds the incumbent's; empty if no fold has both ICs.

    ``folds``, those of the training, give the years of the test windows; ``margin`` is the required median difference.
    """
    years = {number(fold.get("fold")): str(fold.get("test_start") or "")[:4] for fold in folds}
    bars = []
    for fold in incumbent["folds"]:
        mine, other, name = number(fold["ic"]), number(fold["incumbent_ic"]), number(fold["fold"])
        if mine is not None and other is not None:
            days = f", {counted(fold['days'], 'common day')}" if number(fold["days"]) is not None else ""
            fold_name = "?" if name is None else f"{name:.0f}"
            title = f"fold {fold_name}: {ic(mine - other)} ({ic(mine)} against {ic(other)}{days})"
            bars.append(FoldBar(mine - other, title, years.get(name, "")))
    if not bars:
        return ""
    values = [bar.value for bar in bars]
    middle = number(incumbent["median_difference"])
    middle = median(values) if middle is None else middle
    better = sum(value > 0 for value in values)
    description = f"{counted(len(bars), 'fold')}, {better} better than the incumbent; median difference {ic(middle)}"
    title = "Information coefficient of each fold, less the incumbent's"
    return _chart("difference", title, description, bars, [("threshold", margin), ("median", middle)], None)


def _ic_bar(fold: Mapping[str, Any], index: int) -> FoldBar | None:
    """Return the bar of a fold, or None if it has no IC."""
    value = number(fold.get("ic"))
    if value is None:
        return None
    low, high = number(fold.get("ic_low")), number(fold.get("ic_high"))
    interval = None if low is None or high is None else (min(low, high), max(low, high))
    spread = f" ({ic(low)} to {ic(high)})" if interval else ""
    period = " to ".join(str(fold[key]) for key in ("test_start", "test_end") if fold.get(key))
    title = f"fold {fold.get('fold', index + 1)}: IC {ic(value)}{spread}" + (f", tested {period}" if period else "")
    return FoldBar(value, title, str(fold.get("test_start") or "")[:4], interval)


def _chart(
    name: str,
    title: str,
    description: str,
    bars: Sequence[FoldBar],
    lines: Sequence[tuple[str, float | None]],
    band: Sequence[float] | None,
) -> str:
    """Draw bars from zero with their intervals, horizontal lines, and a band in the background."""
    ends = [end for bar in bars for end in bar.interval or ()]
    known = [(kind, value) for kind, value in lines if value is not None]
    scale = Scale.over([0.0, *(value for _, value in known), *(bar.value for bar in bars), *ends, *(band or ())])
    slot = 100 / len(bars)
    drawn, years, shown = [], [], ""
    for index, bar in enumerate(bars):
        top, bottom = sorted((scale.y(bar.value), scale.y(0)))
        kind = "up" if bar.value >= 0 else "down"
        drawn.append(
            f'<rect class="{kind}" x="{index * slot + slot * 0.14:.3f}%" y="{top}" width="{slot * 0.72:.3f}%"'
            f' height="{max(1.0, bottom - top):.1f}"><title>{escape(bar.title)}</title></rect>'
        )
        if bar.interval:
            low, high = bar.interval
            drawn.append(vertical_line("whisker", (index + 0.5) * slot, scale.y(low), scale.y(high)))
        if bar.year and bar.year != shown:
            years.append((index * slot, bar.year))
        shown = bar.year or shown
    behind = ""
    if band:
        top, bottom = scale.y(band[1]), scale.y(band[0])
        behind = f'<rect class="band" x="0" y="{top}" width="100%" height="{max(1.0, bottom - top):.1f}"/>'
    marks = "".join(
        f'<line class="{one}" x1="0" x2="100%" y1="{scale.y(value)}" y2="{scale.y(value)}"/>'
        for what, value in known
        for one in (f"halo {what}", what)
    )
    content = behind + "".join(drawn) + marks + level_labels(years)
    return render_chart(name, title, description, scale, content)
