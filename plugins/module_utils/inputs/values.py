# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The known inputs, and the conversion of a value to the type in its argument spec."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml

BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}
#: Roles of playbooks that set up an account or an AWX. A run does not take their inputs.
SETTING_UP = ("aws_account", "awx")
#: The largest whole number that every consumer (JSON, AWS, shell) represents exactly has 15 digits.
DIGITS = 15
PATH_BYTES, COMPONENT_BYTES = 4096, 255
SHOWN_CHARACTERS = 60
_EXPECTED = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text", "path": "a path"}
_EXPECTED |= {"list": "a list", "dict": "a mapping"}
_JINJA = re.compile(r"\{[{%#]")
Spec = Mapping[str, Any]


class InputError(Exception):
    """An input is refused; one line says which, what was expected, and what was given."""


def known_of(role: Path) -> dict[str, Spec]:
    """Return the options of the ``main`` entry point of one role."""
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    options: dict[str, Spec] = specs["argument_specs"]["main"]["options"]
    return options


def known_inputs(roles: Path, own: Mapping[str, Spec], without: Collection[str] = SETTING_UP) -> dict[str, Spec]:
    """Return the inputs that a user may set, by name: ``own``, and the options of all roles that are not required.

    Required options are passed by the playbook (for example the run to terminate). An extra variable would override
    that, so it is refused. The playbook does not take inputs of the roles ``without``.
    """
    options: dict[str, Spec] = {}
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        if path.parent.parent.name in without:
            continue
        for entry in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("argument_specs", {}).values():
            options.update({k: v for k, v in (entry.get("options") or {}).items() if not v.get("required")})
    return {**options, **own}


def unknown(name: str, known: Collection[str], where: str = "") -> InputError:
    """Return the error for an unknown input, with the closest known name."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}" if near else "docs/inputs.md lists the inputs"
    return InputError(f"unknown input {_quoted(name)}{f' in {where}' if where else ''} ({hint})")


def convert(name: str, value: Any, spec: Spec) -> Any:
    """Return ``value`` as the type in ``spec``, with the parts of mappings and the elements of lists converted too.

    ``value`` is text from a command line, or what YAML or JSON makes of a file. With ``no_log`` in ``spec``, errors do
    not show it. With ``typed`` added, text is not converted to another type, because roles read the value as given.

    Raises:
        InputError: It is not of that type, not one of the choices, a number that is not above 0, or text that no
            file name, environment or API can hold.
    """
    kind = spec.get("type", "str")
    if kind == "list":
        if not isinstance(value, list):
            raise _wrong(name, "a list", value, spec, _as_structure(name, '["…"]') if isinstance(value, str) else "")
        element = {**spec, "type": spec.get("elements", "raw")}
        return [convert(f"{name}[{index}]", entry, element) for index, entry in enumerate(value)]
    if kind == "dict":
        if not isinstance(value, Mapping):
            hint = _as_structure(name, '{"…": "…"}') if isinstance(value, str) else ""
            raise _wrong(name, "a mapping", value, spec, hint)
        options = spec.get("options")
        return convert_parts(name, value, spec) if options else _raw(name, dict(value), spec)
    converted = _CONVERTERS[kind](name, value, spec)
    if spec.get("typed") and kind in _EXPECTED and isinstance(value, str) != isinstance(converted, str):
        if isinstance(value, str):
            raise _wrong(name, _EXPECTED[kind], value, spec, f"remove the quotes (in a template, add | {kind})")
        if not isinstance(value, date):
            raise _wrong(name, _EXPECTED[kind], value, spec, "put it in quotes")
    choices = spec.get("choices")
    if choices and converted not in choices:
        raise _wrong(name, _either(choices), value, spec)
    # Seconds, minutes, gigabytes, attempts, a port: none of them can be zero.
    if kind in ("int", "float") and not converted > 0:
        raise _wrong(name, f"{_EXPECTED[kind]} above 0", value, spec)
    return converted


def convert_parts(name: str, given: Mapping[Any, Any], spec: Spec) -> dict[str, Any]:
    """Return the parts of a mapping, converted, with their defaults; without those that are null or empty."""
    options: Mapping[str, Spec] = spec["options"]
    inherited = {key: True for key in ("no_log", "typed") if spec.get(key)}
    for part in given:
        if part not in options:
            near = difflib.get_close_matches(str(part), options, n=1)
            hint = f"did you mean {near[0]!r}" if near else f"expected {_either(list(options))}"
            raise InputError(f"unknown input {_quoted(f'{name}.{part}')} ({hint})")
    parts = {}
    for part, option in options.items():
        value = given.get(part, option.get("default"))
        if value is not None and value != "":
            parts[part] = convert(f"{name}.{part}", value, {**option, **inherited})
        elif option.get("required"):
            raise InputError(f"{name}.{part} is not set: {first_line(option)}")
    return parts


def check_date(name: str, value: Any) -> str:
    """Return ``value`` as an ISO date."""
    text = value.isoformat() if isinstance(value, date) else str(value)
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            raise ValueError("format")
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise _wrong(name, "a date (YYYY-MM-DD)", text, {}) from error


def same(first: Any, second: Any) -> bool:
    """Whether two values are equal and of the same type: `1`, `True` and `"1"` differ."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    return describe(first) == describe(second) and bool(first == second)


