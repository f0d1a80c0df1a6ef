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

NO_PART_OF_A_FOLD = ("data", "resources", "gates", "heartbeat")
"""Sections of the configuration that no fold depends on: where the data is (its digest counts), what the preflight asks
for, and what becomes of a model. A section that is not named here counts."""


def compute(config: Config, panel: Panel, research: Research, lock_sha256: str | None) -> str:
    """SHA-256 over `document`, in hexadecimal."""
    return hashlib.sha256(to_json(document(config, panel, research, lock_sha256))).hexdigest()


def document(config: Config, panel: Panel, research: Research, lock_sha256: str | None) -> dict[str, Any]:
    """All that a fold's result depends on, but for the fold itself.

    Returns:
        `code` (see `code_digest`), `lock` (digest of the lock file, None if it was not named), `config` (without
        `NO_PART_OF_A_FOLD`), `panel` and `research` (digests of the data itself, so that the same data counts as the
        same whatever version it has in ArcticDB), `packages` (version by name, of all that is installed), `python` and
        `machine` (processor architecture).
    """
    return {
        "code": package_digest(),
        "lock": lock_sha256,
        "config": {name: section for name, section in config.as_dict().items() if name not in NO_PART_OF_A_FOLD},
        "panel": panel.digest(),
        "research": research.digest(),
        "packages": lock.installed(),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def package_digest() -> str:
    """`code_digest` of this package."""
    return code_digest(Path(predictor.__file__).parent)


def code_digest(folder: Path) -> str:
    """SHA-256 over path and content of every Python file in a folder, in hexadecimal."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        whole.update(
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n".encode()
        )
    return whole.hexdigest()
