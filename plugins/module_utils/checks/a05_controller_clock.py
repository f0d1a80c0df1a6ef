"""The controller's clock: near enough to AWS's that requests are accepted and a lease is as long as it says.

The first check: where it fails, AWS refuses what all the others ask.
"""

from __future__ import annotations

from .base import Finding, Unavailable
from .context import Context

REMEDY = "set the controller's clock, and keep it set: timedatectl set-ntp true, chronyc makestep"
WARN_SECONDS = 60
# AWS refuses what was signed five minutes too early or too late; a run is to be well within that until its end.
FAIL_SECONDS = 240


def run(context: Context) -> Finding:
    """Compare the clock with the ``Date`` of AWS's answers; a refusal tells the time as well."""
    try:
        _ = context.caller
    except Unavailable:
        if context.clock_offset() is None:
            raise
    offset = context.clock_offset()
    if offset is None:
        raise Unavailable("controller_clock", "AWS's answers have no Date")
    told = f"{abs(offset):.0f} s {'behind' if offset > 0 else 'ahead of'} AWS's clock"
    if abs(offset) > FAIL_SECONDS:
        return Finding("fail", f"the controller's clock is {told}: AWS refuses requests that are 300 s off")
    if abs(offset) > WARN_SECONDS:
        return Finding("warn", f"the controller's clock is {told}")
    return Finding("pass", f"{abs(offset):.0f} s off AWS's clock")
