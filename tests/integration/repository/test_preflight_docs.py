"""docs/preflight.md has a section on each check, and on nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TIERS = {
    "The control node tier": ("plugins/module_utils/checks", "a"),
    "The instance tier": ("files/predictor/src/predictor/checks", "c"),
}


def sections(root: Path, heading: str) -> dict[str, str]:
    """The text of each check's section below a heading, in the page's order."""
    page = (root / "docs" / "preflight.md").read_text()
    part = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.split(r"^### ", part, flags=re.MULTILINE)[1:]
    return {text.partition("\n")[0]: text.partition("\n")[2] for text in found}


def checks(root: Path, folder: str, letter: str) -> list[str]:
    """Names of the checks in a folder, in the order in which they run."""
    files = sorted((root / folder).glob(f"{letter}[0-9][0-9]_*.py"))
    return [path.stem.partition("_")[2] for path in files]


@pytest.mark.parametrize("heading", TIERS)
def test_the_page_lists_the_checks_that_there_are_in_their_order(root: Path, heading: str) -> None:
    folder, letter = TIERS[heading]

    assert len(checks(root, folder, letter)) > 10
    assert list(sections(root, heading)) == checks(root, folder, letter)


@pytest.mark.parametrize("heading", TIERS)
def test_each_section_says_what_why_and_what_to_do(root: Path, heading: str) -> None:
    for name, text in sections(root, heading).items():
        for word in ("Checks: ", "Why: ", "Remedy: "):
            assert re.search(rf"^{word}\S", text, flags=re.MULTILINE), f"{name} lacks {word!r}"


def test_no_two_checks_have_one_name(root: Path) -> None:
    names = [name for folder, letter in TIERS.values() for name in checks(root, folder, letter)]

    assert len(set(names)) == len(names)


def test_the_example_of_a_check_is_one(root: Path) -> None:
    page = (root / "docs" / "preflight.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)

    assert len(examples) == 2
    for code in examples:
        compile(code, "docs/preflight.md", "exec")
        assert "REMEDY = " in code and "def run(context: Context) -> Finding:" in code
