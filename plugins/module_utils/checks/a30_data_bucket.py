"""The data bucket is reachable, encrypted by default, and not public."""

from __future__ import annotations

from .base import Finding, worst
from .buckets import protection
from .context import Context

REMEDY = "correct data_bucket and the control node's policy; set default encryption and all four public access blocks"


def run(context: Context) -> Finding:
    """List one key, then check the bucket's settings."""
    bucket = context.settings.data_bucket
    return worst(protection(context, bucket), f"{bucket}: reachable, encrypted, public access blocked")
