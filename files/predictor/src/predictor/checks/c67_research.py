"""The research library, if it exists, can be trained on and is fresh."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some

GROUP = "data"
REMEDY = (
    "Update the research data, or raise data.stale_after_sessions.research in the configuration. Without the library, "
    "training omits the research layer."
)


def run(context: Context) -> Finding:
    """Read the research on the universe as the training does, and compare its age with the limit."""
    from predictor.training import research

    data = context.config.data
    if reason := research.unused(context.store, context.config):
        return Finding("pass", f"{reason}: training omits the research layer")
    limit = data.stale_after_sessions.research
    bars, found = context.last_bars(data.research_library), context.research_frames
    wanted = found.frames.keys() | found.malformed.keys()
    unreadable = [f"{symbol} ({why})" for symbol, why in sorted(found.malformed.items())]
    stale = [bars.name(symbol) for symbol in bars.older_than(limit) if symbol in wanted - set(data.known_ended)]
    parts = [f"{len(unreadable)} cannot be read: {name_some(unreadable)}"] if unreadable else []
    parts += [f"{len(stale)} are more than {limit} trading days old: {name_some(stale)}"] if stale else []
    if parts:
        return Finding("fail", f"of {len(wanted)} symbols {'; '.join(parts)}", [*unreadable, *stale])
    if not any(len(frame.columns) for frame in found.frames.values()):
        return Finding("warn", "no numbers for symbols of the universe: training omits the research layer")
    if odd := [f"{symbol} ({', '.join(names)})" for symbol, names in sorted(found.ignored.items())]:
        return Finding("warn", f"training ignores columns that are not numeric: {name_some(odd)}", odd)
    others = sorted({*bars.symbols} - wanted)
    ignored = f"; not in the universe and ignored: {name_some(others, 10)}" if others else ""
    oldest = max((age for symbol, age in bars.ages.items() if symbol in wanted), default=0)
    return Finding("pass", f"{len(wanted)} symbols, the oldest {oldest} trading days old{ignored}")
