"""Wait for something to happen."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

LOOK_SECONDS = 0.1
SELDOM_SECONDS = 1.0


def looks(within: float) -> Iterator[None]:
    """Yield whenever it is time to poll: every 0.1 s at first, then less often, at last every second.

    Most polls query the embedded AWS, which costs processor time that other drills need. Times measured this way are
    accurate to a tenth or to a second, whichever is less.

    Args:
        within: Seconds until the last poll.
    """
    started = time.monotonic()
    while (passed := time.monotonic() - started) <= within:
        yield
        time.sleep(min(max(LOOK_SECONDS, passed / 10), SELDOM_SECONDS))


def happens(what: Callable[[], bool], within: float) -> bool:
    """Wait until something has happened; return whether it did.

    Args:
        what: Returns whether it has happened.
        within: Longest time to wait in seconds.
    """
    # Check once more at the end: this process may have been suspended for long.
    return any(what() for _ in looks(within)) or what()


def busy_seconds(seconds: float) -> float:
    """Additional seconds that a loaded machine may take for something that takes `seconds` on an idle one.

    At most twice as long again. For tests that run in parallel; `make drill` grants none.
    """
    share = os.getloadavg()[0] / len(os.sched_getaffinity(0))
    return seconds * (min(max(share, 1.0), 3.0) - 1.0)
