# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values from a file of another machine, brought into shape: what does not fit is missing, never an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..runs.text import clean
from .text import number


def list_under(data: Mapping[str, Any], key: str, file: str, notes: list[str]) -> list[Any]:
    """Return the list under ``key``; a missing one is empty, anything else is empty and noted."""
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        notes.append(f"{file}: {key} is a {type(value).__name__} where a list belongs")
        return []
    return value


def object_under(data: Mapping[str, Any], key: str, file: str, notes: list[str]) -> dict[str, Any] | None:
    """Return the object under ``key``; None where it is missing, or is something else, which is noted."""
    value = data.get(key)
    if value is None or isinstance(value, dict):
        return value
    notes.append(f"{file}: {key} is a {type(value).__name__} where an object belongs")
    return None


def entries(value: Any, texts: Sequence[str] = (), numbers: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Keep the objects of a list, each with the named fields and no other; what does not fit in one is None."""
    if not isinstance(value, list):
        return []
    return [fields(entry, texts, numbers) for entry in value if isinstance(entry, Mapping)]


def fields(value: Any, texts: Sequence[str] = (), numbers: Sequence[str] = ()) -> dict[str, Any]:
    """Keep the named fields of an object; what does not fit is None."""
    given = value if isinstance(value, Mapping) else {}
    return {
        **{name: text_of(given.get(name)) for name in texts},
        **{name: number(given.get(name)) for name in numbers},
    }


def names(value: Any) -> list[str]:
    """Keep the entries of a list as texts."""
    return [clean(entry) for entry in value] if isinstance(value, list) else []


def text_of(value: Any) -> str | None:
    """Return a cleaned string, or None for None."""
    return None if value is None else clean(value)


def whole(value: Any) -> int | None:
    """Return a number as an int, or None."""
    known = number(value)
    return None if known is None else int(known)


def truth(value: Any) -> bool | None:
    """Return a boolean, or None for anything else."""
    return value if isinstance(value, bool) else None
