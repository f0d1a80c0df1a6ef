"""The last rows of every symbol are fit for training: columns, types, order, prices, no unadjusted split."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some

GROUP = "data"
REMEDY = (
    "Correct these series at their source and rewrite them. If a move is real, add the symbol to "
    "data.last_rows.known_jumps in the configuration."
)


def run(context: Context) -> Finding:
    """Check each symbol's last rows."""
    from predictor import last_rows

    data = context.config.data
    bars = context.last_bars(data.universe_library)
    symbols = [symbol for symbol in bars.symbols if symbol in bars.columns]
    if not symbols:
        return Finding("fail", f"no symbol of library {data.universe_library!r} can be checked")
    library = context.library(data.universe_library)
    faults = last_rows.faults(library, symbols, bars.columns, data.last_rows, context.versions)
    if not faults:
        return Finding("pass", f"the last {data.last_rows.rows} rows of {len(symbols)} symbols are valid")
    bad = [str(fault) for fault in faults if fault.fatal]
    odd = [str(fault) for fault in faults if not fault.fatal]
    parts = [
        f"{len(found)} {word}: {name_some(found)}" for found, word in ((bad, "invalid"), (odd, "suspicious")) if found
    ]
    return Finding("fail" if bad else "warn", f"of {len(symbols)} symbols {'; '.join(parts)}", [*bad, *odd])
