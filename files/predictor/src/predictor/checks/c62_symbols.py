"""The universe holds the symbols that are expected, no fewer and no others."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some

GROUP = "data"
REMEDY = (
    "Missing: find out why the price feed dropped them. If the universe was changed on purpose, say so with "
    "preflight_expected_symbols (a file with one symbol a line, or none)."
)


def run(context: Context) -> Finding:
    """Compare the library's symbols with the expected ones; name every difference."""
    bars = context.last_bars(context.config.data.universe_library)
    if context.expected is None:
        return Finding("pass", f"{len(bars.symbols)} symbols; no list was given to hold them against")
    missing, new = context.missing_and_new()
    items = [*missing, *new]
    known = f"{len(context.expected)} symbols expected"
    parts = [
        f"{len(names)} {word}: {name_some(names)}" for names, word in ((missing, "missing"), (new, "new")) if names
    ]
    if missing:
        return Finding("fail", f"{known}, {'; '.join(parts)}", items)
    if new:
        return Finding("warn", f"{known}, all there, {'; '.join(parts)}", items)
    return Finding("pass", f"{known}, all there and no others")
