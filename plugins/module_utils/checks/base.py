"""The settings that a check reads and the finding that it returns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

Status = Literal["pass", "warn", "fail"]
ORDER: tuple[Status, ...] = ("pass", "warn", "fail")


@dataclass(frozen=True)
class Finding:
    """The result of a check. ``remedy`` overrides the check's ``REMEDY``."""

    status: Status
    detail: str
    remedy: str | None = None


class Unavailable(Exception):
    """A look-up failed. The check named ``owner`` reports why; the others report that they cannot run."""

    def __init__(self, owner: str, reason: str) -> None:
        """Keep the reason (one line) and the check that owns the look-up."""
        super().__init__(reason)
        self.owner = owner


def worst(findings: list[tuple[Status, str]], passed: str) -> Finding:
    """Combine findings: the worst status and the text of all that did not pass, or ``passed``."""
    wrong = [(status, text) for status, text in findings if status != "pass"]
    if not wrong:
        return Finding("pass", passed)
    return Finding(max((status for status, _ in wrong), key=ORDER.index), "; ".join(text for _, text in wrong))


@dataclass(frozen=True)
class Settings:
    """The inputs of the role spot_instance that the checks read."""

    region: str
    preflight: bool
    project: str
    tags: Mapping[str, str]
    types: Sequence[str]
    markets: Sequence[str]
    max_price: str
    on_demand: Mapping[str, float]
    subnet_filters: Mapping[str, Any]
    security_group: str
    profile: str
    image_parameter: str
    volume_gb: int
    data_bucket: str
    transport_bucket: str
    arctic_prefix: str
    artefact_prefixes: Sequence[str]
    expiry_role: str

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Settings:
        """The settings in a task's arguments. Inputs are converted before, but not the values of free mappings."""
        prices = {name: float(value) for name, value in arguments["on_demand"].items()}
        tags = {name: str(value) for name, value in arguments["tags"].items()}
        given = {field.name: arguments[field.name] for field in fields(cls)}
        return cls(**given | {"tags": tags, "on_demand": prices})

    def ec2_filters(self) -> list[dict[str, Any]]:
        """``subnet_filters`` as EC2 takes them."""
        return [
            {"Name": name, "Values": [str(each) for each in (value if isinstance(value, list | tuple) else [value])]}
            for name, value in self.subnet_filters.items()
        ]


def is_standard(instance_type: str) -> bool:
    """Whether a type counts towards the quota of standard instances (A, C, D, H, I, M, R, T, Z)."""
    return re.match(r"^(a|c|d|h|im?|is|m|r|t|z)\d", instance_type) is not None
