"""The installed packages are exactly those of the lock file."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some
from predictor.lock import deviations, extras, read

GROUP = "software"
REMEDY = "Reinstall from the lock file (role deps); to keep the installed version, regenerate and commit the lock file."


def run(context: Context) -> Finding:
    """Compare the pins that apply to this interpreter with the installed packages."""
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
