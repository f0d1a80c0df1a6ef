"""Stop a program on signals as Ctrl-C does."""

from __future__ import annotations

import signal

STOPS = (signal.SIGTERM, signal.SIGINT)


def stop_on(*numbers: signal.Signals) -> None:
    """Raise KeyboardInterrupt on these signals (default `STOPS`), so that every embedded AWS is stopped.

    A shell starts background commands with SIGINT ignored, and the playbooks would inherit that.
    """
    for number in numbers or STOPS:
        signal.signal(number, signal.default_int_handler)
