"""The module that installs a lock file on the instance: which pip installs uv."""

from __future__ import annotations

import importlib
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def module() -> ModuleType:
    return importlib.import_module("ansible_collections.spot_train.core.plugins.modules.locked_environment")


def wheel(folder: Path) -> Path:
    """The smallest wheel: one empty module."""
    path = folder / "placed-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("placed.py", "")
        archive.writestr("placed-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: placed\nVersion: 1\n")
        archive.writestr("placed-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("placed-1.dist-info/RECORD", "")
    return path


@pytest.mark.parametrize("with_pip", [True, False], ids=["its own pip", "no pip"])
def test_environment_is_created_with_and_without_pip(module: ModuleType, tmp_path: Path, with_pip: bool) -> None:
    # A separate environment, because this Python may or may not have pip.
    options = [] if with_pip else ["--without-pip"]
    subprocess.run([sys.executable, "-m", "venv", *options, str(tmp_path / "python")], check=True)
    python, tools = str(tmp_path / "python" / "bin" / "python"), tmp_path / "tools"

    pip = module.make_tools(python, str(tools))

    assert pip[0] == (python if with_pip else str(tools / "bin" / "python"))
    assert (tools / "bin" / "pip").exists() is not with_pip
    module.run([*pip, "install", "--quiet", "--disable-pip-version-check", "--no-index", str(wheel(tmp_path))])
    module.run([str(tools / "bin" / "python"), "-c", "import placed"])
    assert list(tools.rglob("placed.py"))
    assert module.pip_index(pip).keys() <= {"UV_DEFAULT_INDEX"}
