"""Every symbol of the universe is fresh, in trading days before the run date."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some

GROUP = "data"
REMEDY = (
    "Update these prices. If their age is acceptable, raise data.stale_after_sessions.universe in the configuration; "
    "if the run date is wrong, set run_date."
)


def run(context: Context) -> Finding:
    """Compare each symbol's age with the limit."""
    data = context.config.data
    bars = context.last_bars(data.universe_library)
    if not bars.days:
        return Finding("fail", f"no symbol of library {data.universe_library!r} has a last bar")
    limit = data.stale_after_sessions.universe
    if stale := [bars.name(symbol) for symbol in bars.older_than(limit)]:
        detail = f"{len(stale)} of {len(bars.days)} symbols are more than {limit} trading days old: {name_some(stale)}"
        return Finding("fail", detail, stale)
    # Training drops these bars, but a run date in the past is more often a mistake than intended.
    if ahead := sorted(symbol for symbol, day in bars.days.items() if day >= context.run_date):
        return Finding(
            "warn", f"{len(ahead)} symbols have bars on or after the run date: {name_some(ahead, 10)}", ahead
        )
    oldest = max(bars.ages.values())
    return Finding("pass", f"{len(bars.days)} symbols, the oldest {oldest} trading days old, {limit} allowed")
