"""Policy evaluation, statement by statement."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_aws.policy import evaluate, trusts

ARN = "arn:aws:s3:::data/live/weights"


def statement(effect: str = "Allow", **elements: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "s3:GetObject", "Resource": "*", **elements}


def allowed(*statements: Any, permission: str = "s3:GetObject", resource: str | None = ARN, **context: Any) -> bool:
    policies = [json.dumps({"Statement": list(statements)})]
    keys = {name.replace("_", ":", 1): value for name, value in context.items()}
    return evaluate(policies, permission, [resource] if resource else [], keys)


def test_default_is_deny() -> None:
    assert not evaluate([], "s3:GetObject", [ARN], {})
    assert not allowed()


def test_explicit_deny_in_any_policy_wins() -> None:
    yes, no = (json.dumps({"Statement": statement(effect)}) for effect in ("Allow", "Deny"))
    assert evaluate([yes], "s3:GetObject", [ARN], {})
    assert not evaluate([yes, no], "s3:GetObject", [ARN], {})
    assert not evaluate([no, yes], "s3:GetObject", [ARN], {})


@pytest.mark.parametrize(
    ("action", "fits"),
    [("s3:GetObject", True), ("S3:getobject", True), ("s3:Get*", True), ("s3:?etObject", True), ("*", True),
     ("s3:PutObject", False), ("s3:Get", False), ("s3:[G]etObject", False), (["s3:Put*", "s3:Get*"], True)],
)  # fmt: skip
def test_actions_match_by_wildcard_ignoring_case(action: Any, fits: bool) -> None:
    assert allowed(statement(Action=action)) is fits


@pytest.mark.parametrize(
    ("resource", "fits"),
    [(ARN, True), ("arn:aws:s3:::data/*", True), ("arn:aws:s3:::*/weights", True), ("*", True),
     ("arn:aws:s3:::data", False), ("arn:aws:s3:::Data/*", False), ("arn:aws:s3:::data/liv?/*", True)],
)  # fmt: skip
def test_resources_match_by_wildcard_and_case(resource: str, fits: bool) -> None:
    assert allowed(statement(Resource=resource)) is fits


def test_every_resource_of_a_request_must_be_allowed() -> None:
    policies = [json.dumps({"Statement": statement(Resource="arn:aws:s3:::data/mine/*")})]
    mine, other = "arn:aws:s3:::data/mine/a", "arn:aws:s3:::data/other"
    assert evaluate(policies, "s3:GetObject", [mine], {})
    assert not evaluate(policies, "s3:GetObject", [mine, other], {})


def test_not_action_and_not_resource_exclude() -> None:
    everything_but = {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}
    assert allowed(everything_but)
    assert not allowed(everything_but, permission="iam:CreateUser")
    elsewhere = {"Effect": "Allow", "Action": "s3:*", "NotResource": "arn:aws:s3:::data/live/*"}
    assert not allowed(elsewhere)
    assert allowed(elsewhere, resource="arn:aws:s3:::data/scratch")


@pytest.mark.parametrize(
    ("operator", "wanted", "value", "fits"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", ["b", "a"], "a", True),
        ("StringEquals", "A", "a", False),
        ("StringEqualsIgnoreCase", "A", "a", True),
        ("StringLike", "a*", "abc", True),
        ("StringNotEquals", "a", "a", False),
        ("StringNotEquals", ["a", "b"], "c", True),
        ("StringNotLike", "a*", "abc", False),
        ("ArnLike", "arn:*:role/x", "arn:aws:iam::1:role/x", True),
        ("Bool", True, "true", True),
        ("Bool", "false", "true", False),
        ("NumericLessThanEquals", 10, "10", True),
        ("NumericGreaterThan", 10, "10", False),
        ("NumericNotEquals", 10, "11", True),
        ("IpAddress", "127.0.0.0/8", "127.0.0.1", True),
        ("NotIpAddress", "127.0.0.0/8", "127.0.0.1", False),
        ("ForAnyValue:StringEquals", ["a", "b"], "b", True),
        ("Null", "true", "a", False),
    ],
)
def test_conditions_compare(operator: str, wanted: Any, value: str, fits: bool) -> None:
    assert allowed(statement(Condition={operator: {"aws:Key": wanted}}), aws_Key=value) is fits


@pytest.mark.parametrize(
    ("operator", "fits"),
    [("StringEquals", False), ("StringEqualsIfExists", True), ("StringNotEquals", True), ("Null", False)],
)
def test_conditions_on_missing_keys(operator: str, fits: bool) -> None:
    wanted = "false" if operator == "Null" else "a"
    assert allowed(statement(Condition={operator: {"aws:ResourceTag/project": wanted}})) is fits


@pytest.mark.parametrize(
    ("operator", "values", "fits"),
    [
        ("ForAllValues:StringEquals", ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a", "c"], False),
        ("ForAllValues:StringEquals", None, True),
        ("ForAnyValue:StringEquals", ["a", "c"], True),
        ("ForAnyValue:StringEquals", ["c"], False),
        ("ForAnyValue:StringEquals", None, False),
        ("ForAllValues:StringNotEquals", ["c", "d"], True),
        ("ForAllValues:StringNotEquals", ["a", "c"], False),
        ("ForAnyValue:StringNotEquals", ["a", "c"], True),
        ("ForAnyValue:StringNotEquals", None, False),
        ("StringEquals", ["a", "c"], True),
        ("StringNotEquals", ["a", "c"], False),
    ],
)
def test_multivalued_keys_follow_the_operator(operator: str, values: Any, fits: bool) -> None:
    context = {} if values is None else {"aws_TagKeys": values}
    assert allowed(statement(Condition={operator: {"aws:TagKeys": ["a", "b"]}}), **context) is fits


def test_keys_ignore_case_and_all_conditions_must_hold() -> None:
    both = {"StringEquals": {"AWS:one": "1", "aws:Two": "2"}}
    assert allowed(statement(Condition=both), aws_One="1", aws_two="2")
    assert not allowed(statement(Condition=both), aws_One="1", aws_two="3")


def test_unknown_condition_operator_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown condition operator 'DateLessThan'"):
        allowed(statement(Condition={"DateLessThan": {"aws:CurrentTime": "2026"}}), aws_CurrentTime="2025")


@pytest.mark.parametrize(
    ("principal", "trusted"),
    [("*", True), ({"AWS": "*"}, True), ({"AWS": "123"}, True), ({"AWS": ["x", "arn:me"]}, True),
     ({"AWS": "arn:other"}, False), ({"Service": "ec2.amazonaws.com"}, False), (None, False)],
)  # fmt: skip
def test_trust_policy_matches_principals(principal: Any, trusted: bool) -> None:
    document = json.dumps({"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}})
    assert trusts(document, ["arn:me", "123"], "sts:AssumeRole", {}) is trusted
    assert not trusts(document, ["arn:me", "123"], "sts:TagSession", {})
