"""The symbols' bars are on the sessions of their calendars, and on the same days."""

from __future__ import annotations

from datetime import timedelta

from predictor.checks.base import Context, Finding, name_some
from predictor.errors import TrainingError

GROUP = "data"
REMEDY = (
    "Correct the bars at their source. If a symbol trades on other days, name its exchange in data.calendars in the "
    "configuration. If a calendar ends, install a newer exchange-calendars."
)

ENDS_WITHIN = timedelta(days=60)
"""A calendar that ends sooner is a warning: exchange-calendars extends calendars once a year."""


def run(context: Context) -> Finding:
    """Compare the days of each symbol's bars with its calendar, and the symbols with each other."""
    import numpy as np

    from predictor import exchange
    from predictor.series import listed

    sessions, odd = context.sessions, []
    for symbol, days in sessions.off_session.items():
        odd.append(f"{symbol} (bars on no session of {sessions.calendars[symbol].name}: {listed(days)})")
    for symbol, closes in sessions.bars.items():
        calendar = sessions.calendars[symbol]
        first, end = np.searchsorted(calendar.sessions, closes.days[[0, -1]]) if len(closes.days) else (0, 0)
        missing = np.setdiff1d(calendar.sessions[first:end], np.union1d(closes.days, closes.missing))
        if len(missing):
            odd.append(f"{symbol} (no bar on sessions of {calendar.name}: {listed(missing)})")
    for name in sorted({calendar.name for calendar in sessions.calendars.values()}):
        end = exchange.calendar(name, context.run_date, context.run_date + ENDS_WITHIN).last
        if end < context.run_date + ENDS_WITHIN:
            odd.append(f"calendar {name} ends on {end}")
    common = ""
    try:
        panel = context.panel
    except TrainingError:
        pass  # the check `folds` says why
    else:
        common = f"; {len(panel.days)} days in common"
        if len(panel.sparse):
            odd.append(f"less than half of the symbols have a bar on {listed(panel.sparse)}")
    if odd:
        return Finding("warn", name_some(odd), odd)
    return Finding("pass", f"the bars of {len(sessions.bars)} symbols are on the sessions of their calendars{common}")
