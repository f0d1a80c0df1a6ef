"""The universe is not empty, and all of its symbols can be read."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some

GROUP = "data"
REMEDY = "Rewrite these symbols: they lost a key in S3, or have no rows, no timestamps or no order."


def run(context: Context) -> Finding:
    """Read the description of each symbol."""
    name = context.config.data.universe_library
    bars = context.last_bars(name)
    total = len(bars.symbols)
    if not total:
        return Finding("fail", f"library {name!r} holds no symbol", remedy="Load prices into the library: it is empty.")
    if bars.unreadable:
        found = [f"{symbol} ({why})" for symbol, why in sorted(bars.unreadable.items())]
        return Finding("fail", f"{len(found)} of {total} symbols of {name!r} cannot be read: {name_some(found)}", found)
    return Finding("pass", f"{total} symbols in library {name!r} can be read")
