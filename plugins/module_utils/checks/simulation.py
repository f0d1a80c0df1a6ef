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


def simulate(context: Context, principal: str, questions: Iterable[Question], *, allowed: bool = False) -> list[str]:
    """Simulate the policies of ``principal``; return each action and its resource that is denied, or ``allowed``.

    Raises:
        botocore.exceptions.ClientError: The caller may not use the simulator, or not for this principal.
    """
    return [
        action if resource == "*" else f"{action} on {resource}"
        for question in questions
        for action, resource, answer in _answers(context, principal, question)
        if answer == allowed
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
    values, kind = ([value], "string") if isinstance(value, str) else (list(value), "stringList")
    return {"ContextKeyName": name, "ContextKeyValues": values, "ContextKeyType": kind}
