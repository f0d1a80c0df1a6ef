"""What is installed is what the lock file says."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some
from predictor.lock import deviations, read


def run(context: Context) -> Finding:
    """Compare every pin that applies to this interpreter; name all that differ or are missing."""
    pins = read(context.lock_path)
    if not pins:
        return Finding("fail", f"lock file {context.lock_path} pins nothing")
    if found := deviations(pins):
        return Finding("fail", f"{len(found)} of {len(pins)} pins do not hold: {name_some(found)}")
    return Finding("pass", f"{len(pins)} pins hold")
