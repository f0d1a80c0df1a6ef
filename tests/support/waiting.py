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


def busy_seconds(seconds: float) -> float:
    """What a machine may take longer, that has more to do than processors, for what takes it so long with nothing else.

    For tests beside others; a drill of its own is held to what is promised. At most twice as long again.
    """
    share = os.getloadavg()[0] / len(os.sched_getaffinity(0))
    return seconds * (min(max(share, 1.0), 3.0) - 1.0)
