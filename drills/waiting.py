"""Waiting for something to happen."""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK_SECONDS = 0.1


def happens(what: Callable[[], bool], within: float) -> bool:
    """Wait until something has happened; whether it did.

    Args:
        what: Tells whether it has.
        within: Seconds to wait at most.
    """
    deadline = time.monotonic() + within
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True
