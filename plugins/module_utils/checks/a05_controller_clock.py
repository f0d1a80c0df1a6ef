"""The control node's clock agrees with AWS's, so that requests are accepted and the lease has its length.

This check comes first: if it fails, AWS refuses the requests of all others.
"""

from __future__ import annotations

from .base import Finding, Unavailable
from .context import Context

REMEDY = "synchronise the control node's clock: timedatectl set-ntp true, chronyc makestep"
WARN_SECONDS = 60
# AWS refuses signatures that are five minutes off; a run must stay well within that until its end.
FAIL_SECONDS = 240


def run(context: Context) -> Finding:
    """Compare the clock with the ``Date`` header of AWS's answers; a refusal has one, too."""
    try:
        _ = context.caller
    except Unavailable:
        if context.clock_offset() is None:
            raise
    offset = context.clock_offset()
    if offset is None:
        raise Unavailable("controller_clock", "AWS's answers have no Date header")
    drift = f"{abs(offset):.0f} s {'behind' if offset > 0 else 'ahead of'} AWS's clock"
    if abs(offset) > FAIL_SECONDS:
        return Finding("fail", f"the control node's clock is {drift}: AWS refuses requests that are 300 s off")
    if abs(offset) > WARN_SECONDS:
        return Finding("warn", f"the control node's clock is {drift}")
    return Finding("pass", f"{abs(offset):.0f} s off AWS's clock")
