"""Every installed file is the one that was installed."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some
from predictor.lock import changed_files

GROUP = "software"
REMEDY = "Something changed the environment after it was installed: find out what, then install it anew (role deps)."


def run(context: Context) -> Finding:
    """Hash each file of each package; name every one that differs from its RECORD."""
    wrong, total = changed_files()
    if wrong:
        return Finding("fail", f"{len(wrong)} of {total} files are not as installed: {name_some(wrong)}", wrong)
    return Finding("pass", f"{total} files hashed, each as its package's RECORD says")
