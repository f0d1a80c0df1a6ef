#!/usr/bin/env python3
"""Write awx/surveys.yml: the questions that AWX asks, from the argument specs of what the playbooks take.

Usage: `awx_surveys.py [--check]`. With `--check` nothing is written, and a file that is out of date is an error.
A question has the name, the choices, the default and the description of the input. AWX has no question of the types
bool and path, and its choices are texts: those become choices and texts, which the gate of the playbooks converts.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

if not __package__:  # started as a file: Python then looks for modules beside it, not in the project
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools import role_docs

PAGE = "awx/surveys.yml"
HEAD = """\
---
# Written by tools/awx_surveys.py from the roles' argument specs; change those, or which questions are asked there.
"""

QUESTIONS: Mapping[str, Sequence[str]] = {
    "spot-train": ("training_mode", "run_attempts", "training_full_seconds", "spot_instance_markets"),
    "spot-preflight": ("spot_instance_markets",),
    "spot-terminate": ("run_id",),
    "spot-rollback": ("to",),
}
"""Job template -> the inputs that its survey asks for."""

NOT_ASKED: Mapping[str, str] = {
    "preflight_only": "it is what tells spot-preflight from spot-train",
    "run_date": "AWX sends an answer that is left empty as an empty text, and there is no date that is right every day",
    "training_source": "AWX has no question for a mapping",
    "project": "of the installation: the default of a survey would win over the template's own variable",
    "aws_region": "of the installation",
    "data_bucket": "of the installation",
    "transport_bucket": "of the installation",
    "arctic_prefix": "of the installation",
    "runs_dir": "of the installation",
    "run_allowed_extra": "of the installation",
    "run_watchdog": "there is no reason to do without it",
}
"""Why an input of the run is no question. It can still be given, as an extra variable at launch."""

ALIASES: Mapping[str, str] = {"run_id": "spot_instance_run_id", "to": "rollback_to"}
"""What a playbook calls an input, and what the role that gets it calls it."""


class SurveyError(Exception):
    """A question cannot be made; the text says which and why."""


def main(arguments: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Write or check the file.

    Args:
        arguments: The command line without the program's name.
        root: The project's folder; this script's own by default.

    Returns:
        The exit code: 0 done, 1 with one line on standard error.
    """
    parser = argparse.ArgumentParser(description="Write the surveys of the job templates.", allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where the file is out of date")
    check = bool(parser.parse_args(arguments).check)
    root = root or Path(__file__).resolve().parent.parent
    try:
        wanted = HEAD + yaml.dump({"surveys": surveys(root)}, Dumper=_Dumper, sort_keys=False, width=120)
    except SurveyError as error:
        print(f"{PAGE}: {error}", file=sys.stderr)
        return 1
    return role_docs.bring_up_to_date(root, PAGE, wanted, check, "awx_surveys.py")


class _Dumper(yaml.SafeDumper):
    """Indents the entries of a list, as yamllint wants it."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent; also below a key."""
        super().increase_indent(flow, False)


def surveys(root: Path) -> dict[str, dict[str, Any]]:
    """Every survey, by the name of its job template, as AWX takes it.

    Raises:
        SurveyError: An input is not there, or AWX has no question for it.
    """
    described, defaults = _described(root), role_docs.load(root / "group_vars" / "all.yml")
    return {
        template: {
            "name": template,
            "description": "",
            "spec": [question(name, _of(described, name), defaults.get(name)) for name in names],
        }
        for template, names in QUESTIONS.items()
    }


def question(name: str, one: role_docs.Input, default: Any = None) -> dict[str, Any]:
    """One question.

    Args:
        name: The variable that the answer is put into.
        one: The input.
        default: The value of `group_vars/all.yml`, which goes before the role's own.

    Raises:
        SurveyError: AWX has no question for an input of this type.
    """
    default = one.default if default is None else default
    asked: dict[str, Any] = {
        "question_name": name.replace("_", " ").capitalize(),
        "question_description": plain(one.description),
        "variable": name,
        # AWX refuses a schedule that leaves a required question open, even one that has a default.
        "required": default is None,
        **_kind(name, one),
    }
    if asked["type"] == "integer":
        # The gate of the playbooks takes no number that is not above 0 (plugins/module_utils/inputs/values.py).
        asked["min"] = 1
    if default is not None:
        asked["default"] = _answer(one, default)
    return asked


def _kind(name: str, one: role_docs.Input) -> dict[str, Any]:
    choices = [role_docs.value_text(choice) for choice in one.choices]
    if one.type == "bool":
        return {"type": "multiplechoice", "choices": ["true", "false"]}
    if one.type == "list of str" and choices:
        return {"type": "multiselect", "choices": choices}
    if one.type in ("str", "path", "int") and choices:
        return {"type": "multiplechoice", "choices": choices}
    kinds = {"str": "text", "path": "text", "int": "integer", "float": "float"}
    if one.type not in kinds:
        raise SurveyError(f"AWX has no question for {name}, which is of the type {one.type}")
    return {"type": kinds[one.type]}


def _answer(one: role_docs.Input, default: Any) -> Any:
    if isinstance(default, list):
        return "\n".join(map(str, default))
    if one.type in ("int", "float") and not one.choices:
        return default
    return role_docs.value_text(default) if default != "" else ""


def plain(text: str) -> str:
    """A description without Ansible's markup: AWX shows it as it is."""
    return re.sub(r"\b[CVOMBI]\(([^()]*)\)", r"\1", " ".join(text.split()))


def _of(described: Mapping[str, role_docs.Input], name: str) -> role_docs.Input:
    wanted = ALIASES.get(name, name)
    if wanted not in described:
        raise SurveyError(f"no role's argument spec knows {wanted}")
    return described[wanted]


def _described(root: Path) -> dict[str, role_docs.Input]:
    return {
        one.name: one
        for role in role_docs.roles(root)
        for spec in role_docs.entry_points(role).values()
        for one in role_docs.inputs(spec.get("options") or {})
    }


if __name__ == "__main__":
    sys.exit(main())
