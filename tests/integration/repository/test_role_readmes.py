"""Each role's inputs: defaults, argument spec and README say the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import argument_specs

ROOT = Path(__file__).resolve().parents[3]
# Messages of Ansible itself.
ANSIBLES = {
    "value of training_steps must be one or more of: smoke, full",
    "timed out waiting for ping module test",
}
SPEC = """\
argument_specs:
  main:
    short_description: Feeds the cat.
    options: &inputs
      cat_meals:
        type: int
        default: 2
        description: Meals a day | at most, C(1) if I(fat).
        choices: [1, 2]
      cat_name:
        required: true
        description: [What it, listens to.]
      cat_bowl:
        type: dict
        description: Where.
        options:
          colour:
            description: Its colour.
            default: ""
  leave:
    short_description: Leaves.
    options: {}
  again:
    short_description: Again.
    options: *inputs
"""


def test_every_role_declares_its_inputs(root: Path) -> None:
    undeclared = [
        path.name for path in root.glob("roles/*") if path.is_dir() and path not in argument_specs.roles(root)
    ]
    assert undeclared == []


def test_every_role_has_equal_defaults_and_argument_specs(root: Path) -> None:
    assert {
        role.name: argument_specs.mismatches(role)
        for role in argument_specs.roles(root)
        if argument_specs.mismatches(role)
    } == {}


def test_every_readme_lists_the_inputs(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "roles", tmp_path / "roles")
    for role in argument_specs.roles(root):
        assert aar_doc(tmp_path / "roles" / role.name) == (role / "README.md").read_text(encoding="utf-8"), (
            f"{role.name}/README.md is out of date, run make docs-roles"
        )


def test_every_readme_shows_the_examples(root: Path) -> None:
    for role in argument_specs.roles(root):
        text = (role / "README.md").read_text(encoding="utf-8")
        for path in argument_specs.examples(role):
            example = path.read_text(encoding="utf-8").removeprefix("---\n")
            assert f"\n[`examples/{path.name}`](examples/{path.name}):\n\n```yaml\n{example}```\n" in text, path


def test_inputs_are_a_table_for_each_entry_point(cat: Path) -> None:
    (cat / "README.md").write_text(
        "# cat\n<!-- BEGIN_ANSIBLE_DOCS -->\n<!-- END_ANSIBLE_DOCS -->\nEnd.\n", encoding="utf-8"
    )
    text = aar_doc(cat)
    assert text.startswith("# cat\n") and text.endswith("\nEnd.\n")
    assert "| `cat_meals` | int | `2` | Meals a day \\| at most, `1` if *fat*. One of `1`, `2`. |\n" in text
    assert "| `cat_name` | str | **required** | What it listens to. |\n" in text
    assert '| `cat_bowl.colour` | str | `""` | Its colour. |\n' in text
    assert "## Inputs of `tasks_from: leave`\n\nNone.\n" in text
    assert "## Inputs of `tasks_from: again`\n\nThe same as above.\n" in text


@pytest.mark.parametrize(
    ("defaults", "problem"),
    [
        ("---\n", "cat_meals has a default in meta/argument_specs.yml and none in defaults/main.yml"),
        (
            "cat_meals: 2\ncat_toys: 1\n",
            "cat_toys is in defaults/main.yml and has no default in meta/argument_specs.yml",
        ),
        (
            "cat_meals: 2\ncat_name: Tom\n",
            "cat_name is in defaults/main.yml and has no default in meta/argument_specs.yml",
        ),
        ("cat_meals: '2'\n", "cat_meals is 2 in meta/argument_specs.yml, '2' in defaults"),
        ("cat_meals: 3\n", "cat_meals is 2 in meta/argument_specs.yml, 3 in defaults"),
    ],
)
def test_a_default_that_differs_is_found(cat: Path, defaults: str, problem: str) -> None:
    (cat / "defaults/main.yml").write_text(defaults, encoding="utf-8")
    assert argument_specs.mismatches(cat) == [problem]


def test_every_readme_has_the_sections_of_a_role(root: Path) -> None:
    wanted = ["## Requirements", "## Example", "## Inputs", "## Results", "## Errors"]
    for role in argument_specs.roles(root):
        headings = re.findall(r"^## .*", (role / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
        assert [heading for heading in headings if heading in wanted] == wanted, role.name


def test_every_message_in_a_readme_exists_in_the_role(root: Path) -> None:
    shared = [root / "plugins", root / "files/predictor/src", root / "packages/local_aws/src"]
    unknown = []
    for role in argument_specs.roles(root):
        sources = [path for folder in (role, *shared) for path in folder.rglob("*") if path.suffix in (".py", ".yml")]
        code = " ".join(" ".join(path.read_text(encoding="utf-8").split()) for path in sources)
        # Join string literals that continue on the next line.
        code = re.sub(r'" f?"', "", code)
        table = (role / "README.md").read_text(encoding="utf-8").partition("## Errors")[2]
        messages = [
            text for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for text in re.findall(r"`([^`]+)`", row)
        ]
        assert len(messages) > 2, role.name
        for text in messages:
            parts = [part.strip(" :;.,()") for part in re.split("…|: ", text)]
            known = [part in code for part in parts if len(part) > 3]
            if not all(known) and text not in ANSIBLES:
                unknown.append(f"{role.name}: {text}")
    assert unknown == []


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    """A role of a required input, one with a default, and one with parts."""
    role = tmp_path / "roles/cat"
    for folder in ("meta", "defaults"):
        (role / folder).mkdir(parents=True)
    (role / "meta/argument_specs.yml").write_text(SPEC, encoding="utf-8")
    (role / "meta/main.yml").write_text(
        "---\ngalaxy_info: {description: Feeds., license: MIT, author: me, platforms: []}\n", encoding="utf-8"
    )
    (role / "defaults/main.yml").write_text("---\ncat_meals: 2\n", encoding="utf-8")
    return role


def aar_doc(role: Path) -> str:
    """Write a role's README as `make docs-roles` does, and return it."""
    command = [str(Path(sys.executable).with_name("aar-doc")), "--output-template", f"{ROOT}/tools/role_inputs.md.j2"]
    subprocess.run([*command, str(role), "markdown"], check=True)
    return (role / "README.md").read_text(encoding="utf-8")
