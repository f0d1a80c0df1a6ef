"""Every module of this package can be imported; none is run."""

from __future__ import annotations

import importlib
import pkgutil

import predictor
from predictor.checks.base import Context, Finding
from predictor.errors import one_line


def run(context: Context) -> Finding:
    """Import each module; name every one that fails."""
    broken = []
    # walk_packages imports packages to look inside; one that fails is imported, and reported, in the loop below.
    names = [module.name for module in pkgutil.walk_packages(predictor.__path__, "predictor.", onerror=lambda _: None)]
    for name in names:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:  # a module that runs something on import may fail in any way, or exit
            broken.append(f"{name} ({one_line(error)})")
    if broken:
        return Finding("fail", f"{len(broken)} of {len(names)} modules cannot be imported: {'; '.join(broken)}")
    return Finding("pass", f"{len(names)} modules of predictor {predictor.__version__} import")
