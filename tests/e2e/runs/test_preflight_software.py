"""A training project with everything wrong that software can have wrong, through the whole playbook.

What is wrong is wrong on the machine: the environment is changed after it was installed, by the project itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.runs.conftest import NO_LEAKS, Account, Run, source_options, start
from tests.support.account import project_copy

TAMPERED = '''"""Change the installed environment, then run the preflight as the project's own command."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import distribution
from pathlib import Path

from predictor.cli import main as predictor


def set_version(name: str, version: str) -> None:
    """Have a package say that it is another version."""
    metadata = Path(str(distribution(name).locate_file(""))) / f"{name}-{distribution(name).version}.dist-info/METADATA"
    lines = metadata.read_text().splitlines(keepends=True)
    metadata.write_text("".join(f"Version: {version}\\n" if x.startswith("Version:") else x for x in lines))


def main() -> int:
    """Run."""
    site = Path(str(distribution("six").locate_file("")))
    set_version("six", "1.0")
    set_version("toolz", "99.0")
    for path in site.glob("pytz*"):
        shutil.rmtree(path)
    extra = site / "stowaway-1.0.dist-info"
    extra.mkdir(exist_ok=True)
    (extra / "METADATA").write_text("Metadata-Version: 2.1\\nName: stowaway\\nVersion: 1.0\\n")
    (extra / "RECORD").write_text("stowaway-1.0.dist-info/METADATA,,\\n")
    (site / "packaging" / "tags.py").open("a").write("# changed\\n")
    del os.environ["AWS_REGION"]
    return predictor()
'''


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    account = Account(tmp_path_factory.mktemp("e2e-software"))
    start(account)
    yield account
    account.stop()


@pytest.fixture(scope="module")
def spoilt(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A preflight of a project in which every piece of software is wrong."""
    folder = project_copy(tmp_path_factory.mktemp("spoilt") / "project")
    package = folder / "src" / "predictor"
    (package / "tampered.py").write_text(TAMPERED)
    (package / "broken.py").write_text("import no_such_library\n")
    (package / "phones_home.py").write_text(
        "import socket\n\ntry:\n    socket.create_connection(('198.51.100.7', 80), 1)\nexcept OSError:\n    pass\n"
    )
    (folder / "config" / "default.yaml").write_text("# nothing\n")
    manifest = folder / "pyproject.toml"
    text = manifest.read_text()
    manifest.write_text(text.replace("[project.scripts]", '[project.scripts]\ntampered = "predictor.tampered:main"'))
    return account.train("-e", "preflight_only=true", *source_options(folder, "tampered"))


WRONG = {
    "pin_drift_down": ("pins", "six: expected 1.17.0, got 1.0 (older)"),
    "pin_drift_up": ("pins", "got 99.0 (newer)"),
    "package_missing": ("pins", "pytz: expected"),
    "package_extra": ("pins", "not in the lock file: stowaway 1.0"),
    "changed_file": ("installed_files", "packaging/tags.py differs"),
    "broken_import": (
        "package_imports",
        "predictor.broken (ModuleNotFoundError: No module named 'no_such_library')",
    ),
    "socket_on_import": (
        "package_imports",
        "predictor.phones_home (forbidden on import: socket.getaddrinfo 198.51.100.7)",
    ),
    "no_region": ("environment", "AWS_REGION is not set"),
    "empty_configuration": ("config", "config/default.yaml is empty"),
}


@pytest.mark.parametrize("case", WRONG)
def test_software_faults_read_the_same_in_every_output(spoilt: Run, case: str) -> None:
    name, words = WRONG[case]
    found = spoilt.check(name)

    assert found["status"] == "fail"
    assert words in found["detail"]
    assert found["remedy"]
    # In the table of the terminal, and in the error that ends the run.
    assert f"  {found['detail']}\n" in spoilt.output
    assert found["remedy"] in spoilt.output
    assert found["detail"] in spoilt.receipt["error"]


def test_wrong_software_fails_the_run_and_leaves_nothing(account: Account, spoilt: Run) -> None:
    assert spoilt.code != 0
    assert spoilt.receipt["outcome"] == "failed"
    assert spoilt.receipt["failed_step"] == "preflight"
    assert spoilt.receipt["leaks"] == NO_LEAKS
    assert (spoilt.receipt["writes"]["data_bucket"], spoilt.receipt["writes"]["denied"]) == (0, 0)
    assert spoilt.receipt["writes"]["digest"]["equal"] is True
    account.assert_nothing_left()
