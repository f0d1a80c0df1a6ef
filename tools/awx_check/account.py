"""What AWX needs in an account, created in the embedded AWS: a role, and a user that may only assume it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import yaml
from local_aws import substitutions
from local_aws.state import HOME_VARIABLE, reserve

from tests.support.account import EmbeddedAccount

ROLE = "spot-train-awx"
USER = "awx"


@dataclass(frozen=True)
class AwxIdentity:
    """What the credential in AWX holds: the role that jobs assume, and the key of the user that may assume it.

    `environment` directs a job to the embedded AWS and contains no key.
    """

    role_arn: str
    access_key_id: str
    secret_access_key: str
    environment: dict[str, str]


def prepare(embedded: EmbeddedAccount) -> AwxIdentity:
    """Create the user and the role, with the policy of the account's project, in a running embedded AWS."""
    described = yaml.safe_load((embedded.project / "inventory/local/account.yml").read_text(encoding="utf-8"))
    account = described["substitutions"]["account_id"]
    role_arn, user_arn = f"arn:aws:iam::{account}:role/{ROLE}", f"arn:aws:iam::{account}:user/{USER}"
    iam = embedded.client("iam")
    iam.create_user(UserName=USER)
    may_assume = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role_arn}
    iam.put_user_policy(UserName=USER, PolicyName="assume-role", PolicyDocument=_document(may_assume))
    trust = {"Effect": "Allow", "Principal": {"AWS": user_arn}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=_document(trust))
    policy = json.loads((embedded.project / "files/iam/control_node.json").read_text(encoding="utf-8"))
    filled = substitutions.fill(policy, {**described["substitutions"], "control_node_arn": role_arn})
    iam.put_role_policy(RoleName=ROLE, PolicyName="control-node", PolicyDocument=json.dumps(filled))
    key = iam.create_access_key(UserName=USER)["AccessKey"]
    home = embedded.folder / "aws"
    environment = {
        "AWS_ENDPOINT_URL": reserve(home).endpoint,
        # Without the credential a job must not find the keys of the machine.
        "AWS_EC2_METADATA_DISABLED": "true",
        HOME_VARIABLE: str(home),
    }
    return AwxIdentity(role_arn, key["AccessKeyId"], key["SecretAccessKey"], environment)


def _document(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
