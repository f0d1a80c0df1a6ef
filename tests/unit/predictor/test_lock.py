from __future__ import annotations

import base64
import hashlib
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from predictor.errors import PredictorError
from predictor.lock import Pin, changed_files, deviations, extras, parse, read

from tests.support.predictor import PREDICTOR


def test_hashes_comments_and_continuations_are_ignored() -> None:
    text = (
        "# made\nNumPy==2.4.6 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via pandas\nsix==1.17.0  # x\n"
    )

    assert parse(text, "lock") == [Pin("numpy", "2.4.6"), Pin("six", "1.17.0")]


def test_pins_for_other_interpreters_are_ignored() -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    text = f"a==1 ; python_version == '{here}'\nb==2 ; python_version != '{here}' \\\n    --hash=sha256:cc\n"

    assert parse(text, "lock") == [Pin("a", "1")]


@pytest.mark.parametrize("line", ["numpy>=2", "numpy", "numpy==2.*", "-r other.txt", "numpy==2,!=2.1", "a b c"])
def test_line_without_an_exact_pin_is_an_error(line: str) -> None:
    with pytest.raises(PredictorError, match=r"^lock file req\.lock: expected name==version, got [^\n]+$"):
        parse(line, "req.lock")


def test_missing_lock_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PredictorError, match="cannot read lock file"):
        read(tmp_path / "absent.lock")


def test_deviating_and_missing_pins_are_listed() -> None:
    pins = [Pin("numpy", "0.0.1"), Pin("pandas", version("pandas")), Pin("no-such-package-here", "1")]
    pins.append(Pin("six", "99"))

    assert deviations(pins) == [
        f"numpy: expected 0.0.1, got {version('numpy')} (newer)",
        "no-such-package-here: expected 1, missing",
        f"six: expected 99, got {version('six')} (older)",
    ]


def test_equivalent_versions_are_equal() -> None:
    assert deviations([Pin("numpy", version("numpy") + ".0")]) == []


def test_lock_file_pins_every_requirement() -> None:
    required = [
        Requirement(line).name.replace("_", "-")
        for line in (PREDICTOR / "requirements.in").read_text().splitlines()
        if line and not line.startswith("#")
    ]

    assert required
    assert set(required) <= {pin.name for pin in read(PREDICTOR / "requirements.lock")}


def _install(site: Path, name: str, version: str, files: dict[str, str]) -> None:
    """Install a package into a folder: its files, metadata and RECORD."""
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{info.name}/RECORD,,"]
    for file, text in files.items():
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{file},sha256={digest},{len(text)}")
    (info / "RECORD").write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with installed packages."""
    folder = tmp_path / "site"
    monkeypatch.setattr(sys, "path", [str(folder)])
    _install(folder, "first", "1.0", {"first.py": "a = 1\n", "first/data.txt": "x"})
    _install(folder, "second", "2.0", {"second.py": "b = 2\n"})
    return folder


def test_unpinned_package_is_extra(site: Path) -> None:
    assert extras([Pin("first", "1.0")]) == ["second 2.0"]
    assert extras([Pin("first", "1.0"), Pin("second", "3")]) == []


def test_unchanged_files_agree_with_record(site: Path) -> None:
    assert changed_files() == ([], 3)


def test_changed_and_missing_files_are_named(site: Path) -> None:
    (site / "first.py").write_text("a = 2\n")
    (site / "second.py").unlink()

    assert changed_files() == (["first.py differs", "second.py missing"], 3)


def test_package_without_record_is_named(site: Path) -> None:
    (site / "second-2.0.dist-info" / "RECORD").unlink()

    assert changed_files()[0] == ["second has no RECORD"]
