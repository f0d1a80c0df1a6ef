"""Each role's inputs: defaults, argument spec and README say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools import role_docs

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
    options: {}
  again:
    options: *inputs
"""


def test_every_role_declares_its_inputs(root: Path) -> None:
    undeclared = [path.name for path in root.glob("roles/*") if path.is_dir() and path not in role_docs.roles(root)]
    assert undeclared == []


def test_every_role_has_equal_defaults_and_argument_specs(root: Path) -> None:
    assert {role.name: role_docs.mismatches(role) for role in role_docs.roles(root) if role_docs.mismatches(role)} == {}


def test_every_readme_lists_the_inputs_as_they_are(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = role_docs.main(["--check"], root)
    assert (code, capsys.readouterr().err) == (0, "")


def test_a_readme_is_begun_and_then_only_its_section_is_rewritten(cat: Path) -> None:
    root = cat.parents[1]
    assert role_docs.main([], root) == 0
    readme = cat / "README.md"
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("# cat\n\nFeeds the cat.\n\n")
    assert "| `cat_meals` | int | `2` | Meals a day \\| at most, `1` if *fat*. One of `1`, `2`. |" in text
    assert "| `cat_name` | str | **required** | What it listens to. |" in text
    assert '| `cat_bowl.colour` | str | `""` | Its colour. |' in text
    assert "## Inputs of `tasks_from: leave`\n\nNone.\n" in text
    assert "## Inputs of `tasks_from: again`\n\nThe same as above.\n" in text

    readme.write_text(text.replace("Feeds", "Mine: feeds").replace("`2` |", "`3` |") + "\nAn end.\n", encoding="utf-8")
    assert role_docs.main(["--check"], root) == 1
    assert role_docs.main([], root) == 0
    assert readme.read_text(encoding="utf-8") == text.replace("Feeds", "Mine: feeds") + "\nAn end.\n"
    assert role_docs.main(["--check"], root) == 0


def test_a_readme_without_markers_is_not_touched(cat: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cat / "README.md").write_text("# cat\n", encoding="utf-8")
    assert role_docs.main([], cat.parents[1]) == 1
    assert "cat: README.md needs these two lines" in capsys.readouterr().err
    assert (cat / "README.md").read_text(encoding="utf-8") == "# cat\n"


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
    assert role_docs.mismatches(cat) == [problem]


def test_a_readme_shows_the_examples_as_they_are(cat: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cat / "README.md").write_text(f"# cat\n\n{role_docs.BEGIN}\n{role_docs.END}\n", encoding="utf-8")
    (cat / "examples").mkdir()
    for name in ("another", "minimal"):
        (cat / f"examples/{name}.yml").write_text(f"---\n- hosts: {name}\n", encoding="utf-8")
    assert role_docs.main([], cat.parents[1]) == 1
    assert "cat: README.md needs these two lines" in capsys.readouterr().err

    (cat / "README.md").unlink()
    assert role_docs.main([], cat.parents[1]) == 0
    text = (cat / "README.md").read_text(encoding="utf-8")
    minimal, another = "```yaml\n- hosts: minimal\n```", "```yaml\n- hosts: another\n```"
    assert text.index("## Example\n") < text.index(minimal) < text.index(another) < text.index("## Inputs\n")

    (cat / "examples/minimal.yml").write_text("---\n- hosts: all\n", encoding="utf-8")
    assert role_docs.main(["--check"], cat.parents[1]) == 1


def test_every_readme_has_the_sections_of_a_role(root: Path) -> None:
    wanted = ["## Requirements", "## Example", "## Inputs", "## Results", "## Errors"]
    for role in role_docs.roles(root):
        headings = re.findall(r"^## .*", (role / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
        assert [heading for heading in headings if heading in wanted] == wanted, role.name


def test_every_message_in_a_readme_exists_in_the_role(root: Path) -> None:
    shared = [root / "plugins", root / "files/predictor/src", root / "packages/local_aws/src"]
    unknown = []
    for role in role_docs.roles(root):
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
    (role / "defaults/main.yml").write_text("---\ncat_meals: 2\n", encoding="utf-8")
    return role
