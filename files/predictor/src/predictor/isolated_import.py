"""Import modules, each in a process of its own, without the network and without writes outside a scratch folder.

`import_guard.py` is what runs in those processes.
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


def attempt_all(names: Sequence[str], libraries: Sequence[str]) -> dict[str, str]:
    """Import each module in a process that has imported the libraries and none of the others.

    The libraries take nearly all of the time, so they are imported once, under the same guard, and each module's
    process is forked off from there. What does not pass that way gets an interpreter of its own, as many at once as
    there are processors: that says what is wrong with it, and also does where a library is what is wrong.

    Args:
        names: Dotted names.
        libraries: Likewise, those that most modules need.

    Returns:
        Why it failed, by name, in the order of `names`; empty for a module that imports.
    """
    passed = _attempt_forked(names, libraries)
    rest = [name for name in names if name not in passed]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        why = dict(zip(rest, pool.map(attempt, rest), strict=True))
    return {name: why.get(name, "") for name in names}


def _attempt_forked(names: Sequence[str], libraries: Sequence[str]) -> set[str]:
    """Those of the modules that import in processes forked off; none where that way is not to be had."""
    with tempfile.TemporaryDirectory(prefix="import-") as scratch:
        arguments = ["--each", str(SECONDS), ",".join(libraries), ",".join(names)]
        try:
            _guarded(scratch, arguments, SECONDS * (len(names) + 1))
            return set(json.loads((Path(scratch) / "passed.json").read_text(encoding="utf-8")))
        except (subprocess.TimeoutExpired, OSError, ValueError):
            return set()


def attempt(name: str) -> str:
    """Import one module.

    Args:
        name: Dotted name.

    Returns:
        Why it failed, in one line; empty if it did not.
    """
    with tempfile.TemporaryDirectory(prefix="import-") as scratch:
        try:
            done = _guarded(scratch, [name], SECONDS)
        except subprocess.TimeoutExpired:
            return f"its import has not ended after {SECONDS} s"
        try:
            verdict = json.loads((Path(scratch) / "verdict.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            said = done.stderr.decode(errors="replace").strip().splitlines()
            return f"its interpreter ended with {done.returncode}: {said[-1][:200] if said else 'it said nothing'}"
    return _why(verdict["refused"], verdict["error"])


def _guarded(scratch: str, arguments: Sequence[str], seconds: float) -> subprocess.CompletedProcess[bytes]:
    """Run `import_guard.py`.

    Raises:
        subprocess.TimeoutExpired: It has not ended in time, and was killed.
    """
    return subprocess.run(
        # Without -P the folder of the guard would come first on the path, and with it modules of other names.
        [sys.executable, "-B", "-P", str(GUARD), scratch, *arguments],
        env={**os.environ, "HOME": scratch, "TMPDIR": scratch, "XDG_CACHE_HOME": scratch},
        cwd=scratch,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=seconds,
        check=False,
    )


def _why(refused: Sequence[str], error: str) -> str:
    """What was refused goes first: the error is its consequence, and a module may have swallowed it."""
    if refused:
        more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
        return f"it must not do this on import: {refused[0]}{more}"
    return error
