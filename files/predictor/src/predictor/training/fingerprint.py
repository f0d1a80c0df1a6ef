"""A digest of everything that a fold's result depends on: trainings with equal fingerprints compute equal folds."""

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
"""Sections of the configuration that no fold depends on: the data's location (its digest counts), the preflight's
requirements, and what follows the folds."""


def compute(config: Config, panel: Panel, research: Research, lock_sha256: str | None) -> str:
    """SHA-256 over `document`, in hexadecimal."""
    return hashlib.sha256(to_json(document(config, panel, research, lock_sha256))).hexdigest()


def document(config: Config, panel: Panel, research: Research, lock_sha256: str | None) -> dict[str, Any]:
    """Everything that a fold's result depends on, except the fold itself.

    Returns:
        `code` (`code_digest`), `lock` (digest of the lock file, if any), `config` (without `NO_PART_OF_A_FOLD`),
        `panel` and `research` (digests of the data, independent of ArcticDB's versions), `packages` (version by name of
        every installed package), `python` and `machine` (processor architecture).
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
    """SHA-256 over the path and content of every Python file in a folder, in hexadecimal."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        whole.update(
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n".encode()
        )
    return whole.hexdigest()
