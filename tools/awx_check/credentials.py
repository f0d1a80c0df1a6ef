"""Credential types and credentials: what AWX accepts, and what a job gets from them.

A custom type has inputs (fields of a form) and injectors: Jinja templates of environment variables, files and extra
variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import yaml
from jinja2 import sandbox
from jsonschema import Draft4Validator

#: Replaces a secret in the API's responses.
ENCRYPTED = "$encrypted$"

_DATA = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"))
#: Some of AWX's built-in types, by namespace.
MANAGED: Mapping[str, Mapping[str, Any]] = _DATA["managed"]


@dataclass(frozen=True)
class Injected:
    """What a credential gives a job; `{{ tower.filename.NAME }}` is a placeholder for the path of the file NAME."""

    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    extra_vars: dict[str, Any] = field(default_factory=dict)


def problem_of_inputs(inputs: Mapping[str, Any]) -> str:
    """Why AWX refuses the inputs of a type, or an empty string. A field without a type becomes a string."""
    for error in Draft4Validator(_DATA["inputs"]).iter_errors(inputs):
        return str(error.message)
    seen = set()
    for one in inputs.get("fields", []):
        one.setdefault("type", "string")
        name = one["id"]
        if name == "tower":
            return '"tower" is a reserved field name'
        if name in seen:
            return f"field IDs must be unique ({name})"
        seen.add(name)
        if one.get("ask_at_runtime"):
            return "'ask_at_runtime' is not supported for custom credentials."
        if "default" in one and type(one["default"]) is not {"string": str, "boolean": bool}[one["type"]]:
            return f"{one['default']} is not a {one['type']}"
        for key in ("choices", "multiline", "format", "secret"):
            if key in one and one["type"] != "string":
                return f"{key} not allowed for {one['type']} type ({name})"
    if unknown := set(inputs.get("required", [])) - seen:
        # AWX accepts such a type, but no credential of it is ever complete.
        return f"'{min(unknown)}' is required but is not a field"
    return ""


def problem_of_injectors(injectors: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Why AWX refuses the injectors of a type, or an empty string."""
    for error in Draft4Validator(_DATA["injectors"]).iter_errors(injectors):
        return str(error.message)
    for name in injectors.get("env", {}):
        if name.startswith("ANSIBLE_"):
            return f"Environment variable {name} may affect Ansible configuration, so a credential may not set it."
        if name in _DATA["blocked"]:
            return f"Environment variable {name} is not allowed to be used in credentials."
    names = list(injectors.get("file", {}))
    if "template" in names and len(names) > 1:
        return "Must use multi-file syntax when injecting multiple files"
    values: dict[str, Any] = {one["id"]: "EXAMPLE" for one in inputs.get("fields", [])}
    values["tower"] = _tower(names)
    environment = sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    for kind, templates in injectors.items():
        for name, template in templates.items():
            try:
                environment.from_string(template).render(values)
            except jinja2.UndefinedError as error:
                return f"{name} uses an undefined field ({error})"
            except jinja2.TemplateSyntaxError as error:
                return f"Syntax error rendering template for {name} inside of {kind} ({error})"
    return ""


def problems_of_credential(
    inputs: Mapping[str, Any], type_inputs: Mapping[str, Any], new: bool
) -> dict[str, list[str]]:
    """Why AWX refuses a credential's inputs, by field. A `new` one has no secret to keep."""
    known = {one["id"]: one for one in type_inputs.get("fields", [])}
    found = {}
    for name, value in inputs.items():
        one = known.get(name)
        if one is None:
            found[name] = [f"Additional properties are not allowed ('{name}' was unexpected)"]
        elif (one["type"] == "boolean") is not isinstance(value, bool) or not isinstance(value, str | bool):
            found[name] = [f"{value!r} is not of type '{one['type']}'"]
        elif one.get("secret") and value == ENCRYPTED and new:
            found[name] = [f"{ENCRYPTED} is a reserved keyword, and cannot be used for {name}."]
        elif one.get("choices") and value not in one["choices"]:
            found[name] = [f"{value!r} is not one of {one['choices']}"]
    for name in type_inputs.get("required", []):
        if not inputs.get(name):
            # AWX accepts an incomplete credential but refuses the job that uses it.
            found[name] = ["This field is required."]
    return found


def secret_inputs(type_inputs: Mapping[str, Any]) -> set[str]:
    """Names of the inputs that are stored encrypted."""
    return {one["id"] for one in type_inputs.get("fields", []) if one.get("secret")}


def inject(injectors: Mapping[str, Any], type_inputs: Mapping[str, Any], inputs: Mapping[str, Any]) -> Injected:
    """What a job gets from a credential.

    As in AWX, an empty input is undefined in a template, and a missing boolean is false. `inputs` has the secrets in
    clear text.
    """
    values: dict[str, Any] = {one["id"]: False for one in type_inputs.get("fields", []) if one["type"] == "boolean"}
    values |= {name: value for name, value in inputs.items() if isinstance(value, bool) or value}
    templates = injectors.get("file", {})
    values["tower"] = _tower(list(templates), placeholders=True)
    environment = sandbox.ImmutableSandboxedEnvironment()

    def rendered(kind: str) -> dict[str, str]:
        return {name: environment.from_string(text).render(values) for name, text in injectors.get(kind, {}).items()}

    files = {_file_name(label): text for label, text in rendered("file").items()}
    return Injected(rendered("env"), files, rendered("extra_vars"))


def _file_name(label: str) -> str:
    return label.partition(".")[2] or "template"


def _tower(labels: list[str], placeholders: bool = False) -> Mapping[str, Any]:
    """The variable `tower` of a template: the paths of the files."""

    def path(name: str) -> str:
        return f"{{{{ tower.filename.{name} }}}}" if placeholders else "EXAMPLE_FILENAME"

    if labels == ["template"]:
        return {"filename": path("template")}
    names = [_file_name(label) for label in labels if re.fullmatch(r"template\.\w+", label)]
    return {"filename": {name: path(name) for name in names}} if names else {}