def no_templates(name: str, value: Any) -> None:
    """Check that a value, however deep, holds no Jinja: the control node would evaluate it."""
    for text in _texts(value):
        if found := _JINJA.search(text):
            raise InputError(f"{name}: expected a value without Jinja, got text with {found[0]}")


def first_line(spec: Spec) -> str:
    """Return the first sentence of an option's description."""
    description = spec.get("description", "")
    text = description[0] if isinstance(description, list) else description
    return str(text).split(". ")[0].rstrip(".")


def _boolean(name: str, value: Any, spec: Spec) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in BOOLEANS:
        return BOOLEANS[value.lower()]
    raise _wrong(name, _EXPECTED["bool"], value, spec)


def _integer(name: str, value: Any, spec: Spec) -> int:
    digits = isinstance(value, str) and re.fullmatch(r"-?\d+", value, re.ASCII)
    if isinstance(value, bool) or not (digits or isinstance(value, int)):
        raise _wrong(name, _EXPECTED["int"], value, spec)
    large = len(value.lstrip("-")) > DIGITS if digits else abs(value) >= 10**DIGITS
    if large:
        raise _wrong(name, f"a whole number of at most {DIGITS} digits", value, spec)
    return int(value)


def _float(name: str, value: Any, spec: Spec) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise _wrong(name, _EXPECTED["float"], value, spec)


def _text(name: str, value: Any, spec: Spec) -> str:
    if isinstance(value, str):
        return _sound(name, str(value), spec)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**DIGITS:
        return str(value)
    # 3.10 as a number is 3.1, and `no` is false: what was written is lost.
    quote = "put it in quotes" if isinstance(value, bool | int | float) else ""
    raise _wrong(name, _EXPECTED["str"], value, spec, quote)


def _path(name: str, value: Any, spec: Spec) -> str:
    text = _text(name, value, spec)
    if text.startswith("~"):
        try:
            text = str(Path(text).expanduser())
        except RuntimeError as error:
            raise _wrong(name, "a path below the home of a known user", value, spec) from error
    if len(text.encode()) > PATH_BYTES:
        raise _wrong(name, f"a path of at most {PATH_BYTES} bytes", value, spec)
    if any(len(part.encode()) > COMPONENT_BYTES for part in text.split("/")):
        raise _wrong(name, f"a path whose components have at most {COMPONENT_BYTES} bytes", value, spec)
    return text


def _raw(name: str, value: Any, spec: Spec) -> Any:
    """Check the texts in a value whose type is not declared."""
    for text in _texts(value):
        _sound(name, text, {})
    return value


_CONVERTERS: dict[str, Callable[[str, Any, Spec], Any]] = {
    "bool": _boolean,
    "int": _integer,
    "float": _float,
    "str": _text,
    "path": _path,
    "raw": _raw,
}


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, also the keys of mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from _texts(pair)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _texts(entry)


def _sound(name: str, text: str, spec: Spec) -> str:
    if "\0" in text:
        raise _wrong(name, "text without NUL characters", text, spec)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _wrong(name, "valid Unicode", text, spec) from error
    return text


def _wrong(name: str, expected: str, value: Any, spec: Spec, hint: str = "") -> InputError:
    shown = describe(value) if spec.get("no_log") else _shown(value)
    return InputError(f"{name}: expected {expected}, got {shown}{f': {hint}' if hint else ''}")


def describe(value: Any) -> str:
    """Say what a value is, without the value."""
    if value is None:
        return "null"
    kinds: Sequence[tuple[type | tuple[type, ...], str]] = (
        (str, "text"),
        (bool, "a boolean"),
        (int, "a whole number"),
        (float, "a number"),
        (date, "a date"),
        (Mapping, "a mapping"),
        ((list, tuple), "a list"),
    )
    return next((word for kind, word in kinds if isinstance(value, kind)), "a value of another type")


def _shown(value: Any) -> str:
    """Say what a value is, on one short line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, int) and abs(value) >= 10**DIGITS:
        return f"a number of more than {DIGITS} digits"
    if isinstance(value, int | float):
        return f"the number {value}"
    return describe(value)


def _quoted(text: str) -> str:
    """Quote text on one line of plain characters, shortened."""
    cut = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
    return repr(str(cut)) if cut.isprintable() else ascii(str(cut))


def _either(choices: Sequence[Any]) -> str:
    *others, last = map(str, choices)
    return f"{', '.join(others)} or {last}" if others else last


def _as_structure(name: str, example: str) -> str:
    if re.search(r"[.\[]", name):  # a part of an input
        return "use JSON or a file"
    return f"use JSON (-e '{{\"{name}\": {example}}}') or a file (-e @inputs.yml)"
