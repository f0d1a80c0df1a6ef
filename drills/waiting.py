"""Waiting for something to happen."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

LOOK_SECONDS = 0.1
SELDOM_SECONDS = 1.0


def looks(within: float) -> Iterator[None]:
    """Time to look, again and again: every 0.1 s at first, less and less often, and at last every second.

    Most looks ask the embedded AWS, and a drill is not to keep a processor busy with them that another one needs. What
    is timed by them is known to a tenth of itself, or to a second.

    Args:
        within: Seconds until there is no further look.
    """
    started = time.monotonic()
    while (passed := time.monotonic() - started) <= within:
        yield
        time.sleep(min(max(LOOK_SECONDS, passed / 10), SELDOM_SECONDS))


def happens(what: Callable[[], bool], within: float) -> bool:
    """Wait until something has happened; whether it did.

    Args:
        what: Tells whether it has.
        within: Seconds to wait at most.
    """
    # Once more at the end: this process may not have had its turn for long.
    return any(what() for _ in looks(within)) or what()


def loaded(seconds: float) -> float:
    """A limit in seconds for a machine with nothing else to do, as it is for this one with all that it does now."""
    tasks = max(os.getloadavg()[:2])
    return seconds * max(1.0, tasks / len(os.sched_getaffinity(0)))
