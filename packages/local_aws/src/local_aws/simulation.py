"""IAM's policy simulator, which moto lacks: SimulatePrincipalPolicy and SimulateCustomPolicy.

It evaluates as the gateway does (``policy``), so a simulation predicts what happens. IAM API reference,
"SimulatePrincipalPolicy" and "EvaluationResult": one result for each action, with the most restrictive decision and one
decision for each resource.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.exceptions import InvalidInput, NoSuchEntity, NotFoundException
from moto.iam.responses import IamResponse

from local_aws import identity, policy

# The most restrictive first.
DECISIONS = (policy.EXPLICIT_DENY, policy.IMPLICIT_DENY, policy.ALLOWED)
PRINCIPAL = re.compile(r"^arn:aws:iam::\d{12}:(user|role|group)/(?:.+/)?([^/]+)$")
LONGEST_PAGE = 100


def install() -> None:
    """Add the two operations to moto."""
    IamResponse.simulate_principal_policy = _simulate_principal_policy  # type: ignore[attr-defined]
    IamResponse.simulate_custom_policy = _simulate_custom_policy  # type: ignore[attr-defined]


def results(
    policies: Sequence[str], actions: Sequence[str], resources: Sequence[str], context: policy.Context
) -> list[dict[str, Any]]:
    """The members of ``EvaluationResults``, one for each action."""
    found = []
    for action in actions:
        specific = [
            {
                "EvalResourceName": resource,
                "EvalResourceDecision": policy.decide(policies, action, resource, context),
                "MatchedStatements": [],
                "MissingContextValues": policy.missing_keys(policies, action, resource, context),
            }
            for resource in resources
        ]
        made = [each["EvalResourceDecision"] for each in specific]
        missing = {key for each in specific for key in each["MissingContextValues"]}
        found.append(
            {
                "EvalActionName": action,
                "EvalResourceName": resources[0] if len(resources) == 1 else "*",
                "EvalDecision": next(decision for decision in DECISIONS if decision in made),
                "MatchedStatements": [],
                "MissingContextValues": sorted(missing),
                "ResourceSpecificResults": [] if list(resources) == ["*"] else specific,
            }
        )
    return found


def _simulate_principal_policy(self: Any) -> ActionResult:
    arn = str(self._get_param("PolicySourceArn") or "")
    match = PRINCIPAL.match(arn)
    if match is None:
        raise InvalidInput(f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
    try:
        policies = identity.policies_of(match[1], match[2])
    except (NotFoundException, NoSuchEntity) as error:
        raise NotFoundException(f"The {match[1]} with name {match[2]} cannot be found.") from error
    return _answer(self, [*policies, *(self._get_param("PolicyInputList") or [])])


def _simulate_custom_policy(self: Any) -> ActionResult:
    return _answer(self, self._get_param("PolicyInputList") or [])


def _answer(response: Any, policies: list[str]) -> ActionResult:
    for document in policies:
        try:
            json.loads(document)
        except ValueError as error:
            raise InvalidInput(f"Invalid policy in PolicyInputList: {error}") from error
    context: dict[str, policy.Value] = {}
    for entry in response._get_param("ContextEntries") or []:
        values = [str(each) for each in entry.get("ContextKeyValues") or []]
        context[str(entry["ContextKeyName"])] = values[0] if len(values) == 1 else values
    actions, resources = response._get_param("ActionNames") or [], response._get_param("ResourceArns") or ["*"]
    found = results(policies, actions, resources, context)
    start = int(response._get_param("Marker") or 0)
    end = start + min(int(response._get_param("MaxItems") or LONGEST_PAGE), LONGEST_PAGE)
    page: dict[str, Any] = {"EvaluationResults": found[start:end], "IsTruncated": end < len(found)}
    if page["IsTruncated"]:
        page["Marker"] = str(end)
    return ActionResult(page)
