"""What is installed is what the lock file says, no package less and none more."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some
from predictor.lock import deviations, extras, read

GROUP = "software"
REMEDY = (
    "Install from the lock file anew (role deps); if the other version is wanted, write a new lock file and commit it."
)


def run(context: Context) -> Finding:
    """Compare every pin that applies to this interpreter; name all that differ, are missing or are not pinned."""
    pins = read(context.lock_path)
    if not pins:
        return Finding("fail", f"lock file {context.lock_path} pins nothing")
    more = extras(pins)
    also = f"; not in the lock file: {name_some(more)}" if more else ""
    if found := deviations(pins):
        detail = f"{len(found)} of {len(pins)} pins do not hold: {name_some(found)}{also}"
        return Finding("fail", detail, [*found, *(f"{package} is not in the lock file" for package in more)])
    if more:
        return Finding("warn", f"{len(pins)} pins hold; {len(more)} more installed, {also.lstrip('; ')}", more)
    return Finding("pass", f"{len(pins)} pins hold, nothing else is installed")
