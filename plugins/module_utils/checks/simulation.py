"""Permissions according to IAM's policy simulator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .context import Context


@dataclass(frozen=True)
class Question:
    """Are ``actions`` allowed on each of ``resources``, with these condition keys?"""

    actions: Sequence[str]
    resources: Sequence[str] = ("*",)
    conditions: Mapping[str, str | Sequence[str]] = field(default_factory=dict)


def denied(context: Context, principal: str, questions: Iterable[Question]) -> list[tuple[str, str]]:
    """Simulate the policies of ``principal``; return each pair of action and resource that is not allowed.

    Raises:
        botocore.exceptions.ClientError: The caller may not use the simulator, or not for this principal.
    """
    return [
        (action, resource)
        for question in questions
        for action, resource, allowed in _answers(context, principal, question)
        if not allowed
    ]


def allowed(context: Context, principal: str, questions: Iterable[Question]) -> list[tuple[str, str]]:
    """Like `denied`, but return each pair that is allowed."""
    return [
        (action, resource)
        for question in questions
        for action, resource, allowed in _answers(context, principal, question)
        if allowed
    ]


def _answers(context: Context, principal: str, question: Question) -> Iterable[tuple[str, str, bool]]:
    pages = (
        context.client("iam")
        .get_paginator("simulate_principal_policy")
        .paginate(
            PolicySourceArn=principal,
            ActionNames=list(question.actions),
            ResourceArns=list(question.resources),
            ContextEntries=[_entry(name, value) for name, value in question.conditions.items()],
        )
    )
    for page in pages:
        for result in page["EvaluationResults"]:
            action = str(result["EvalActionName"])
            # One result per action, with a decision per resource; older versions return one result per resource.
            specific = result.get("ResourceSpecificResults") or []
            if not specific:
                yield action, str(result.get("EvalResourceName", "*")), result["EvalDecision"] == "allowed"
            for each in specific:
                yield action, str(each["EvalResourceName"]), each["EvalResourceDecision"] == "allowed"


def _entry(name: str, value: str | Sequence[str]) -> dict[str, object]:
    if isinstance(value, str):
        return {"ContextKeyName": name, "ContextKeyValues": [value], "ContextKeyType": "string"}
    return {"ContextKeyName": name, "ContextKeyValues": list(value), "ContextKeyType": "stringList"}
