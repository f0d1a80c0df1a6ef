"""AWS's service authorization reference, as included in `parliament`."""

from __future__ import annotations

import functools
import importlib.util
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# The row of the reference whose condition keys do not belong to a resource type.
NO_TYPE = ""


@dataclass
class Action:
    """One action of the reference.

    Attributes:
        keys: Condition keys by resource type; those of ``NO_TYPE`` apply to all.
        required: Resource types of every request.
    """

    keys: dict[str, set[str]] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)

    @property
    def types(self) -> set[str]:
        """Its resource types."""
        return set(self.keys) - {NO_TYPE}

    def knows(self, key: str) -> bool:
        """Whether any of its resource types has a condition key, such as ``aws:RequestTag/project``."""
        return any(same(key, known) for keys in self.keys.values() for known in keys)


def same(key: str, known: str) -> bool:
    """Whether a condition key matches one of the reference, which writes ``aws:RequestTag/${TagKey}``."""
    if "/" in known:
        return key.partition("/")[0].lower() == known.partition("/")[0].lower() and "/" in key
    return key.lower() == known.lower()


@functools.cache
def actions() -> dict[str, Action]:
    """Every action of AWS, in lower case: ``ec2:runinstances``."""
    found: dict[str, Action] = {}
    for service in _definition():
        for privilege in service["privileges"]:
            action = found.setdefault(f"{service['prefix']}:{privilege['privilege']}".lower(), Action())
            for row in privilege["resource_types"]:
                name = row["resource_type"].rstrip("*")
                action.keys.setdefault(name, set()).update(row["condition_keys"])
                if row["resource_type"].endswith("*"):
                    action.required.add(name)
    return found


def action(permission: str) -> Action:
    """One action, for example ``ec2:RunInstances``.

    Raises:
        KeyError: AWS has no such action.
    """
    return actions()[permission.lower()]


def _definition() -> list[dict[str, Any]]:
    # Do not import parliament here: its import prints warnings.
    spec = importlib.util.find_spec("parliament")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).with_name("iam_definition.json")
    definition: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return definition
