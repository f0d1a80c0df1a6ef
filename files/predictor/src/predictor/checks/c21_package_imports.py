"""Every module of this package can be imported by itself, without the network and without writing."""

from __future__ import annotations

from predictor.checks.base import Context, Finding, name_some
from predictor.checks.c20_library_imports import LIBRARIES

GROUP = "software"
REMEDY = "Mend the import: a module must do nothing on import but define things. Move the work into a function."


def run(context: Context) -> Finding:
    """Import each module in a process of its own; name every one that fails."""
    import predictor
    from predictor import isolated_import

    names = isolated_import.modules_of(predictor)
    broken = [f"{name} ({why})" for name, why in isolated_import.attempt_all(names, LIBRARIES).items() if why]
    if broken:
        return Finding("fail", f"{len(broken)} of {len(names)} modules cannot be imported: {name_some(broken)}", broken)
    return Finding("pass", f"{len(names)} modules of predictor {predictor.__version__}, each in its own process")
