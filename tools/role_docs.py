#!/usr/bin/env python3
"""Write each role's inputs and examples into its README.

Usage: `role_docs.py [--check]`. The inputs are those of `meta/argument_specs.yml` and `defaults/main.yml`, the examples
are the playbooks in `examples/`. The sections between two markers are generated, the rest is the author's. A README
that is not there yet is begun. With `--check` nothing is written, and a section that is out of date is an error.
The format of argument specs:
https://docs.ansible.com/ansible/latest/playbook_guide/playbooks_reuse_roles.html#role-argument-validation
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

BEGIN = "<!-- inputs: begin, written by make docs-roles -->"
END = "<!-- inputs: end -->"
EXAMPLES_BEGIN = "<!-- examples: begin, written by make docs-roles -->"
EXAMPLES_END = "<!-- examples: end -->"
#: The example that every role has.
MINIMAL = "minimal.yml"


class RoleDocsError(Exception):
    """A role's documentation or inputs are wrong; the text says which and how."""


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


def main(arguments: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Write or check the README of each role.

    Args:
        arguments: The command line without the program's name.
        root: The project's folder; this script's own by default.

    Returns:
        The exit code: 0 done, 1 with one line a problem on standard error.
    """
    parser = argparse.ArgumentParser(
        description="Write each role's inputs and examples into its README.", allow_abbrev=False
    )
    parser.add_argument("--check", action="store_true", help="write nothing, fail where something is out of date")
    check = bool(parser.parse_args(arguments).check)
    problems: list[str] = []
    for role in roles(root or Path(__file__).resolve().parent.parent):
        try:
            problems.extend(f"{role.name}: {problem}" for problem in mismatches(role))
            readme = role / "README.md"
            present = readme.read_text(encoding="utf-8") if readme.exists() else None
            wanted = updated(role, present)
        except RoleDocsError as error:
            problems.append(f"{role.name}: {error}")
            continue
        if present == wanted:
            continue
        if check:
            problems.append(f"{role.name}: README.md is out of date, run make docs-roles")
        else:
            readme.write_text(wanted, encoding="utf-8")
            print(f"wrote {role.name}/README.md")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def bring_up_to_date(root: Path, page: str, wanted: str, check: bool, script: str) -> int:
    """Write a generated file where it is not as wanted, or only say so.

    Args:
        root: The project's folder.
        page: The file, relative to it; it may be missing.
        wanted: Its whole text.
        check: Write nothing.
        script: What makes it, for the message.

    Returns:
        The exit code: 0 done, 1 out of date, with one line on standard error.
    """
    path = root / page
    if path.exists() and path.read_text(encoding="utf-8") == wanted:
        return 0
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
    """Compare `defaults/main.yml` with the argument spec: the same names, the same values.

    Args:
        role: The role's folder.

    Returns:
        One sentence for each difference; empty where the two are equal.
    """
    defaults = load(role / "defaults" / "main.yml")
    problems = []
    specified: dict[str, Any] = {}
    for name, option in _options(role):
        if "default" in option:
            if option.get("required"):
                problems.append(f"{name} is required and has a default")
            if name in specified and not _same(specified[name], option["default"]):
                problems.append(f"{name} has two defaults in meta/argument_specs.yml")
            specified[name] = option["default"]
    for name in sorted(specified.keys() - defaults.keys()):
        problems.append(f"{name} has a default in meta/argument_specs.yml and none in defaults/main.yml")
    for name in sorted(defaults.keys() - specified.keys()):
        problems.append(f"{name} is in defaults/main.yml and has no default in meta/argument_specs.yml")
    for name in sorted(specified.keys() & defaults.keys()):
        if not _same(specified[name], defaults[name]):
            problems.append(f"{name} is {specified[name]!r} in meta/argument_specs.yml, {defaults[name]!r} in defaults")
    return problems


def updated(role: Path, readme: str | None) -> str:
    """Return the README with its generated sections brought up to date.

    Args:
        role: The role's folder.
        readme: The README's text; None where there is none.

    Raises:
        RoleDocsError: The README has not exactly one pair of markers for each section.
    """
    sections = [(BEGIN, inputs_section(role), END)]
    if examples(role):
        sections.insert(0, (EXAMPLES_BEGIN, examples_section(role), EXAMPLES_END))
    if readme is None:
        summary = str(entry_points(role).get("main", {}).get("short_description", "")).rstrip(".")
        introduction = f"{summary}.\n\n" if summary else ""
        text = "\n\n".join(f"{begin}\n{section}{end}" for begin, section, end in sections)
        return f"# {role.name}\n\n{introduction}{text}\n"
    for begin, section, end in sections:
        if readme.count(begin) != 1 or readme.count(end) != 1 or readme.index(begin) > readme.index(end):
            raise RoleDocsError(f"README.md needs these two lines, once each, in this order: {begin} and {end}")
        before, _, rest = readme.partition(begin)
        readme = f"{before}{begin}\n{section}{end}{rest.partition(end)[2]}"
    return readme


def examples(role: Path) -> list[Path]:
    """List the playbooks that show how the role is used, the minimal one first."""
    return sorted((role / "examples").glob("*.yml"), key=lambda path: (path.name != MINIMAL, path.name))


def examples_section(role: Path) -> str:
    """Render the examples as they are: Markdown, ending with an empty line."""
    lines = ["## Example", ""]
    for path in examples(role):
        text = path.read_text(encoding="utf-8").removeprefix("---\n")
        lines += [f"[`examples/{path.name}`](examples/{path.name}):", "", "```yaml", text.rstrip("\n"), "```", ""]
    return "\n".join(lines) + "\n"


def inputs_section(role: Path) -> str:
    """Render the tables of inputs: one for each entry point, Markdown, ending with an empty line."""
    specs = entry_points(role)
    lines: list[str] = []
    for entry_point, spec in specs.items():
        heading = "## Inputs" if entry_point == "main" else f"## Inputs of `tasks_from: {entry_point}`"
        lines += [heading, ""]
        if entry_point != "main" and spec.get("options") and spec["options"] == specs.get("main", {}).get("options"):
            lines += ["The same as above.", ""]
            continue
        listed = list(inputs(spec.get("options") or {}))
        if not listed:
            lines += ["None.", ""]
            continue
        lines += ["| name | type | default | what it is |", "| --- | --- | --- | --- |"]
        lines += [f"| `{one.name}` | {one.type} | {default_cell(one)} | {description_cell(one)} |" for one in listed]
        lines.append("")
    return "\n".join(lines) + "\n"


def inputs(options: Mapping[str, Mapping[str, Any]], parent: str = "") -> Iterator[Input]:
    """Walk the options, each dictionary's own options right after it as `parent.child`."""
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
        yield from inputs(option.get("options") or {}, f"{parent}{name}.")


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
    """Turn Ansible's markup into Markdown's.

    https://docs.ansible.com/ansible/latest/dev_guide/ansible_markup.html: code, values, options, modules; emphasis.
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


def _options(role: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each option of each entry point."""
    for spec in entry_points(role).values():
        yield from (spec.get("options") or {}).items()


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
        raise RoleDocsError(f"{path.name} is no YAML: {' '.join(str(error).split())}") from error
    if content is not None and not isinstance(content, dict):
        raise RoleDocsError(f"{path.name} is no mapping")
    return content or {}


if __name__ == "__main__":
    sys.exit(main())
