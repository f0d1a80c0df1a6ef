"""The research library, if it exists, can be trained on and is fresh."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some

GROUP = "data"
REMEDY = (
    "Update the research data, or raise data.stale_after_sessions.research in the configuration. Without the library, "
    "training omits the research layer."
)


def run(context: Context) -> Finding:
    """Read each research symbol as the training does, and compare its age with the limit."""
    data = context.config.data
    name, limit = data.research_library, data.stale_after_sessions.research
    if not context.store.has_library(name):
        return Finding("pass", f"no library {name!r}: training omits the research layer")
    bars = context.last_bars(name)
    if not bars.symbols:
        return Finding("fail", f"library {name!r} holds no symbol")
    found = context.research_frames
    unreadable = [f"{symbol} ({why})" for symbol, why in sorted({**found.malformed, **bars.unreadable}.items())]
    stale = [bars.name(symbol) for symbol in bars.older_than(limit)]
    parts = [f"{len(unreadable)} cannot be read: {name_some(unreadable)}"] if unreadable else []
    parts += [f"{len(stale)} are more than {limit} trading days old: {name_some(stale)}"] if stale else []
    if parts:
        return Finding("fail", f"of {len(bars.symbols)} symbols {'; '.join(parts)}", [*unreadable, *stale])
    if unused := sorted({*bars.symbols} - found.frames.keys()):
        others = f"; not in the universe and ignored: {name_some(unused, 10)}"
    else:
        others = ""
    return Finding(
        "pass", f"{len(bars.symbols)} symbols, the oldest {max(bars.ages.values())} trading days old{others}"
    )
