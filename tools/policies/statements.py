"""The policies as files, filled in, and without one of their statements."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

import yaml
from local_aws import substitutions

from tests.support.account import ROOT

FOLDER = ROOT / "files" / "iam"
ACCOUNT = ROOT / "inventory" / "local" / "account.yml"
POLICIES = (
    "control_node",
    "control_node_notifications",
    "preflight_instance",
    "training_instance",
    "expiry",
    "rollback",
)


@dataclass(frozen=True)
class Statement:
    """One statement of a policy, as its file has it: nothing is filled in."""

    policy: str
    sid: str
    content: dict[str, Any]

    @property
    def name(self) -> str:
        """Its name among all: ``<policy>.<sid>``."""
        return f"{self.policy}.{self.sid}"

    @property
    def denies(self) -> bool:
        """Whether it forbids."""
        return bool(self.content["Effect"] == "Deny")

    def actions(self) -> list[str]:
        """What it names under ``Action``; nothing where it has ``NotAction``."""
        return _list(self.content.get("Action", []))

    def resources(self) -> list[str]:
        """What it names under ``Resource``."""
        return _list(self.content["Resource"])

    def only(self, **elements: Any) -> dict[str, Any]:
        """A policy of this statement alone, with these elements in place of its own."""
        return fill({"Version": "2012-10-17", "Statement": [{**self.content, **elements}]})


@functools.cache
def values() -> dict[str, Any]:
    """What the embedded account fills in."""
    found: dict[str, Any] = yaml.safe_load(ACCOUNT.read_text(encoding="utf-8"))["substitutions"]
    return found


def document(policy: str) -> dict[str, Any]:
    """A policy as its file has it."""
    found: dict[str, Any] = json.loads((FOLDER / f"{policy}.json").read_text(encoding="utf-8"))
    return found


def statements() -> list[Statement]:
    """Every statement of every policy."""
    return [Statement(name, each["Sid"], each) for name in POLICIES for each in document(name)["Statement"]]


def filled(policy: str, leave_out: str = "") -> dict[str, Any]:
    """A policy for the embedded account, without the statement ``leave_out``."""
    whole = document(policy)
    kept = [each for each in whole["Statement"] if each["Sid"] != leave_out]
    return fill({**whole, "Statement": kept})


def fill(policy: dict[str, Any]) -> dict[str, Any]:
    """A policy with the names of the embedded account."""
    made: dict[str, Any] = substitutions.fill(policy, values())
    return made


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
