"""The policy simulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

ACCOUNT = "123456789012"
INSTANCE = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-0123456789abcdef0"
User = Callable[..., Callable[[str], Any]]


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str | list[str], resource: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.fixture
def simulate(server: Any) -> Callable[..., list[dict[str, Any]]]:
    """Simulates one policy; returns ``EvaluationResults``."""

    def ask(policy: str, actions: list[str], **options: Any) -> list[dict[str, Any]]:
        answer = server.client("iam").simulate_custom_policy(PolicyInputList=[policy], ActionNames=actions, **options)
        assert answer["IsTruncated"] is False
        return list(answer["EvaluationResults"])

    return ask


def test_action_is_allowed_denied_or_not_mentioned(simulate: Any) -> None:
    policy = document(allow("s3:*"), {"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*"})
    found = simulate(policy, ["s3:GetObject", "s3:PutObject", "ec2:RunInstances"])
    assert [each["EvalDecision"] for each in found] == ["allowed", "explicitDeny", "implicitDeny"]
    assert [each["EvalActionName"] for each in found] == ["s3:GetObject", "s3:PutObject", "ec2:RunInstances"]
    assert {each["EvalResourceName"] for each in found} == {"*"}


def test_overall_decision_is_the_most_restrictive(simulate: Any) -> None:
    mine, other = "arn:aws:s3:::mine/key", "arn:aws:s3:::other/key"
    policy = document(allow("s3:GetObject", "arn:aws:s3:::mine/*"))
    (found,) = simulate(policy, ["s3:GetObject"], ResourceArns=[mine, other])
    assert found["EvalDecision"] == "implicitDeny"
    decisions = {each["EvalResourceName"]: each["EvalResourceDecision"] for each in found["ResourceSpecificResults"]}
    assert decisions == {mine: "allowed", other: "implicitDeny"}


def test_simulation_evaluates_context_and_names_missing_keys(simulate: Any) -> None:
    condition = {"StringEquals": {"aws:ResourceTag/project": "mine"}}
    policy = document(allow("ec2:TerminateInstances", Condition=condition))

    def decision(*values: str) -> tuple[str, list[str]]:
        entries = [
            {"ContextKeyName": "aws:ResourceTag/project", "ContextKeyValues": [each], "ContextKeyType": "string"}
            for each in values
        ]
        (found,) = simulate(policy, ["ec2:TerminateInstances"], ResourceArns=[INSTANCE], ContextEntries=entries)
        return found["EvalDecision"], found["MissingContextValues"]

    assert decision("mine") == ("allowed", [])
    assert decision("other") == ("implicitDeny", [])
    assert decision() == ("implicitDeny", ["aws:ResourceTag/project"])


def test_principal_simulation_uses_all_its_policies(server: Any, iam_user: User) -> None:
    client = iam_user(allow("s3:GetObject"))
    arn = client("sts").get_caller_identity()["Arn"]
    iam = server.client("iam")

    def decisions(**options: Any) -> list[str]:
        answer = iam.simulate_principal_policy(
            PolicySourceArn=arn, ActionNames=["s3:GetObject", "ec2:RunInstances"], **options
        )
        return [each["EvalDecision"] for each in answer["EvaluationResults"]]

    assert decisions() == ["allowed", "implicitDeny"]
    assert decisions(PolicyInputList=[document(allow("ec2:RunInstances"))]) == ["allowed", "allowed"]


def test_pages_are_followed_to_their_end(server: Any) -> None:
    pages = server.client("iam").get_paginator("simulate_custom_policy")
    actions = [f"s3:Get{number}" for number in range(5)]
    answers = list(
        pages.paginate(PolicyInputList=[document(allow("s3:*"))], ActionNames=actions, PaginationConfig={"PageSize": 2})
    )
    assert [len(each["EvaluationResults"]) for each in answers] == [2, 2, 1]
    assert [each["EvalActionName"] for page in answers for each in page["EvaluationResults"]] == actions


def test_simulation_is_limited_to_allowed_principal(iam_user: User) -> None:
    mine = f"arn:aws:iam::{ACCOUNT}:role/mine"
    iam = iam_user(allow("iam:SimulatePrincipalPolicy", mine))("iam")
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.simulate_principal_policy(PolicySourceArn=mine, ActionNames=["s3:GetObject"])
    with pytest.raises(ClientError, match="AccessDenied"):
        iam.simulate_principal_policy(PolicySourceArn=f"{mine}-not", ActionNames=["s3:GetObject"])


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        (f"arn:aws:iam::{ACCOUNT}:role/none", "NoSuchEntity"),
        (f"arn:aws:iam::{ACCOUNT}:user/none", "NoSuchEntity"),
        (f"arn:aws:iam::{ACCOUNT}:group/none", "NoSuchEntity"),
        (f"arn:aws:iam::{ACCOUNT}:root", "InvalidInput"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/mine/session", "InvalidInput"),
    ],
)
def test_simulation_of_unknown_principal_is_an_error(server: Any, arn: str, code: str) -> None:
    with pytest.raises(ClientError, match=code):
        server.client("iam").simulate_principal_policy(PolicySourceArn=arn, ActionNames=["s3:GetObject"])


def test_invalid_policy_json_is_an_error(simulate: Any) -> None:
    with pytest.raises(ClientError, match="InvalidInput"):
        simulate("{", ["s3:GetObject"])
