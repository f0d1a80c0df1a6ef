"""The package supports this version of Python."""

from __future__ import annotations

import platform

from predictor.checks.base import Context, Finding

GROUP = "software"
REMEDY = "Install another Python on the instance (bootstrap_python), or widen requires-python in pyproject.toml."


def run(context: Context) -> Finding:
    """Compare the interpreter with the package's `requires-python`."""
    from importlib.metadata import PackageNotFoundError, metadata

    from packaging.specifiers import SpecifierSet

    found = platform.python_version()
    try:
        wanted = metadata("predictor")["Requires-Python"]
    except PackageNotFoundError:
        return Finding("fail", "the package predictor is importable but not installed")
    if not SpecifierSet(wanted).contains(found, prereleases=True):
        return Finding("fail", f"Python: expected {wanted}, got {found}")
    return Finding("pass", f"Python {found}")
