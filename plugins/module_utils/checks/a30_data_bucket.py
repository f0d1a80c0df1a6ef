"""The data bucket: reachable, encrypted by default, never public."""

from __future__ import annotations

from .base import Finding, worst
from .buckets import protection, reach
from .context import Context

REMEDY = "correct data_bucket and the controller's policy; set default encryption and all four public access blocks"


def run(context: Context) -> Finding:
    """List one key, then look at the bucket's settings."""
    bucket = context.settings.data_bucket
    unreachable = reach(context, bucket)
    if unreachable:
        return Finding("fail", unreachable)
    return worst(protection(context, bucket), f"{bucket}: reachable, encrypted, public access blocked")
