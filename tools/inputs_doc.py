#!/usr/bin/env python3
"""Write docs/inputs.md: every input of a run, from the roles' argument specs, their defaults and `group_vars/`.

Usage: `inputs_doc.py [--check]`. Only the section between the two markers is generated. With `--check` it writes
nothing and fails if the page is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

if not __package__:  # started as a file: Python does not search the project for modules
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools import argument_specs

PAGE = "docs/inputs.md"
BEGIN = "<!-- inputs: begin, written by tools/inputs_doc.py -->"
END = "<!-- inputs: end -->"
RUN_ROLE = "run_open"
"""The role whose argument spec describes the run's own inputs."""

ROLE_ORDER = ("spot_instance", "bootstrap", "deps", "preflight", "training", "run_report")
"""The roles in the order of a run; all others follow."""


class InputsDocError(argument_specs.ArgumentSpecsError):
    """The page is malformed; the text says how."""


def main(arguments: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Write or check the page; see `argument_specs.write_page`."""
    return argument_specs.write_page("inputs_doc.py", PAGE, updated, arguments, root)


def updated(root: Path) -> str:
    """Return the page with a current generated section."""
    page = (root / PAGE).read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise InputsDocError(f"expected these two lines, once each, in this order: {BEGIN} and {END}")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{section(root)}{END}{rest.partition(END)[2]}"


def section(root: Path) -> str:
    """Render the tables in Markdown: the run's own inputs, then each role's."""
    shared, local, aws = (argument_specs.load(root / "group_vars" / f"{name}.yml") for name in ("all", "local", "aws"))
    run = [_row(one, _run_default(one, shared, local, aws)) for one in _options(root / "roles" / RUN_ROLE)]
    tables = {"The run": run}
    passed = passed_by_playbooks(root)
    for role in _in_order(argument_specs.roles(root)):
        own = [one for one in _options(role) if not one.required and one.name not in passed and "." not in one.name]
        if role.name != RUN_ROLE and own:
            tables[role.name] = [_row(one, _role_default(one, local, aws)) for one in own]
    head = "\n\n| name | type | default | what it is |\n| --- | --- | --- | --- |\n"
    return "".join(f"## {title}{head}{''.join(rows)}\n" for title, rows in tables.items())


def names(root: Path) -> set[str]:
    """Every input on the page; parts of a dictionary as `parent.part`."""
    passed = passed_by_playbooks(root)
    return {
        one.name
        for role in argument_specs.roles(root)
        for one in _options(role)
        if role.name == RUN_ROLE or not (one.required or one.name in passed)
    }


def passed_by_playbooks(root: Path) -> set[str]:
    """Names that the playbooks pass to the roles; users do not set them."""
    found: set[str] = set()
    for playbook in sorted(root.glob("playbooks/*.yml")):
        found.update(_include_vars(yaml.safe_load(playbook.read_text(encoding="utf-8"))))
    return found


def _include_vars(node: Any) -> Iterator[str]:
    """The names in the `vars` of every `include_role` in a playbook."""
    if isinstance(node, list):
        for entry in node:
            yield from _include_vars(entry)
    elif isinstance(node, dict):
        if "ansible.builtin.include_role" in node:
            yield from map(str, node.get("vars") or {})
        for entry in node.values():
            yield from _include_vars(entry)


def _options(role: Path) -> list[argument_specs.Input]:
    """The inputs of a role, each name once."""
    found: dict[str, argument_specs.Input] = {}
    for one in argument_specs.inputs(role):
        found.setdefault(one.name, one)
    return list(found.values())


def _in_order(roles: Iterable[Path]) -> list[Path]:
    """Sort roles as a run uses them."""
    return sorted(roles, key=lambda role: (ROLE_ORDER.index(role.name) if role.name in ROLE_ORDER else 99, role.name))


def _run_default(
    one: argument_specs.Input, shared: Mapping[str, Any], local: Mapping[str, Any], aws: Mapping[str, Any]
) -> str:
    """The default of one of the run's own inputs."""
    parent, _, part = one.name.partition(".")
    if part:
        parts = shared.get(parent) or {}
        return _shown(parts[part]) if part in parts else "**required**" if one.required else "none"
    if one.type == "dict" and one.name in shared:
        return "see its parts"
    if one.name in shared:
        return _shown(shared[one.name])
    return f"local: {_given(local, one.name)}, aws: {_given(aws, one.name)}"


def _role_default(one: argument_specs.Input, local: Mapping[str, Any], aws: Mapping[str, Any]) -> str:
    """A role's default, and what an inventory's `group_vars` replace it with."""
    text = argument_specs.default_cell(one)
    for inventory, values in (("local", local), ("aws", aws)):
        if one.name in values:
            text += f"; {inventory}: {_shown(values[one.name])}"
    return text


def _given(values: Mapping[str, Any], name: str) -> str:
    """The value that an inventory sets, or that the input is required."""
    return _shown(values[name]) if name in values else "**required**"


def _shown(value: Any) -> str:
    """Format a value for a table; describe a computed one in words instead of Jinja."""
    if isinstance(value, str) and "{{" in value:
        return _COMPUTED.get(value.rpartition("}}")[2] or value.strip(), "computed")
    return f"`{argument_specs.value_text(value)}`"


_COMPUTED = {
    "/runs": "`runs` in the clone",
    "/files/predictor": "`files/predictor` in the clone",
    "{{ now(utc=true, fmt='%Y-%m-%d') }}": "today (UTC)",
    "{{ ansible_playbook_python | realpath }}": "the control node's Python",
}
"""Descriptions of the computed values of `group_vars/`, by their end or by the whole text."""


def _row(one: argument_specs.Input, default: str) -> str:
    """One line of a table."""
    return f"| `{one.name}` | {one.type} | {default} | {argument_specs.description_cell(one)} |\n"


if __name__ == "__main__":
    sys.exit(main())
