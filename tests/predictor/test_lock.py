from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from predictor.errors import PredictorError
from predictor.lock import Pin, deviations, parse, read

PREDICTOR = Path(__file__).resolve().parents[2] / "files" / "predictor"


def test_hashes_comments_and_continuations_are_no_part_of_a_pin() -> None:
    text = (
        "# made\nNumPy==2.4.6 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via pandas\nsix==1.17.0  # x\n"
    )

    assert parse(text, "lock") == [Pin("numpy", "2.4.6"), Pin("six", "1.17.0")]


def test_only_pins_whose_marker_holds_here_count() -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    text = f"a==1 ; python_version == '{here}'\nb==2 ; python_version != '{here}' \\\n    --hash=sha256:cc\n"

    assert parse(text, "lock") == [Pin("a", "1")]


@pytest.mark.parametrize("line", ["numpy>=2", "numpy", "numpy==2.*", "-r other.txt", "numpy==2,!=2.1", "a b c"])
def test_a_line_that_pins_nothing_is_an_error(line: str) -> None:
    with pytest.raises(PredictorError, match=r"^lock file req\.lock: [^\n]+$"):
        parse(line, "req.lock")


def test_a_missing_lock_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PredictorError, match="cannot be read"):
        read(tmp_path / "absent.lock")


def test_every_pin_that_differs_or_is_missing_is_listed() -> None:
    pins = [Pin("numpy", "0.0.1"), Pin("pandas", version("pandas")), Pin("no-such-package-here", "1")]

    assert deviations(pins) == [
        f"numpy wanted 0.0.1, found {version('numpy')}",
        "no-such-package-here wanted 1, missing",
    ]


def test_a_version_written_another_way_is_the_same_version() -> None:
    assert deviations([Pin("numpy", version("numpy") + ".0")]) == []


def test_the_lock_file_pins_everything_asked_for_with_hashes_and_no_address() -> None:
    text = (PREDICTOR / "requirements.lock").read_text()
    asked = [
        Requirement(line).name.replace("_", "-")
        for line in (PREDICTOR / "requirements.in").read_text().splitlines()
        if line and not line.startswith("#")
    ]

    assert asked
    assert set(asked) <= {pin.name for pin in parse(text, "lock")}
    entries = [entry for entry in text.replace("\\\n", " ").splitlines() if "==" in entry]
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text
