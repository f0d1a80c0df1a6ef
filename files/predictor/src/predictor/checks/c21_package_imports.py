"""Every module of this package can be imported alone, without network access or file writes."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some
from predictor.checks.c20_library_imports import LIBRARIES

GROUP = "software"
REMEDY = "Fix the import: a module must only define things. Move other work into a function."


def run(context: Context) -> Finding:
    """Import each module in a separate process."""
    import predictor
    from predictor import isolated_import

    names = isolated_import.modules_of(predictor)
    broken = [f"{name} ({why})" for name, why in isolated_import.attempt_all(names, LIBRARIES).items() if why]
    if broken:
        return Finding("fail", f"{len(broken)} of {len(names)} modules cannot be imported: {name_some(broken)}", broken)
    return Finding("pass", f"{len(names)} modules of predictor {predictor.__version__}, each in a separate process")
