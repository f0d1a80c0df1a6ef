"""No installed file has changed since its installation."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some
from predictor.lock import changed_files

GROUP = "software"
REMEDY = "Find out what changed the environment after its installation, then reinstall it (role deps)."


def run(context: Context) -> Finding:
    """Compare each file's hash with its package's RECORD."""
    wrong, total = changed_files()
    if wrong:
        return Finding("fail", f"{len(wrong)} of {total} files differ from RECORD: {name_some(wrong)}", wrong)
    return Finding("pass", f"{total} files agree with their packages' RECORD")
