"""The changelog and its fragments."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest


def towncrier(root: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run towncrier in a folder; its exit code and output are the caller's to judge."""
    command = [str(root / ".venv/bin/towncrier"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Path:
    """A git repository with the changelog, its fragments and their settings."""
    shutil.copytree(root / "changelog.d", tmp_path / "changelog.d")
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(root / name, tmp_path)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def test_the_fragments_become_a_section_of_the_changelog(root: Path, project: Path) -> None:
    before = (project / "CHANGELOG.md").read_text(encoding="utf-8")
    made = towncrier(root, project, "create", "--content", "The reaper lists what it skipped.", "12.changed.md")
    assert made.returncode == 0, made.stderr

    built = towncrier(root, project, "build", "--version", "0.1.0", "--date", "2026-11-26", "--yes")

    assert built.returncode == 0, built.stderr
    after = (project / "CHANGELOG.md").read_text(encoding="utf-8")
    head, _, old = before.partition("<!-- towncrier release notes start -->\n")
    assert after.startswith(head)
    assert after.endswith(old)
    assert "## 0.1.0 (2026-11-26)" in after
    assert "- The reaper lists what it skipped. (#12)" in after
    assert [path.name for path in (project / "changelog.d").iterdir()] == ["README.md"]


def test_every_fragment_has_a_kind_that_there_is_and_says_something(root: Path) -> None:
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["towncrier"]
    kinds = {kind["directory"] for kind in settings["type"]}
    fragments = [path for path in (root / "changelog.d").iterdir() if path.name != "README.md"]
    pattern = rf"(?:\d+|\+[\w-]+)\.(?:{'|'.join(kinds)})(?:\.\d+)?\.md"
    assert [path.name for path in fragments if not re.fullmatch(pattern, path.name)] == []
    assert [path.name for path in fragments if not re.match(r"[`A-Z].*\S", path.read_text(encoding="utf-8"))] == []
    page = (root / "changelog.d/README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == kinds


def test_the_draft_is_what_make_changelog_shows_and_writes_nothing(root: Path, project: Path) -> None:
    before = (project / "CHANGELOG.md").read_bytes()
    shown = towncrier(root, project, "build", "--draft")
    assert shown.returncode == 0, shown.stderr
    for fragment in (project / "changelog.d").glob("*.md"):
        if fragment.name != "README.md":
            assert fragment.read_text(encoding="utf-8").splitlines()[0] in shown.stdout
    assert (project / "CHANGELOG.md").read_bytes() == before
