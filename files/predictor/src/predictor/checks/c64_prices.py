"""Every bar before the run date is fit for training."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some

GROUP = "data"
REMEDY = "Correct these series at their source and rewrite them."


def run(context: Context) -> Finding:
    """Read every symbol's closes as the training does."""
    from predictor.series import listed

    reading = context.reading
    total = len(reading.closes) + len(reading.malformed)
    if not total:
        return Finding("fail", f"no symbol of library {context.config.data.universe_library!r} can be checked")
    bad = [f"{symbol} ({why})" for symbol, why in sorted(reading.malformed.items())]
    odd = [
        f"{symbol} (close is NaN on {listed(closes.missing)})"
        for symbol, closes in sorted(reading.closes.items())
        if len(closes.missing)
    ]
    parts = [f"{len(bad)} of {total} symbols cannot be trained on: {name_some(bad)}"] if bad else []
    parts += (
        [f"{len(odd)} of {total} symbols have missing closes, which training ignores: {name_some(odd)}"] if odd else []
    )
    if parts:
        return Finding("fail" if bad else "warn", "; ".join(parts), [*bad, *odd])
    bars = sum(len(closes.days) for closes in reading.closes.values())
    return Finding("pass", f"{bars} bars of {total} symbols before {context.run_date} are valid")
