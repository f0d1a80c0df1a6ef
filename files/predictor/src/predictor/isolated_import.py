"""Import modules, each in an interpreter of its own, without the network and without writes outside a scratch folder.

`import_guard.py` is what runs in those interpreters.
"""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

GUARD = Path(__file__).with_name("import_guard.py")
SECONDS = 120
"""No module takes so long to import; one that does hangs."""


def modules_of(package: ModuleType) -> list[str]:
    """Names of all modules below a package, found without importing any of them, sorted."""
    names: list[str] = []
    pending = [(list(package.__path__), f"{package.__name__}.")]
    while pending:
        folders, prefix = pending.pop()
        for module in pkgutil.iter_modules(folders, prefix):
            names.append(module.name)
            if module.ispkg:
                last = module.name.rpartition(".")[2]
                pending.append(([str(Path(folder) / last) for folder in folders], f"{module.name}."))
    return sorted(names)


def attempt_all(names: Sequence[str]) -> dict[str, str]:
    """Import each module; as many at once as there are processors.

    Args:
        names: Dotted names.

    Returns:
        Why it failed, by name, in the order of `names`; empty for a module that imports.
    """
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return dict(zip(names, pool.map(attempt, names), strict=True))


def attempt(name: str) -> str:
    """Import one module.

    Args:
        name: Dotted name.

    Returns:
        Why it failed, in one line; empty if it did not.
    """
    with tempfile.TemporaryDirectory(prefix="import-") as scratch:
        # Without -P the folder of the guard would come first on the path, and with it modules of other names.
        command = [sys.executable, "-B", "-P", str(GUARD), name, scratch]
        try:
            done = subprocess.run(
                command,
                env={**os.environ, "HOME": scratch, "TMPDIR": scratch, "XDG_CACHE_HOME": scratch},
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"its import has not ended after {SECONDS} s"
        try:
            verdict = json.loads((Path(scratch) / "verdict.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            said = done.stderr.decode(errors="replace").strip().splitlines()
            return f"its interpreter ended with {done.returncode}: {said[-1][:200] if said else 'it said nothing'}"
    return _why(verdict["refused"], verdict["error"])


def _why(refused: Sequence[str], error: str) -> str:
    """What was refused goes first: the error is its consequence, and a module may have swallowed it."""
    if refused:
        more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
        return f"it must not do this on import: {refused[0]}{more}"
    return error
