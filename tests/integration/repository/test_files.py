"""What may and what may not be in a committed file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

# Written in pieces, so that this file does not hold what it forbids.
REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("galaxy", "ansible", "com"),
        ("registry", "npmjs", "org"),
        ("proxy", "golang", "org"),
        ("deb", "debian", "org"),
    )
)


def test_no_committed_file_names_a_registry(committed: list[Path], root: Path) -> None:
    named = [
        f"{path.relative_to(root)}: {host}"
        for path, text in texts(committed)
        for host in REGISTRY_HOSTS
        if host in text
    ]
    assert named == []


def test_no_committed_file_names_a_path_of_this_machine(committed: list[Path], root: Path) -> None:
    home = re.escape(os.path.expanduser("~"))
    # A home folder as such (/root, /home/ssm-user) is a machine's; what follows here is a developer's.
    private = re.compile(rf"{re.escape(str(root))}\b|{home}/(?:\.pyenv|\.cache|work|src|projects)\b|/Users/\w+/")
    found = [
        f"{path.relative_to(root)}: {match.group()}"
        for path, text in texts(committed)
        for match in private.finditer(text)
        if path != Path(__file__)
    ]
    assert found == []


def test_no_committed_file_holds_a_credential(committed: list[Path], root: Path) -> None:
    # Ids that end in EXAMPLE are those of AWS's own documentation.
    secret = re.compile(r"\b(?:AKIA|ASIA)(?![0-9A-Z]*EXAMPLE)[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE[ ]KEY-----")
    found = [
        f"{path.relative_to(root)}: {match.group()}"
        for path, text in texts(committed)
        for match in secret.finditer(text)
    ]
    assert found == []


def test_no_committed_file_is_empty_but_those_that_mark_a_package(committed: list[Path], root: Path) -> None:
    marks = ("__init__.py", "py.typed", ".gitkeep")
    empty = [path for path in committed if path.is_file() and path.name not in marks and not path.stat().st_size]
    assert [str(path.relative_to(root)) for path in empty] == []


def test_every_script_can_be_started(root: Path) -> None:
    files = [path for path in (root / "tools").iterdir() if path.is_file()] + [root / ".ci" / "run"]
    scripts = [path.name for path in files if path.read_bytes().startswith(b"#!")]
    assert len(scripts) > 10
    assert scripts == [path.name for path in files if os.access(path, os.X_OK)]
    assert [path.name for path in files if path.suffix == ".sh" and path.name not in scripts] == []


def test_the_licence_is_the_whole_gpl(root: Path) -> None:
    text = (root / "LICENSE").read_text(encoding="utf-8")
    assert "GNU GENERAL PUBLIC LICENSE" in text
    assert "17. Interpretation of Sections 15 and 16." in text


def texts(paths: list[Path]) -> Iterator[tuple[Path, str]]:
    """Yield the content of each file that is text."""
    for path in paths:
        content = path.read_bytes()
        if b"\0" not in content:
            yield path, content.decode("utf-8", errors="replace")
