"""Read the policies, fill in their placeholders, and leave out statements."""

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
    """One statement of a policy, with its placeholders."""

    policy: str
    sid: str
    content: dict[str, Any]

    @property
    def name(self) -> str:
        """Its unique name: ``<policy>.<sid>``."""
        return f"{self.policy}.{self.sid}"

    @property
    def denies(self) -> bool:
        """Whether its effect is ``Deny``."""
        return bool(self.content["Effect"] == "Deny")

    def actions(self) -> list[str]:
        """Its ``Action``; empty if it has ``NotAction``."""
        return _list(self.content.get("Action", []))

    def resources(self) -> list[str]:
        """Its ``Resource``."""
        return _list(self.content["Resource"])

    def only(self, **elements: Any) -> dict[str, Any]:
        """A policy with only this statement, with these elements replaced."""
        return fill({"Version": "2012-10-17", "Statement": [{**self.content, **elements}]})


@functools.cache
def values() -> dict[str, Any]:
    """The embedded account's values of the placeholders."""
    found: dict[str, Any] = yaml.safe_load(ACCOUNT.read_text(encoding="utf-8"))["substitutions"]
    return found


def document(policy: str) -> dict[str, Any]:
    """A policy with its placeholders."""
    found: dict[str, Any] = json.loads((FOLDER / f"{policy}.json").read_text(encoding="utf-8"))
    return found


def statements() -> list[Statement]:
    """Every statement of every policy."""
    return [Statement(name, each["Sid"], each) for name in POLICIES for each in document(name)["Statement"]]


def filled(policy: str, leave_out: str = "") -> dict[str, Any]:
    """A policy for the embedded account, without the statement ``leave_out``."""
    complete = document(policy)
    kept = [each for each in complete["Statement"] if each["Sid"] != leave_out]
    return fill({**complete, "Statement": kept})


def fill(policy: dict[str, Any]) -> dict[str, Any]:
    """Fill in the placeholders for the embedded account."""
    made: dict[str, Any] = substitutions.fill(policy, values())
    return made


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
