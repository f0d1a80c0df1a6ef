# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Normalises values from a file of another machine; an invalid value counts as missing, never as an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..runs.text import clean
from .text import number


def list_under(data: Mapping[str, Any], key: str, file: str, notes: list[str]) -> list[Any]:
    """Return the list under ``key``; empty if it is missing or, with a note, not a list."""
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        notes.append(f"{file}: {key}: expected a list, got {type(value).__name__}")
        return []
    return value


def object_under(data: Mapping[str, Any], key: str, file: str, notes: list[str]) -> dict[str, Any] | None:
    """Return the object under ``key``; None if it is missing or, with a note, not an object."""
    value = data.get(key)
    if value is None or isinstance(value, dict):
        return value
    notes.append(f"{file}: {key}: expected an object, got {type(value).__name__}")
    return None


def entries(value: Any, texts: Sequence[str] = (), numbers: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Keep the objects of a list, each with only the named fields; invalid values are None."""
    if not isinstance(value, list):
        return []
    return [fields(entry, texts, numbers) for entry in value if isinstance(entry, Mapping)]


def fields(value: Any, texts: Sequence[str] = (), numbers: Sequence[str] = ()) -> dict[str, Any]:
    """Keep the named fields of an object; invalid values are None."""
    given = value if isinstance(value, Mapping) else {}
    return {
        **{name: text_of(given.get(name)) for name in texts},
        **{name: number(given.get(name)) for name in numbers},
    }


def names(value: Any) -> list[str]:
    """Return the entries of a list as strings."""
    return [clean(entry) for entry in value] if isinstance(value, list) else []


def text_of(value: Any) -> str | None:
    """Return a cleaned string, or None for None."""
    return None if value is None else clean(value)


def whole(value: Any) -> int | None:
    """Return a number as an int, or None for anything else."""
    known = number(value)
    return None if known is None else int(known)


def truth(value: Any) -> bool | None:
    """Return a boolean, or None for anything else."""
    return value if isinstance(value, bool) else None
