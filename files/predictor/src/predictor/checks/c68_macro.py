"""The macro series that the configuration names exist, can be read, and are fresh where required."""

from __future__ import annotations

from predictor.checks.base import Context, Finding

GROUP = "data"
REMEDY = "Rewrite the series in the macro library, or correct data.macro in the configuration."


def run(context: Context) -> Finding:
    """Check each configured series."""
    data = context.config.data
    bars = context.last_bars(data.macro_library)
    limit = data.stale_after_sessions.macro
    bad, good = [], []
    for series, kind in data.macro.items():
        if series in bars.unreadable:
            bad.append(f"{series} cannot be read ({bars.unreadable[series]})")
        elif series not in bars.days:
            bad.append(
                f"{series} has no row before {context.run_date}" if series in bars.later else f"{series} is missing"
            )
        elif kind == "fresh" and series in bars.unknown_ages:
            bad.append(f"{series}: {bars.unknown_ages[series]}")
        elif kind == "fresh" and bars.ages[series] > limit:
            bad.append(f"{series} is {bars.ages[series]} trading days old, ends {bars.days[series]}, {limit} allowed")
        else:
            good.append(f"{series} {'historical, ' if kind == 'historical' else ''}ends {bars.days[series]}")
    if bad:
        return Finding("fail", f"{len(bad)} of {len(data.macro)} macro series: {'; '.join(bad)}", bad)
    return Finding("pass", "; ".join(good) or "none configured")
