"""The last rows of every symbol: a close in the last, no unadjusted split; and columns like the other symbols'."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some

GROUP = "data"
REMEDY = (
    "Correct these series at their source and rewrite them. If a move is real, add the symbol to "
    "data.last_rows.known_jumps in the configuration."
)


def run(context: Context) -> Finding:
    """Check each symbol's last rows on sessions before the run date."""
    from predictor import last_rows

    data = context.config.data
    series = context.sessions.bars
    if not series:
        return Finding("fail", f"no symbol of library {data.universe_library!r} can be checked")
    columns = context.last_bars(data.universe_library).columns
    faults = last_rows.faults(series, columns, data.last_rows, data.known_ended)
    if not faults:
        return Finding("pass", f"the last {data.last_rows.rows} rows of {len(series)} symbols are valid")
    bad = [str(fault) for fault in faults if fault.fatal]
    odd = [str(fault) for fault in faults if not fault.fatal]
    parts = [
        f"{len(found)} {word}: {name_some(found)}" for found, word in ((bad, "invalid"), (odd, "suspicious")) if found
    ]
    return Finding("fail" if bad else "warn", f"of {len(series)} symbols {'; '.join(parts)}", [*bad, *odd])
