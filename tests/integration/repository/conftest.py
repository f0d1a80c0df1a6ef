"""What the tests of the repository share."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def committed() -> list[Path]:
    """Every file that a commit would hold, as absolute paths."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture
def bare_clone(tmp_path: Path) -> Path:
    """A folder with the Makefile and the scripts, in which nothing was set up."""
    clone = tmp_path / "clone"
    shutil.copytree(ROOT / "tools", clone / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Makefile", clone)
    return clone


@pytest.fixture
def clean_environ() -> dict[str, str]:
    """The environment without what an outer make, pytest, pip or uv left in it."""
    prefixes = ("MAKE", "MFLAGS", "PYTEST", "PIP_", "UV_", "PYTHON", "TESTS", "ARGS", "VIRTUAL_ENV", "LOCAL_AWS")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
