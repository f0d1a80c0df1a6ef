"""Validate requests by the shapes of the controller's API.

The shapes are data, `shapes.yml`. Surveys, recurrence rules and credentials' inputs have their own modules; `rules.py`
applies them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Errors = dict[str, list[str]]
Find = Callable[[str, int], Mapping[str, Any] | None]
"""Looks up an object by resource and id; None if it does not exist."""

#: Read-only fields of every object. A request may repeat only `type`, as the node module does.
COMMON = ("id", "url", "related", "summary_fields", "created", "modified")


class Refused(Exception):
    """AWX responds with 400; `errors` is the body."""

    def __init__(self, errors: Errors) -> None:
        """Store the errors by field."""
        super().__init__("; ".join(f"{name}: {' '.join(texts)}" for name, texts in errors.items()))
        self.errors = errors


@dataclass(frozen=True)
class Field:
    """One field of a resource; see `shapes.yml`."""

    name: str
    type: str
    required: bool = False
    default: Any = None
    max: int | None = None
    min: int | None = None
    choices: tuple[Any, ...] = ()
    to: str = ""
    nullable: bool = False
    read_only: bool = False
    create_only: bool = False
    derived: bool = False

    def accept(self, value: Any, find: Find) -> Any:
        """Return a value as AWX stores it.

        Raises:
            ValueError: AWX refuses the value; the text says why.
        """
        if value is None:
            return self._nothing()
        return getattr(self, f"_{self.type}")(value, find)

    def _nothing(self) -> Any:
        if self.nullable:
            return None
        if self.type in ("text", "yaml", "choice") and not (self.required or (self.choices and "" not in self.choices)):
            return ""
        if self.type == "boolean":
            return False
        raise ValueError("This field may not be null.")

    def _text(self, value: Any, find: Find) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError("Not a valid string.")
        text = str(value).strip()
        if self.required and not text:
            raise ValueError("This field may not be blank.")
        if self.max is not None and len(text) > self.max:
            raise ValueError(f"Ensure this field has no more than {self.max} characters.")
        return text

    def _boolean(self, value: Any, find: Find) -> bool:
        if not isinstance(value, bool):
            raise ValueError("Must be a valid boolean.")
        return value

    def _integer(self, value: Any, find: Find) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("A valid integer is required.")
        if self.min is not None and value < self.min:
            raise ValueError(f"Ensure this value is greater than or equal to {self.min}.")
        return value

    def _choice(self, value: Any, find: Find) -> Any:
        if isinstance(value, bool) or value not in self.choices:
            raise ValueError(f'"{value}" is not a valid choice.')
        return value

    def _object(self, value: Any, find: Find) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError("Value must be a mapping.")
        return value

    def _yaml(self, value: Any, find: Find) -> str:
        text = json.dumps(value) if isinstance(value, dict) else value
        if not isinstance(text, str):
            raise ValueError("Not a valid string.")
        variables_of(text)
        return text

    def _id(self, value: Any, find: Find) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"Incorrect type. Expected pk value, received {type(value).__name__}.")
        if find(self.to, value) is None:
            raise ValueError(f'Invalid pk "{value}" - object does not exist.')
        return value


@dataclass(frozen=True)
class Resource:
    """One kind of object of the API; see `shapes.yml`."""

    name: str
    type: str
    label: str
    unique: tuple[str, ...]
    fields: Mapping[str, Field]
    associations: Mapping[str, str] = field(default_factory=dict)
    links: tuple[str, ...] = ()

    def initial(self) -> dict[str, Any]:
        """The values of the fields that a request does not set."""
        return {name: copy.deepcopy(one.default) for name, one in self.fields.items()}

    def accept(self, payload: Any, present: Mapping[str, Any] | None, find: Find) -> dict[str, Any]:
        """Validate the body of a POST, or of a PATCH of a `present` object; return the whole object to be stored.

        Raises:
            Refused: The request is invalid; lists every error.
        """
        if not isinstance(payload, dict):
            raise Refused({"detail": ["Invalid data. Expected a dictionary."]})
        errors: Errors = {}
        kept = dict(present) if present else self.initial()
        for name, value in payload.items():
            try:
                accepted = self._value(name, value, present, find)
            except ValueError as error:
                errors[name] = [str(error)]
                continue
            if name in self.fields:
                kept[name] = accepted
        if present is None:
            for name, one in self.fields.items():
                if one.required and name not in payload:
                    errors[name] = ["This field is required."]
        if errors:
            raise Refused(errors)
        return kept

    def _value(self, name: str, value: Any, present: Mapping[str, Any] | None, find: Find) -> Any:
        if name == "type":
            if value != self.type:
                raise ValueError(f"This field is read-only, and it is {self.type}.")
            return value
        if name in COMMON:
            raise ValueError("This field is read-only.")
        if name not in self.fields:
            # AWX ignores such a field, so a misspelt name would go unnoticed.
            raise ValueError(f"Unknown field of {self.label}.")
        one = self.fields[name]
        if one.read_only and value != (present or {}).get(name, one.default):
            raise ValueError("This field is read-only.")
        accepted = one.accept(value, find)
        if one.create_only and present and accepted != present[name]:
            raise ValueError(f"The {name} of a {self.label} cannot be changed.")
        return accepted


def variables_of(text: str) -> dict[str, Any]:
    """Parse the variables that templates, inventories and workflows store as YAML or JSON.

    Raises:
        ValueError: It is not a mapping.
    """
    try:
        value = yaml.safe_load(text) if text.strip() else {}
    except yaml.YAMLError as error:
        raise ValueError(f"Cannot parse as JSON or YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(value, dict):
        raise ValueError(f"Input type `{type(value).__name__}` is not a dictionary")
    return value


@cache
def resources() -> Mapping[str, Resource]:
    """Every resource, by the name in its URL."""
    return {
        name: Resource(
            name=name,
            type=described["type"],
            label=described["label"],
            unique=tuple(described["unique"]),
            fields={
                key: Field(name=key, **{**options, "choices": tuple(options.get("choices", ()))})
                for key, options in described["fields"].items()
            },
            associations=described.get("associations", {}),
            links=tuple(described.get("links", ())),
        )
        for name, described in _described()["resources"].items()
    }


@cache
def unions() -> Mapping[str, list[str]]:
    """Names under which the API lists objects of several resources."""
    found: dict[str, list[str]] = _described()["unions"]
    return found


@cache
def prompts() -> list[str]:
    """The fields of a template that a schedule or a node may override; `extra_data` has rules of its own."""
    return [name for name in _described()["prompts"] if name != "extra_data"]


def _described() -> Any:
    return yaml.safe_load((Path(__file__).parent / "shapes.yml").read_text(encoding="utf-8"))
