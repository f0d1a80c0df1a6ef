"""The symbols' bars are on the sessions of their calendars, and on the same days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from predictor.checks.base import Context, Finding, name_some
from predictor.errors import TrainingError

GROUP = "data"
REMEDY = (
    "Correct the bars at their source. If a symbol trades on other days, name its exchange in data.calendars in the "
    "configuration. If a calendar ends, install a newer exchange-calendars."
)

MOST_LOST = 0.1
"""A larger share of sessions that are not common to all calendars is a warning."""

ENDS_WITHIN = timedelta(days=60)
"""A calendar that ends sooner is a warning: exchange-calendars extends calendars once a year."""


def run(context: Context) -> Finding:
    """Compare the days of each symbol's bars with its calendar, and the symbols with each other."""
    found = [*_calendars(context), *_common_days(context), *_symbols(context)]
    if found:
        return Finding("warn", name_some(found), found)
    return Finding("pass", f"the bars of {len(context.sessions.bars)} symbols are on the sessions of their calendars")


def _calendars(context: Context) -> Iterator[str]:
    """Calendars that end soon, and exceptions for what does not exist."""
    from predictor import exchange

    data, sessions = context.config.data, context.sessions
    in_use = {calendar.name for symbol, calendar in sessions.calendars.items() if symbol not in data.known_ended}
    for name in sorted(in_use):
        last = exchange.calendar(name, context.run_date, context.run_date + ENDS_WITHIN).last
        if last < context.run_date + ENDS_WITHIN:
            yield f"calendar {name} ends on {last}"
    if unknown := sorted(data.calendars.symbols.keys() - set(context.last_bars(data.universe_library).symbols)):
        yield f"data.calendars.symbols names no symbols of the universe: {name_some(unknown)}"
    libraries = {data.universe_library, data.macro_library, data.research_library}
    if unknown := sorted(data.calendars.libraries.keys() - libraries):
        yield f"data.calendars.libraries names no libraries in use: {name_some(unknown)}"


def _common_days(context: Context) -> Iterator[str]:
    """Days that the symbols do not have in common."""
    import numpy as np

    from predictor.series import listed

    try:
        panel = context.panel
    except TrainingError:
        return  # the check `folds` says why
    if len(panel.sparse):
        yield f"fewer than half of the symbols have a bar on {listed(panel.sparse)}"
    [(name, _)] = Counter(context.sessions.calendars[symbol].name for symbol in panel.symbols).most_common(1)
    usual = next(one for one in context.sessions.calendars.values() if one.name == name).sessions
    if len(panel.days):
        usual = usual[(usual >= panel.days[0]) & (usual <= panel.days[-1])]
        lost = len(np.setdiff1d(usual, np.union1d(panel.days, panel.sparse)))
        if lost > MOST_LOST * len(usual):
            yield f"{lost} of {len(usual)} sessions of {name} are not common to all calendars in use"


def _symbols(context: Context) -> Iterator[str]:
    """Symbols with bars between sessions, or sessions without bars."""
    import numpy as np

    from predictor.series import listed

    sessions = context.sessions
    for symbol, days in sessions.off_session.items():
        yield f"{symbol} (bars on days that are no {sessions.calendars[symbol].name} sessions: {listed(days)})"
    for symbol, closes in sessions.bars.items():
        calendar = sessions.calendars[symbol]
        first, end = np.searchsorted(calendar.sessions, closes.days[[0, -1]]) if len(closes.days) else (0, 0)
        missing = np.setdiff1d(calendar.sessions[first:end], np.union1d(closes.days, closes.missing))
        if len(missing):
            yield f"{symbol} (no bars on {calendar.name} sessions: {listed(missing)})"
