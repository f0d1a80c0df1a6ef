# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inputs that there are, and the conversion of what a person gives to their types: for every gate the same."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml

BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}
#: Roles of playbooks that are played once, at a terminal. A run has no use for their inputs.
SETTING_UP = ("aws_account", "awx")
Spec = Mapping[str, Any]


class InputError(Exception):
    """One line: what is wrong, with which input, what to do."""


def known_of(role: Path) -> dict[str, Spec]:
    """The options of the ``main`` entry point of one role."""
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    options: dict[str, Spec] = specs["argument_specs"]["main"]["options"]
    return options


def known_inputs(roles: Path, own: Mapping[str, Spec], without: Collection[str] = SETTING_UP) -> dict[str, Spec]:
    """What a person may set, by name: ``own``, and the options of all roles that have a default.

    What a role requires is given to it by the playbook (whose instance to end, what was left): an extra variable would
    win over that, so it is refused.

    Args:
        roles: The folder of the roles.
        own: What the playbook itself takes.
        without: Roles whose inputs are none of this playbook.
    """
    options: dict[str, Spec] = {}
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        if path.parent.parent.name in without:
            continue
        for entry in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("argument_specs", {}).values():
            options.update({k: v for k, v in (entry.get("options") or {}).items() if not v.get("required")})
    return {**options, **own}


def unknown(name: str, known: Collection[str], where: str = "") -> InputError:
    """The error that says that there is no such input, and which may have been meant."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}" if near else "docs/inputs.md lists what there is"
    return InputError(f"unknown input {name!r}{f' in {where}' if where else ''} ({hint})")


def convert(name: str, value: Any, spec: Spec) -> Any:
    """Return ``value`` as the type that ``spec`` asks for.

    Raises:
        InputError: It is not of that type, none of the choices, or a number that is not above 0.
    """
    kind = spec.get("type", "str")
    converted = _CONVERTERS[kind](name, value)
    if kind == "list" and spec.get("elements") == "str":
        converted = [_text(f"{name}[{number}]", entry) for number, entry in enumerate(converted)]
    choices = spec.get("choices")
    if choices and converted not in choices:
        raise InputError(f"{name}={value!r} is not one of {', '.join(map(str, choices))}")
    # Seconds, minutes, gigabytes, attempts, a port: of none of them there is zero or less.
    if kind in ("int", "float") and not converted > 0:
        raise InputError(f"{name}={value!r} is too small: it must be above 0")
    return converted


def _boolean(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in BOOLEANS:
        return BOOLEANS[value.lower()]
    raise InputError(f"{name}={value!r} is no boolean: say true or false")


def _integer(name: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    raise InputError(f"{name}={value!r} is no whole number")


def _float(name: str, value: Any) -> float:
    try:
        if not isinstance(value, bool):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise InputError(f"{name}={value!r} is no number")


def _text(name: str, value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    raise InputError(f"{name} takes text, not {type(value).__name__}")


def _structure(kind: type, word: str) -> Any:
    def check(name: str, value: Any) -> Any:
        if isinstance(value, kind) and not isinstance(value, str):
            return value
        raise InputError(f"{name} takes a {word}: pass it in a file (-e @file.yml) or as JSON")

    return check


def _as_is(name: str, value: Any) -> Any:
    return value


_CONVERTERS: dict[str, Any] = {
    "bool": _boolean,
    "int": _integer,
    "float": _float,
    "str": _text,
    "path": _text,
    "raw": _as_is,
    "dict": _structure(Mapping, "mapping"),
    "list": _structure(list, "list"),
}
