# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Axes that the pictures of the report share: round ends, grid lines, labels, years.

A picture is two SVGs side by side, the labels of its upright axis and the plot. Across, the plot is measured in percent
and nothing is scaled, so that letters have one size on every screen; only a curve is stretched, in an inner SVG.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

HEIGHT = 220
AXIS_WIDTH = 52
TOP, BOTTOM = 8, 26
#: Labels of the level axis nearer to each other than this, in percent, overlap on a telephone.
LEAST_GAP = 13


@dataclass(frozen=True)
class Scale:
    """An upright axis.

    Attributes:
        low: value at the lower end of the plot.
        high: value at its upper end.
        step: between two grid lines.
    """

    low: float
    high: float
    step: float

    @classmethod
    def over(cls, values: Sequence[float]) -> Scale:
        """Make the axis that holds all values, of which there is one at least."""
        return cls(*nice_range(values))

    def y(self, value: float) -> float:
        """Return where a value lies, in pixels from the top."""
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (self.high - value) / (self.high - self.low), 1)

    def ticks(self) -> list[float]:
        """List the values of the grid lines."""
        return [self.low + self.step * index for index in range(round((self.high - self.low) / self.step) + 1)]

    def labels(self, text: Callable[[float], str] | None = None) -> str:
        """Draw the SVG of the labels."""
        told = text or (lambda value: tick(value, self.step))
        labels = "".join(
            f'<text x="{AXIS_WIDTH - 8}" y="{self.y(value) + 4}" text-anchor="end">{escape(told(value))}</text>'
            for value in self.ticks()
        )
        return f'<svg class="axis" width="{AXIS_WIDTH}" height="{HEIGHT}" aria-hidden="true">{labels}</svg>'

    def grid(self) -> str:
        """Draw the grid lines; that of zero is another one."""
        return "".join(
            f'<line class="{"zero" if abs(value) < self.step / 9 else "grid"}" x1="0" x2="100%"'
            f' y1="{self.y(value)}" y2="{self.y(value)}"/>'
            for value in self.ticks()
        )


def picture(name: str, title: str, description: str, scale: Scale, content: str, axis: str = "") -> str:
    """Put a plot together.

    Args:
        name: prefix of the ids of its words; no two pictures of a page have the same.
        title: what it shows.
        description: what there is to see, for who does not see it.
        scale: the upright axis.
        content: the plot's own markup.
        axis: the labels of the upright axis, if not the scale's own.

    Returns:
        Two SVGs.
    """
    return (
        f"{axis or scale.labels()}"
        f'<svg class="plot" width="100%" height="{HEIGHT}" role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
        f"{scale.grid()}{content}</svg>"
    )


def level_labels(labels: Sequence[tuple[float, str]], anchor: str = "start", last: float = 90) -> str:
    """Write labels under a plot, leaving out those that would overlap or leave the picture.

    Args:
        labels: place in percent and text, ascending.
        anchor: which end of a text is at its place.
        last: no text begins beyond this.
    """
    kept: list[tuple[float, str]] = []
    for place, text in labels:
        if place <= last and (not kept or place >= kept[-1][0] + LEAST_GAP):
            kept.append((place, text))
    return "".join(
        f'<text x="{place:.2f}%" y="{HEIGHT - 6}" text-anchor="{anchor}">{escape(text)}</text>' for place, text in kept
    )


def nice_range(values: Sequence[float]) -> tuple[float, float, float]:
    """Find round ends and a round step for an axis over some values.

    Returns:
        Low, high and step; low and high are multiples of step, and there are about four of them.
    """
    # A fraction of the values themselves, for those that are all alike and far from zero.
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
