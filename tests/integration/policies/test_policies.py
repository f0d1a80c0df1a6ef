"""The policies of files/iam compared with AWS's reference and checked by parliament."""

from __future__ import annotations

import importlib
import itertools
import json
import warnings
from typing import Any

import pytest
from local_aws import policy, resources
from local_aws.resources import EC2_DESCRIBE_WITH_RESOURCES, WITHOUT_RESOURCE
from moto.iam.aws_managed_policies import aws_managed_policies_data

from tests.integration.policies import reference
from tools.policies.statements import POLICIES, Statement, filled, statements

ALLOWED = [each for each in statements() if not each.denies]
# IAM User Guide, "IAM and AWS STS quotas": characters without white space. control_node is a managed policy of a user,
# the roles' policies are inline.
LONGEST = {"control_node": 6144, "control_node_notifications": 2048}
LONGEST_IN_A_ROLE = 10240
# Accepted findings of parliament: policy, issue, action.
ACCEPTED = {
    # It expects every resource type of a launch in one statement. They are in several statements because their
    # conditions differ; test_statements_together_allow_a_launch checks that none is missing.
    ("control_node", "RESOURCE_MISMATCH", "ec2:RunInstances"),
    # It expects an account in the ARN of a runbook, but AWS's own runbooks have none.
    ("expiry", "RESOURCE_MISMATCH", "ssm:StartAutomationExecution"),
}


@pytest.mark.parametrize("statement", ALLOWED, ids=lambda each: each.name)
def test_resource_star_only_for_actions_without_resource_types(statement: Statement) -> None:
    for action in statement.actions():
        assert "*" not in action
        types = reference.action(action).types
        assert ("*" in statement.resources()) == (not types), f"{action}: {', '.join(types) or 'no resource types'}"


@pytest.mark.parametrize("statement", ALLOWED, ids=lambda each: each.name)
def test_condition_keys_are_valid_for_the_action(statement: Statement) -> None:
    keys = [key for block in statement.content.get("Condition", {}).values() for key in block]
    for action, key in itertools.product(statement.actions(), keys):
        assert reference.action(action).knows(key), f"{action} does not know {key}"


def test_statement_names_are_unique() -> None:
    assert len({(each.policy, each.sid) for each in statements()}) == len(statements())


@pytest.mark.parametrize("policy", POLICIES)
def test_policy_is_within_the_size_quota(policy: str) -> None:
    text = "".join(json.dumps(filled(policy)).split())
    assert len(text) <= LONGEST.get(policy, LONGEST_IN_A_ROLE)
    assert "${" not in text


@pytest.mark.parametrize("policy", POLICIES)
def test_parliament_finds_only_accepted_issues(policy: str) -> None:
    found = {(policy, issue, action) for issue, action in lint(filled(policy))}
    assert found == {each for each in ACCEPTED if each[0] == policy}


def test_parliament_finds_an_unknown_action() -> None:
    statement = {"Effect": "Allow", "Action": "ec2:TerminateInstance", "Resource": "*"}
    assert lint({"Version": "2012-10-17", "Statement": [statement]}) == {("UNKNOWN_ACTION", "")}


def lint(policy: dict[str, Any]) -> set[tuple[str, str]]:
    """Issues that parliament finds, each with its action if it names one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's warnings about parliament's code
        parliament: Any = importlib.import_module("parliament")
    found: set[tuple[str, str]] = set()
    for finding in parliament.analyze_policy_string(json.dumps(policy)).findings:
        details = finding.detail if isinstance(finding.detail, list) else [finding.detail]
        found |= {(finding.issue, str(each["action"]) if isinstance(each, dict) else "") for each in details}
    return found


def test_preflight_role_cannot_write_even_with_more_policies() -> None:
    managed: dict[str, Any] = json.loads(aws_managed_policies_data)["AmazonSSMManagedInstanceCore"]["Document"]
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    agent = {action for each in managed["Statement"] for action in each["Action"]}
    policies = [json.dumps(each) for each in (filled("preflight_instance"), everything)]
    decided = {action: policy.decide(policies, action, "*", {}) for action in (*agent, "kms:Decrypt", *CHANGES)}
    assert {action for action, decision in decided.items() if decision != policy.ALLOWED} == CHANGES


CHANGES = {
    *("kms:Encrypt", "kms:GenerateDataKey", "s3:PutObject", "s3:DeleteObject", "ec2:RunInstances"),
    *("ssm:PutParameter", "ssm:SendCommand", "ssm:StartAutomationExecution", "ssm:StartSession"),
}


def test_statements_together_allow_a_launch() -> None:
    launches = [each for each in statements() if "ec2:RunInstances" in each.actions()]
    kinds = {resource.rpartition(":")[2].removesuffix("/*") for each in launches for resource in each.resources()}
    assert kinds >= reference.action("ec2:RunInstances").required


def test_embedded_aws_knows_actions_without_resource_types() -> None:
    describes = {name for name in reference.actions() if name.startswith("ec2:describe")}
    known = {f"ec2:{name}".lower() for name in EC2_DESCRIBE_WITH_RESOURCES}
    assert {name for name in describes if reference.actions()[name].types} == known
    for permission in WITHOUT_RESOURCE:
        assert not reference.action(permission).types, permission
    assert resources.has_none("ec2:DescribeInstances") and not resources.has_none("ec2:DescribeInstanceAttribute")
