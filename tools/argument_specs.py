"""The inputs of roles, as `meta/argument_specs.yml` and `defaults/main.yml` describe them.

https://docs.ansible.com/ansible/latest/playbook_guide/playbooks_reuse_roles.html#role-argument-validation
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

#: The example that every role has.
MINIMAL = "minimal.yml"


class ArgumentSpecsError(Exception):
    """A role's inputs are wrong; the text says which and how."""


@dataclass(frozen=True)
class Input:
    """One input of a role, as its argument spec and defaults describe it."""

    name: str
    type: str
    required: bool
    default: Any
    has_default: bool
    choices: tuple[Any, ...]
    description: str


def write_page(
    script: str,
    page: str,
    text: Callable[[Path], str],
    arguments: Sequence[str] | None = None,
    root: Path | None = None,
) -> int:
    """Write a generated file, or with `--check` only compare it: the command line of a script in tools/.

    `text` returns the file's current text for a project's folder. The exit code is 0 on success, else 1 with one line
    on standard error.
    """
    parser = argparse.ArgumentParser(prog=script, description=f"Write {page}.", allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the file is out of date")
    check = bool(parser.parse_args(arguments).check)
    root = root or Path(__file__).resolve().parent.parent
    path = root / page
    try:
        wanted = text(root)
        if path.exists() and path.read_text(encoding="utf-8") == wanted:
            return 0
    except (OSError, ArgumentSpecsError) as error:
        print(f"{page}: {error}", file=sys.stderr)
        return 1
    if check:
        print(f"{page} is out of date, run .venv/bin/python tools/{script}", file=sys.stderr)
        return 1
    path.write_text(wanted, encoding="utf-8")
    print(f"wrote {page}")
    return 0


def roles(root: Path) -> list[Path]:
    """List the folders of the roles that declare their inputs, by name."""
    return sorted(path.parent.parent for path in root.glob("roles/*/meta/argument_specs.yml"))


def mismatches(role: Path) -> list[str]:
    """Compare `defaults/main.yml` with the argument spec; return one sentence for each difference."""
    defaults = load(role / "defaults" / "main.yml")
    problems = []
    specified: dict[str, Any] = {}
    for one in inputs(role):
        if one.has_default and "." not in one.name:
            if one.required:
                problems.append(f"{one.name} is required and has a default")
            if one.name in specified and not _same(specified[one.name], one.default):
                problems.append(f"{one.name} has two defaults in meta/argument_specs.yml")
            specified[one.name] = one.default
    for name in sorted(specified.keys() - defaults.keys()):
        problems.append(f"{name} has a default in meta/argument_specs.yml and none in defaults/main.yml")
    for name in sorted(defaults.keys() - specified.keys()):
        problems.append(f"{name} is in defaults/main.yml and has no default in meta/argument_specs.yml")
    for name in sorted(specified.keys() & defaults.keys()):
        if not _same(specified[name], defaults[name]):
            problems.append(f"{name} is {specified[name]!r} in meta/argument_specs.yml, {defaults[name]!r} in defaults")
    return problems


def examples(role: Path) -> list[Path]:
    """List the playbooks that show how the role is used, the minimal one first."""
    return sorted((role / "examples").glob("*.yml"), key=lambda path: (path.name != MINIMAL, path.name))


def inputs(role: Path) -> Iterator[Input]:
    """The inputs of each entry point, a dictionary's own options right after it as `parent.child`."""
    for spec in entry_points(role).values():
        yield from _inputs(spec.get("options") or {})


def _inputs(options: Mapping[str, Mapping[str, Any]], parent: str = "") -> Iterator[Input]:
    for name, option in options.items():
        kind = str(option.get("type", "str"))
        if kind == "list" and "elements" in option:
            kind = f"list of {option['elements']}"
        description = option.get("description", "")
        yield Input(
            name=parent + name,
            type=kind,
            required=bool(option.get("required", False)),
            default=option.get("default"),
            has_default="default" in option,
            choices=tuple(option.get("choices") or ()),
            description=" ".join(map(str, description)) if isinstance(description, list) else str(description),
        )
        yield from _inputs(option.get("options") or {}, f"{parent}{name}.")


def default_cell(one: Input) -> str:
    """Say what happens when the input is left out."""
    if one.required:
        return "**required**"
    return f"`{value_text(one.default)}`" if one.has_default else "none"


def description_cell(one: Input) -> str:
    """Return the description on one line, safe in a table, with the choices after it."""
    text = _markdown(" ".join(one.description.split())).replace("|", "\\|")
    choices = ", ".join(f"`{value_text(choice)}`" for choice in one.choices)
    return f"{text} One of {choices}." if choices else text


def _markdown(text: str) -> str:
    """Turn Ansible's markup of code, values, options and modules, and of emphasis, into Markdown's.

    https://docs.ansible.com/ansible/latest/dev_guide/ansible_markup.html
    """
    text = re.sub(r"\b[CVOM]\(([^()]*)\)", r"`\1`", text)
    return re.sub(r"\b[BI]\(([^()]*)\)", r"*\1*", text)


def value_text(value: Any) -> str:
    """Write a value as YAML flow style does, on one line."""
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return " ".join(text.split()).replace("|", "\\|")


def _same(first: Any, second: Any) -> bool:
    """Compare two values and their types: 1 is not true, and "1" is not 1."""
    return json.dumps(first, sort_keys=True, default=str) == json.dumps(second, sort_keys=True, default=str)


def entry_points(role: Path) -> dict[str, Any]:
    """Load the role's argument specs, `main` first."""
    specs = load(role / "meta" / "argument_specs.yml").get("argument_specs") or {}
    return dict(sorted(specs.items(), key=lambda item: (item[0] != "main", item[0])))


def load(path: Path) -> dict[str, Any]:
    """Load a YAML mapping; an absent or empty file is an empty one."""
    if not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ArgumentSpecsError(f"{path.name} is not valid YAML: {' '.join(str(error).split())}") from error
    if content is not None and not isinstance(content, dict):
        raise ArgumentSpecsError(f"{path.name}: expected a mapping")
    return content or {}
