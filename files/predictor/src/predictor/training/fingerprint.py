"""What a fold's result depends on, as one digest: two trainings with the same one compute the same folds."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Any

import predictor
from predictor import lock
from predictor.config import Config
from predictor.output import to_json
from predictor.training.panel import Panel
from predictor.training.research import Research


def compute(config: Config, panel: Panel, research: Research) -> str:
    """SHA-256 over `document`, in hexadecimal."""
    return hashlib.sha256(to_json(document(config, panel, research))).hexdigest()


def document(config: Config, panel: Panel, research: Research) -> dict[str, Any]:
    """All that a fold's result depends on, but for the fold itself.

    Returns:
        `code` (see `code_digest`), `config`, `panel` and `research` (digests of the data itself, so that the same data
        counts as the same wherever it was read from), `packages` (version by name, of all that is installed), `python`
        and `machine` (processor architecture).
    """
    return {
        "code": code_digest(Path(predictor.__file__).parent),
        "config": config.as_dict(),
        "panel": panel.digest(),
        "research": research.digest(),
        "packages": lock.installed(),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def code_digest(folder: Path) -> str:
    """SHA-256 over path and content of every Python file in a folder, in hexadecimal."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        whole.update(
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n".encode()
        )
    return whole.hexdigest()
