"""Every symbol of the universe that still trades is fresh, in trading days before the run date."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some

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
    ended = [bars.name(symbol) for symbol in old if symbol in data.known_ended]
    spared = f"; ended: {name_some(ended, 10)}" if ended else ""
    if stale := [bars.name(symbol) for symbol in old if symbol not in data.known_ended]:
        detail = f"{len(stale)} of {len(bars.days)} symbols are more than {limit} trading days old: {name_some(stale)}"
        return Finding("fail", f"{detail}{spared}", stale)
    trading = [symbol for symbol in data.known_ended if symbol in bars.days and symbol not in old]
    unexpected = [
        f"{symbol} (in data.known_ended, but only {bars.ages[symbol]} trading days old)" for symbol in trading
    ]
    unknown = [symbol for symbol in data.known_ended if symbol not in bars.symbols]
    unexpected += [f"{symbol} (in data.known_ended, but not in the library)" for symbol in unknown]
    # Training ignores these bars, but a run date in the past is more often a mistake than intended.
    unexpected += [f"{symbol} (has bars on or after the run date)" for symbol in sorted(bars.ahead)]
    if unexpected:
        remedy = "Correct data.known_ended, or set run_date if it is wrong; training ignores bars on it or later."
        detail = f"{len(unexpected)} are unexpected: {name_some(unexpected, 10)}{spared}"
        return Finding("warn", detail, unexpected, remedy)
    oldest = max((age for symbol, age in bars.ages.items() if symbol not in old), default=0)
    return Finding("pass", f"{len(bars.days)} symbols, the oldest {oldest} trading days old, {limit} allowed{spared}")
