# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Charts of many runs: median IC with its interval and the gate's threshold, cost, duration."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from .axes import Scale, level_labels, render_chart, vertical_line
from .index import Entry
from .text import counted, duration, ic, usd

#: Number of newest runs that are drawn; more do not fit side by side on a screen.
DRAWN = 120
#: A chart has at least this many slots, so that a single run does not fill it.
LEAST_PLACES = 6
#: Units of time, and the seconds in each.
UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))
#: Width of a day's label and the largest position of the last one, in percent, on a phone.
LABEL_GAP = 26
LAST_LABEL = 78


def ic_trend(runs: Sequence[Entry]) -> str:
    """Draw the median IC of each training, the oldest first; empty without trainings."""
    drawn = [run for run in runs if run.median_ic is not None][-DRAWN:]
    if not drawn:
        return ""
    medians = [run.median_ic for run in drawn if run.median_ic is not None]
    thresholds = [run.threshold for run in drawn if run.threshold is not None]
    ends = [end for run in drawn for end in (run.ic_low, run.ic_high) if end is not None]
    scale = Scale.over([0.0, *medians, *thresholds, *ends])
    slot = _slot(len(drawn))
    marks = "".join(_ic_mark(run, (place + 0.5) * slot, scale) for place, run in enumerate(drawn))
    live = sum(run.promoted is True for run in drawn)
    description = (
        f"{counted(len(drawn), 'training')}, oldest first; newest {ic(medians[-1])}; best {ic(max(medians))}; worst "
        f"{ic(min(medians))}; {live} promoted" + (f"; gate threshold {ic(thresholds[-1])}" if thresholds else "")
    )
    content = _threshold(drawn, slot, scale) + marks + level_labels(_days(drawn, slot))
    return render_chart("ic-trend", "Median information coefficient of each training", description, scale, content)


def cost_trend(runs: Sequence[Entry]) -> str:
    """Draw the cost of each run in dollars; `runs` are the oldest first."""
    return _bars("cost-trend", "Cost of each run in dollars", [(run, run.usd, usd(run.usd)) for run in runs])


def time_trend(runs: Sequence[Entry]) -> tuple[str, str]:
    """Draw the durations of runs, the oldest first; return the unit, which fits the longest, and the chart."""
    longest = max((run.seconds or 0.0 for run in runs), default=0.0)
    unit, seconds = next((unit, size) for unit, size in UNITS if longest >= 2 * size or size == 1)
    values = [(run, None if run.seconds is None else run.seconds / seconds, duration(run.seconds)) for run in runs]
    return unit, _bars("time-trend", f"Duration of each run in {unit}", values)


def _bars(name: str, title: str, values: Sequence[tuple[Entry, float | None, str]]) -> str:
    """Draw one bar per run, the oldest first, each with its value as a number and formatted; empty without values."""
    drawn = [(run, value, text) for run, value, text in values if value is not None][-DRAWN:]
    if not drawn:
        return ""
    scale = Scale.over([0.0, *(value for _, value, _ in drawn)])
    slot, bars = _slot(len(drawn)), []
    for place, (run, value, text) in enumerate(drawn):
        top = scale.y(value)
        words = f"{when(run)}, {run.mode or 'unknown mode'}, {run.state.replace('_', ' ')}: {text}"
        left, width, height = (place + 0.14) * slot, 0.72 * slot, max(1.0, scale.y(0) - top)
        bars.append(
            f'<rect class="bar {escape(run.state)}" x="{left:.3f}%" y="{top}" width="{width:.3f}%"'
            f' height="{height:.1f}"><title>{escape(words)}</title></rect>'
        )
    most, least = max(drawn, key=lambda entry: entry[1]), min(drawn, key=lambda entry: entry[1])
    description = f"{counted(len(drawn), 'run')}, oldest first; newest {drawn[-1][2]}; most {most[2]}; least {least[2]}"
    content = "".join(bars) + level_labels(_days([run for run, _, _ in drawn], slot))
    return render_chart(name, title, description, scale, content)


def when(run: Entry) -> str:
    """Format the start of a run, to the minute."""
    return (run.started_at or "at an unknown time")[:16].replace("T", " ")


def _slot(count: int) -> float:
    """Return the width of one run's slot in percent."""
    return 100 / max(count, LEAST_PLACES)


def _ic_mark(run: Entry, place: float, scale: Scale) -> str:
    """Draw one training: its interval, and a dot that is filled if it was promoted."""
    low, high = run.ic_low, run.ic_high
    interval = "" if low is None or high is None else f" ({ic(low)} to {ic(high)})"
    became = {True: "promoted", False: "not promoted", None: "nothing to promote"}[run.promoted]
    words = f"{when(run)}, {run.mode}: median IC {ic(run.median_ic)}{interval}, {became}"
    whisker = "" if low is None or high is None else vertical_line("whisker", place, scale.y(low), scale.y(high))
    kind = "dot" if run.promoted else "ring"
    return (
        f'{whisker}<circle class="{kind}" cx="{place:.3f}%" cy="{scale.y(run.median_ic or 0.0)}" r="4.5">'
        f"<title>{escape(words)}</title></circle>"
    )


def _threshold(runs: Sequence[Entry], slot: float, scale: Scale) -> str:
    """Draw the gate's threshold as one line, with a step at each change."""
    steps: list[tuple[float, float, float]] = []
    for place, run in enumerate(runs):
        if run.threshold is None:
            continue
        left, right = place * slot, (place + 1) * slot
        if steps and steps[-1][2] == run.threshold and abs(steps[-1][1] - left) < slot / 2:
            steps[-1] = (steps[-1][0], right, run.threshold)
        else:
            steps.append((left, right, run.threshold))
    if steps and runs[-1].threshold is not None:
        steps[-1] = (steps[-1][0], 100.0, steps[-1][2])
    level = "".join(
        f'<line class="threshold" x1="{left:.3f}%" x2="{right:.3f}%" y1="{scale.y(value)}" y2="{scale.y(value)}"/>'
        for left, right, value in steps
    )
    joints = "".join(
        vertical_line("threshold", right, scale.y(before), scale.y(after))
        for (_, right, before), (left, _, after) in pairwise(steps)
        if abs(right - left) < slot / 2
    )
    return level + joints


def _days(runs: Sequence[Entry], slot: float) -> list[tuple[float, str]]:
    """Label the first run of each day if it fits; the first label of a year includes the year."""
    labels: list[tuple[float, str]] = []
    shown = year = ""
    for place, run in enumerate(runs):
        day, at = (run.started_at or "")[:10], place * slot
        if not day or day == shown or at > LAST_LABEL or (labels and at < labels[-1][0] + LABEL_GAP):
            continue
        labels.append((at, day[5:] if day[:4] == year else day))
        shown, year = day, day[:4]
    return labels
