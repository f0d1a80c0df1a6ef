# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Axes shared by the charts of the report: round ends, grid lines, labels, years.

A chart is two SVGs side by side, the labels of its y axis and the plot. The x axis is in percent and nothing is scaled,
so text has the same size on every screen; only a curve is stretched, in an inner SVG.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

HEIGHT = 220
AXIS_WIDTH = 52
TOP, BOTTOM = 8, 26
#: Labels of the x axis closer than this, in percent, overlap on a phone.
LEAST_GAP = 13


@dataclass(frozen=True)
class Scale:
    """A y axis: the values at the ends of the plot, and the distance between two grid lines."""

    low: float
    high: float
    step: float

    @classmethod
    def over(cls, values: Sequence[float]) -> Scale:
        """Return the axis that covers all values, at least one."""
        return cls(*nice_range(values))

    def y(self, value: float) -> float:
        """Return the position of a value in pixels from the top."""
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (self.high - value) / (self.high - self.low), 1)

    def ticks(self) -> list[float]:
        """List the values of the grid lines."""
        return [self.low + self.step * index for index in range(round((self.high - self.low) / self.step) + 1)]

    def labels(self, text: Callable[[float], str] | None = None) -> str:
        """Draw the SVG of the labels."""
        label = text or (lambda value: tick(value, self.step))
        labels = "".join(
            f'<text x="{AXIS_WIDTH - 8}" y="{self.y(value) + 4}" text-anchor="end">{escape(label(value))}</text>'
            for value in self.ticks()
        )
        return f'<svg class="axis" width="{AXIS_WIDTH}" height="{HEIGHT}" aria-hidden="true">{labels}</svg>'

    def grid(self) -> str:
        """Draw the grid lines; zero has its own class."""
        return "".join(
            f'<line class="{"zero" if abs(value) < self.step / 9 else "grid"}" x1="0" x2="100%"'
            f' y1="{self.y(value)}" y2="{self.y(value)}"/>'
            for value in self.ticks()
        )


def render_chart(name: str, title: str, description: str, scale: Scale, content: str, axis: str = "") -> str:
    """Return the axis and the plot of a chart as two SVGs; ``axis`` replaces the labels of ``scale``.

    ``name``, unique on the page, is the prefix of the element ids.
    """
    return (
        f"{axis or scale.labels()}"
        f'<svg class="plot" width="100%" height="{HEIGHT}" role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
        f"{scale.grid()}{content}</svg>"
    )


def level_labels(labels: Sequence[tuple[float, str]], anchor: str = "start", last: float = 90) -> str:
    """Draw labels (percent, text; ascending) below a plot, except those that would overlap or exceed ``last``."""
    kept: list[tuple[float, str]] = []
    for place, text in labels:
        if place <= last and (not kept or place >= kept[-1][0] + LEAST_GAP):
            kept.append((place, text))
    return "".join(
        f'<text x="{place:.2f}%" y="{HEIGHT - 6}" text-anchor="{anchor}">{escape(text)}</text>' for place, text in kept
    )


def vertical_line(kind: str, place: float, top: float, bottom: float) -> str:
    """Draw a vertical line with a class at a position in percent."""
    return f'<line class="{kind}" x1="{place:.3f}%" x2="{place:.3f}%" y1="{top}" y2="{bottom}"/>'


def nice_range(values: Sequence[float]) -> tuple[float, float, float]:
    """Find low, high and step of an axis for values; low and high are multiples of the step, about four steps apart."""
    # The relative minimum is for values that are equal and far from zero.
    spread = max(max(values) - min(values), 1e-4, 1e-9 * max(abs(value) for value in values))
    raw = spread / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    low, high = math.floor(min(values) / step + 1e-9) * step, math.ceil(max(values) / step - 1e-9) * step
    return low, max(high, low + step), step


def tick(value: float, step: float) -> str:
    """Format an axis label with as many decimals as the step needs."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f"{value:.{decimals}f}"
    return text.replace("-", "\u2212") if float(text) else f"{0:.{decimals}f}"
