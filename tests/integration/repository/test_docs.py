"""The documentation is true where that can be checked: targets of make, inputs, fields of the receipt."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tools import inputs_doc

SPEC = """\
argument_specs:
  main:
    options:
      %s
"""
# What was, and not what is: a target or input may be gone since.
HISTORY = re.compile(r"CHANGELOG\.md|changelog\.d/(?!README\.md)")
# Names that the pages use to show what is refused.
WRONG_ON_PURPOSE = {"preflight_onyl"}


def test_every_make_target_in_the_pages_exists(root: Path, pages: list[Path]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        (str(page.relative_to(root)), target)
        for page in pages
        if not HISTORY.match(str(page.relative_to(root)))
        for code in code_of(page)
        for target in re.findall(r"^make ([a-z][a-z-]*)", code, re.MULTILINE)
    }
    assert {target for _, target in named} & targets  # the search finds some
    assert sorted(entry for entry in named if entry[1] not in targets) == []


def test_every_input_named_in_the_pages_exists(root: Path, pages: list[Path]) -> None:
    known = inputs_doc.names(root)
    prefixes = ("spot_instance_", "bootstrap_", "deps_", "preflight_", "training_", "run_report_")
    named = set()
    for page in pages:
        if page.is_relative_to(root / "roles") or HISTORY.match(str(page.relative_to(root))):
            continue  # a role's is generated from the argument specs, with what the playbooks pass on
        for code in code_of(page):
            for name in re.findall(r"-e '?\{?\"?([a-z]\w+)[=\"]", code):
                named.add((str(page.relative_to(root)), name))
            if re.fullmatch(r"[a-z]+(_[a-z]+)+", code) and code.startswith(prefixes):
                named.add((str(page.relative_to(root)), code))
    other = {"ansible_aws_ssm_plugin", "bootstrap_interpreter", "run_id", "to"}
    allowed = known | policies(root) | WRONG_ON_PURPOSE | other
    assert {name for _, name in named} & known
    assert sorted(entry for entry in named if entry[1] not in allowed) == []


def test_inputs_md_lists_the_inputs_as_they_are(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = inputs_doc.main(["--check"], root)
    assert (code, capsys.readouterr().err) == (0, "")


def test_every_receipt_field_is_documented(root: Path, receipt_fields: set[str]) -> None:
    page = (root / "docs/receipt.md").read_text(encoding="utf-8")
    documented = {name for cell in re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE) for name in names_in(cell)}
    documented |= set(names_in(page.partition("## leaks")[2]))
    assert sorted(receipt_fields - documented) == []


def test_what_a_playbook_passes_on_is_no_input_of_a_person(project: Path) -> None:
    assert inputs_doc.main([], project) == 0
    page = (project / "docs/inputs.md").read_text(encoding="utf-8")
    assert "| `cat_name` | str | `Tom`; local: `Ann` | Its name. |" in page
    assert "| `fed` | bool | local: `true`, aws: **required** | Whether. |" in page
    assert "cat_bowl" not in page
    assert inputs_doc.names(project) == {"cat_name", "fed"}


def test_only_the_section_between_the_markers_is_rewritten(project: Path) -> None:
    page = project / "docs/inputs.md"
    assert inputs_doc.main([], project) == 0
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("`Tom`", "`Tim`").replace("before", "mine"), encoding="utf-8")
    assert inputs_doc.main(["--check"], project) == 1
    assert inputs_doc.main([], project) == 0
    assert page.read_text(encoding="utf-8") == text.replace("before", "mine")


@pytest.mark.parametrize("text", ["# Inputs\n", f"{inputs_doc.END}\n{inputs_doc.BEGIN}\n"])
def test_a_page_without_markers_is_not_touched(project: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = project / "docs/inputs.md"
    page.write_text(text, encoding="utf-8")
    assert inputs_doc.main([], project) == 1
    assert "expected these two lines" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == text


@pytest.fixture(scope="module")
def pages(committed: list[Path]) -> list[Path]:
    """Every Markdown page of the project."""
    return [path for path in committed if path.suffix == ".md"]


@pytest.fixture(scope="module")
def receipt_fields(root: Path) -> set[str]:
    """The fields of the receipt's own shape, as the modules that build it name them."""
    folder = root / "plugins/module_utils"
    parts = [folder / name for name in ("report/receipt.py", "runs/attempts.py", "report/bill.py")]
    source = "".join(path.read_text(encoding="utf-8") for path in parts)
    body = source.partition("receipt: dict[str, Any] = {")[2].partition("\n    }\n")[0]
    fields = set(re.findall(r'^        "(\w+)":', body, re.MULTILINE))
    for constant in ("INSTANCE_TEXTS", "PRICES", "RUN_FIELDS", "LEAK_FIELDS"):
        listed = re.search(rf"^{constant} = \((.*?)\)$", source, re.MULTILINE | re.DOTALL)
        assert listed is not None, constant
        fields |= set(re.findall(r'"(\w+)"', listed[1]))
    bill = source.partition("def bill(")[2].partition("\ndef ")[0].partition('    return {\n        "')[2]
    fields |= set(re.findall(r'"(\w+)":', '"' + bill))
    assert {"run_id", "leaks", "az", "run_date", "transport_keys", "billed_seconds"} <= fields
    return fields


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of two roles and a playbook that gives one of them an input."""
    write(
        tmp_path,
        "roles/run_open/meta/argument_specs.yml",
        SPEC % "fed: {type: bool, required: true, description: Whether.}",
    )
    options = """cat_name: {type: str, default: Tom, description: Its name.}
      cat_bowl: {type: str, default: red, description: Passed on.}"""
    write(tmp_path, "roles/cat/meta/argument_specs.yml", SPEC % options)
    include = {"ansible.builtin.include_role": {"name": "cat"}, "vars": {"cat_bowl": "{{ run.bowl }}"}}
    write(tmp_path, "playbooks/feed.yml", json.dumps([{"hosts": "localhost", "tasks": [{"block": [include]}]}]))
    write(tmp_path, "group_vars/all.yml", "--- {}\n")
    write(tmp_path, "group_vars/local.yml", "---\nfed: true\ncat_name: Ann\n")
    write(tmp_path, "group_vars/aws.yml", "--- {}\n")
    write(tmp_path, "docs/inputs.md", f"before\n{inputs_doc.BEGIN}\n{inputs_doc.END}\nafter\n")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")


def code_of(page: Path) -> list[str]:
    """Each block of code in a page, and each piece of code in its lines."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return blocks + re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def names_in(cell: str) -> list[str]:
    """The names in code of a piece of Markdown."""
    return re.findall(r"`(\w+)`", cell)


def policies(root: Path) -> set[str]:
    """Names of the policies and of what fills their gaps: they look like inputs and are none."""
    account = yaml.safe_load((root / "inventory/local/account.yml").read_text(encoding="utf-8"))
    return {path.stem for path in (root / "files/iam").glob("*.json")} | set(account["substitutions"])
