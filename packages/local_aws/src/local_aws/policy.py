"""IAM policy evaluation: identity policies with actions, resources and conditions.

Sources: IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements". An explicit deny wins, then an
allow, then the implicit deny. Without resources the Resource element is ignored; the README lists the operations whose
resources are derived.
"""

from __future__ import annotations

import fnmatch
import functools
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Value = str | Sequence[str]
"""The value of a condition key; a list for a multivalued key such as ``aws:TagKeys``."""
Context = Mapping[str, Value]

# Decisions, as named by SimulatePrincipalPolicy.
ALLOWED, EXPLICIT_DENY, IMPLICIT_DENY = "allowed", "explicitDeny", "implicitDeny"


def evaluate(policies: Iterable[str], permission: str, resources: Sequence[str], context: Context) -> bool:
    """Whether ``policies`` (JSON documents) allow ``permission`` on every one of ``resources``."""
    statements = [statement for policy in policies for statement in _statements(policy)]
    asked: Sequence[str | None] = resources or [None]
    return all(_decision(statements, permission, resource, context) == ALLOWED for resource in asked)


def decide(policies: Iterable[str], permission: str, resource: str, context: Context) -> str:
    """The decision on one permission and resource, as named by IAM's policy simulator."""
    return _decision([s for policy in policies for s in _statements(policy)], permission, resource, context)


def missing_keys(policies: Iterable[str], permission: str, resource: str, context: Context) -> list[str]:
    """Condition keys that ``context`` lacks, of the statements on ``permission`` and ``resource``."""
    given = {key.lower() for key in context}
    wanted = {
        key
        for policy in policies
        for statement in _statements(policy)
        if _applies({**statement, "Condition": {}}, permission, resource, context)
        for block in statement.get("Condition", {}).values()
        for key in block
    }
    return sorted(key for key in wanted if key.lower() not in given)


def trusts(document: str, principals: Iterable[str], permission: str, context: Context, by_name: bool = False) -> bool:
    """Whether a role's trust policy (JSON) allows a caller ``permission`` (``sts:AssumeRole``).

    ``principals`` are all names of the caller that a ``Principal`` element may use: ARN, account, service. ``by_name``
    ignores statements for everyone (``*``).
    """
    named = set(principals) if by_name else {*principals, "*"}
    statements = [s for s in _statements(document) if named & set(_principals(s))]
    return _decision(statements, permission, None, context) == ALLOWED


def _principals(statement: Mapping[str, Any]) -> list[str]:
    principal = statement.get("Principal")
    if not isinstance(principal, Mapping):
        return _list(principal)
    return _list(principal.get("AWS")) + [name for name in _list(principal.get("Service")) if name != "*"]


def _decision(statements: Sequence[Mapping[str, Any]], permission: str, resource: str | None, context: Context) -> str:
    applicable = [s["Effect"] for s in statements if _applies(s, permission, resource, context)]
    if "Deny" in applicable:
        return EXPLICIT_DENY
    return ALLOWED if "Allow" in applicable else IMPLICIT_DENY


def _applies(statement: Mapping[str, Any], permission: str, resource: str | None, context: Context) -> bool:
    if not _covers(statement, "Action", permission, str.lower):
        return False
    if resource is not None and not _covers(statement, "Resource", resource, str):
        return False
    return all(
        _condition(operator, key, _list(values), context)
        for operator, block in statement.get("Condition", {}).items()
        for key, values in block.items()
    )


def _covers(statement: Mapping[str, Any], element: str, value: str, fold: Callable[[str], str]) -> bool:
    """Whether an element such as ``Action``, or ``NotAction`` in its place, applies to a value."""
    patterns = statement[element] if element in statement else statement.get(f"Not{element}")
    return any(_like(fold(value), fold(pattern)) for pattern in _list(patterns)) == (element in statement)


def _condition(operator: str, key: str, wanted: Sequence[Any], context: Context) -> bool:
    quantifier, _, name = operator.rpartition(":")
    optional = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    given = next((v for k, v in context.items() if k.lower() == key.lower()), None)
    if name == "Null":
        return (given is None) == (str(wanted[0]).lower() == "true")
    negated = "Not" in name
    if given is None:
        return optional or quantifier == "ForAllValues" or (negated and not quantifier)
    test = _TESTS.get(name.replace("Not", ""))
    if test is None or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise ValueError(f"unknown condition operator {operator!r} in a policy")
    values = [given] if isinstance(given, str) else list(given)
    fits = [any(test(value, str(one)) for one in wanted) != negated for value in values]
    # AWS does not define several values without a quantifier: here negated operators need all, others one.
    return all(fits) if quantifier == "ForAllValues" or (negated and not quantifier) else any(fits)


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    return lambda value, wanted: compare(float(value), float(wanted))


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringEqualsIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
    "StringLike": lambda value, wanted: _like(value, wanted),
    "ArnEquals": lambda value, wanted: _like(value, wanted),
    "ArnLike": lambda value, wanted: _like(value, wanted),
    "Bool": lambda value, wanted: value.lower() == wanted.lower(),
    "NumericEquals": _number(lambda a, b: a == b),
    "NumericLessThan": _number(lambda a, b: a < b),
    "NumericLessThanEquals": _number(lambda a, b: a <= b),
    "NumericGreaterThan": _number(lambda a, b: a > b),
    "NumericGreaterThanEquals": _number(lambda a, b: a >= b),
    "IpAddress": lambda value, wanted: ipaddress.ip_address(value) in ipaddress.ip_network(wanted),
}


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _statements(policy: str) -> list[dict[str, Any]]:
    return [dict(statement) for statement in _list(json.loads(policy)["Statement"])]


@functools.lru_cache(maxsize=4096)
def _pattern(pattern: str) -> re.Pattern[str]:
    # fnmatch knows [sets], IAM does not: take their special meaning away.
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def _like(value: str, pattern: str) -> bool:
    return pattern == "*" or _pattern(pattern).match(value) is not None
