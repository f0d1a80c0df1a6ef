"""Every symbol of the universe that still trades is fresh, in trading days before the run date."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some
from predictor.last_bars import LastBars

GROUP = "data"
REMEDY = (
    "Update these prices. Add symbols that no longer trade to data.known_ended in the configuration; if the age is "
    "acceptable, raise data.stale_after_sessions.universe; if the run date is wrong, set run_date."
)


def run(context: Context) -> Finding:
    """Compare each symbol's age with the limit."""
    data = context.config.data
    bars = context.last_bars(data.universe_library)
    if not bars.days:
        return Finding("fail", f"no symbol of library {data.universe_library!r} has a last bar")
    limit = data.stale_after_sessions.universe
    old = bars.older_than(limit)
    if stale := [bars.name(symbol) for symbol in old if symbol not in data.known_ended]:
        detail = f"{len(stale)} of {len(bars.days)} symbols are more than {limit} trading days old: {name_some(stale)}"
        return Finding("fail", detail, stale)
    odd = [
        f"{symbol} (in data.known_ended, but it {_fate(bars, symbol)})"
        for symbol in data.known_ended
        if symbol not in old
    ]
    # Training ignores these bars, but a run date in the past is more often a mistake than intended.
    odd += [f"{symbol} (has bars on or after the run date)" for symbol in sorted(bars.ahead)]
    if odd:
        remedy = (
            "Correct data.known_ended. If the run date is wrong, set run_date; training ignores bars on it or later."
        )
        return Finding("warn", f"{len(odd)} are unexpected: {name_some(odd, 10)}", odd, remedy)
    oldest = max((age for symbol, age in bars.ages.items() if symbol not in old), default=0)
    spared = f"; ended: {', '.join(bars.name(symbol) for symbol in old)}" if old else ""
    return Finding("pass", f"{len(bars.days)} symbols, the oldest {oldest} trading days old, {limit} allowed{spared}")


def _fate(bars: LastBars, symbol: str) -> str:
    return "still trades" if symbol in bars.days else "is not in the library"
