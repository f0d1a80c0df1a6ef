# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Formats numbers for the page and the terminal; the receipt keeps exact ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: An unknown number in a table.
UNKNOWN = "\u2013"


def number(value: Any) -> float | None:
    """Return ``value`` as a finite float, or None if it is not a number (or a boolean)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def duration(seconds: Any) -> str:
    """Format seconds: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``1 h 05 min``; a dash if unknown."""
    value = number(seconds)
    if value is None:
        return UNKNOWN
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def usd(amount: Any) -> str:
    """Format dollars; amounts below ten cents, the cost of a short spot run, keep four decimals."""
    value = number(amount)
    if value is None:
        return "unknown"
    return f"${value:,.4f}" if 0 < value < 0.1 else f"${value:,.2f}"


def size(count: Any) -> str:
    """Format bytes: ``512 B``, ``1.4 kB``, ``56.7 MB``; a dash if unknown."""
    value = number(count)
    if value is None:
        return UNKNOWN
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.95:
            return f"{value:,.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def counted(count: Any, singular: str, plural: str | None = None) -> str:
    """Format a count with its noun: ``1 symbol``, ``5,000 symbols``."""
    value = number(count)
    if value is None:
        return f"unknown {plural or singular + 's'}"
    return f"{int(value):,} {singular if int(value) == 1 else plural or singular + 's'}"


def ic(value: Any) -> str:
    """Format an information coefficient with sign and four decimals; a dash if unknown."""
    known = number(value)
    return UNKNOWN if known is None else f"{known:+.4f}"


def cut(text: str, longest: int) -> str:
    """Truncate a text with an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def count_of(value: Any) -> int | None:
    """Return a count given as a number, a list or a mapping of counts (0 if one is invalid); None for anything else."""
    if isinstance(value, (list, tuple)):
        return len(value)
    if isinstance(value, Mapping):
        counts = [number(count) for count in value.values()]
        return 0 if None in counts else int(sum(filter(None, counts)))
    known = number(value)
    return None if known is None else int(known)
