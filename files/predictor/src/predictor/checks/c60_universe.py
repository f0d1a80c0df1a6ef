"""ArcticDB's universe is there, not empty, and every symbol in it can be read."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some


def run(context: Context) -> Finding:
    """List the universe and describe each symbol; name every one that cannot be read."""
    name = context.config.data.universe_library
    bars = context.last_bars(name)
    total = len(bars.days) + len(bars.unreadable)
    if not total:
        return Finding("fail", f"library {name!r} holds no symbol")
    if bars.unreadable:
        found = name_some([f"{symbol} ({why})" for symbol, why in sorted(bars.unreadable.items())])
        return Finding("fail", f"{len(bars.unreadable)} of {total} symbols of {name!r} cannot be read: {found}")
    return Finding("pass", f"{total} symbols in library {name!r}, opened read-only")
