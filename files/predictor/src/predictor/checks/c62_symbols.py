"""The universe holds exactly the expected symbols."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some

GROUP = "data"
REMEDY = (
    "Find out why the price feed dropped the missing symbols. If the universe changed on purpose, set "
    "preflight_expected_symbols (a file with one symbol a line, or none)."
)


def run(context: Context) -> Finding:
    """Compare the library's symbols with the expected ones."""
    bars = context.last_bars(context.config.data.universe_library)
    if context.expected is None:
        return Finding("pass", f"{len(bars.symbols)} symbols; no list to compare with")
    missing, new = context.missing_and_new()
    items = [*missing, *new]
    known = f"{len(context.expected)} symbols expected"
    parts = [
        f"{len(names)} {word}: {name_some(names)}" for names, word in ((missing, "missing"), (new, "new")) if names
    ]
    if missing:
        return Finding("fail", f"{known}, {'; '.join(parts)}", items)
    if new:
        return Finding("warn", f"{known}, all present, {'; '.join(parts)}", items)
    return Finding("pass", f"{known}, all present and no others")
