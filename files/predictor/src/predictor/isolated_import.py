"""Import modules in separate processes (`import_guard.py`), without network or writes outside a scratch folder."""

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
"""Time limit of one import."""


def modules_of(package: ModuleType) -> list[str]:
    """Names of all modules below a package, sorted, found without importing them."""
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


def attempt_all(names: Sequence[str], libraries: Sequence[str]) -> dict[str, str]:
    """Import each module in a process that has imported the libraries but no other module.

    The libraries take most of the time, so a guarded process imports them once and forks for each module. Modules that
    fail there are imported again in separate interpreters, in parallel, to obtain the error.

    Args:
        names: Dotted names.
        libraries: Dotted names of the libraries that most modules need.

    Returns:
        Error by name, in the order of `names`; empty for a module that imports.
    """
    passed = _attempt_forked(names, libraries)
    rest = [name for name in names if name not in passed]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        why = dict(zip(rest, pool.map(attempt, rest), strict=True))
    return {name: why.get(name, "") for name in names}


def _attempt_forked(names: Sequence[str], libraries: Sequence[str]) -> set[str]:
    """The modules that import in forked processes; none if forking fails as a whole."""
    with tempfile.TemporaryDirectory(prefix="import-") as scratch:
        arguments = ["--each", str(SECONDS), ",".join(libraries), ",".join(names)]
        try:
            _guarded(scratch, arguments, SECONDS * (len(names) + 1))
            return set(json.loads((Path(scratch) / "passed.json").read_text(encoding="utf-8")))
        except (subprocess.TimeoutExpired, OSError, ValueError):
            return set()


def attempt(name: str) -> str:
    """Import one module in a new interpreter; returns the error in one line, empty on success."""
    with tempfile.TemporaryDirectory(prefix="import-") as scratch:
        try:
            done = _guarded(scratch, [name], SECONDS)
        except subprocess.TimeoutExpired:
            return f"its import takes more than {SECONDS} s"
        try:
            verdict = json.loads((Path(scratch) / "verdict.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            said = done.stderr.decode(errors="replace").strip().splitlines()
            return f"its interpreter exited with {done.returncode}: {said[-1][:200] if said else 'no output'}"
    return _why(verdict["refused"], verdict["error"])


def _guarded(scratch: str, arguments: Sequence[str], seconds: float) -> subprocess.CompletedProcess[bytes]:
    """Run `import_guard.py`.

    Raises:
        subprocess.TimeoutExpired: It exceeded the time limit and was killed.
    """
    return subprocess.run(
        # Without -P, the guard's folder would come first on the path.
        [sys.executable, "-B", "-P", str(GUARD), scratch, *arguments],
        env={**os.environ, "HOME": scratch, "TMPDIR": scratch, "XDG_CACHE_HOME": scratch},
        cwd=scratch,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=seconds,
        check=False,
    )


def _why(refused: Sequence[str], error: str) -> str:
    """The refusal, if any, else the error: the error follows from the refusal, or the module swallowed it."""
    if refused:
        more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
        return f"forbidden on import: {refused[0]}{more}"
    return error
