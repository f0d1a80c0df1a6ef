"""Set-up and teardown refuse an unusable account with one line, before they change anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.account import EmbeddedAccount

pytestmark = pytest.mark.slow

INPUTS, SETUP, TEARDOWN = "check_inputs", "preconditions", "teardown_preconditions"
NAMES = {"data_bucket": "some-data", "transport_bucket": "some-transport"}
VPC = {"vpc_id": "vpc-1", "enable_dns_support": True, "enable_dns_hostnames": True}
SUBNET = {"subnet_id": "subnet-1", "vpc_id": "vpc-1", "tags": {}}
OURS = {"project": "spot-train"}
MADE = {**OURS, "made_by": "aws_setup"}
INSTANCE = {"instance_id": "i-1", "tags": {"run_id": "r-1"}}
GROUP = {"group_id": "sg-1", "group_name": "spot-train", "vpc_id": "vpc-1", "tags": OURS}
ACCOUNT = "arn:aws:iam::123456789012"
SESSION = "arn:aws:sts::123456789012:assumed-role/owner/me"
ME = {"arn": f"{ACCOUNT}:user/me", "account": "123456789012"}
NO_PRINCIPALS = (
    "aws_account_principals is empty: list the users and roles that may assume the control node's role, for example -e "
    '\'{"aws_account_principals": ["'
)
BUCKET: dict[str, Any] = {
    "exists": True, "region": "us-east-1", "tags": {}, "encryption": "AES256", "key": None,
    "public_access_blocked": True, "versioning": None, "rules": [], "empty": True, "holds": [],
}  # fmt: skip
TRANSPORT_RULE = {"ID": "spot-train-transport", "Status": "Enabled"}
NOTE = {"region": "us-east-1", "data_bucket": "some-data", "transport_bucket": "some-transport"}
ROLE: dict[str, Any] = {
    "kind": "role",
    "name": "spot-train-expiry",
    "label": "role spot-train-expiry",
    "tags": {**OURS, **NOTE},
}


def data(**different: Any) -> dict[str, Any]:
    """What the role finds if the data bucket exists."""
    return {"buckets": {"some-data": {**BUCKET, **different}}}


def transport(**different: Any) -> dict[str, Any]:
    """What the role finds if the transport bucket exists and is not empty."""
    return {"buckets": {"some-transport": {**BUCKET, "empty": False, **different}}}


def role(**tags: str) -> dict[str, Any]:
    """What the role finds if one of the IAM roles exists."""
    return {"marks": [{**ROLE, "tags": {**ROLE["tags"], **tags}}]}


#: Stage, differences from a usable account (inputs, what the role finds), and the start of the message.
REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    (INPUTS, {"data_bucket": ""}, {}, "data_bucket and transport_bucket must both be set"),
    (INPUTS, {"transport_bucket": "some-data"}, {}, 'transport_bucket and data_bucket are both "some-data"'),
    (
        "check_inputs",
        {"project": "other"},
        {},
        'project: expected spot-train, got "other"',
    ),
    (INPUTS, {}, {"local_aws_home": "home"}, "This playbook is for a real account"),
    (INPUTS, {}, {}, ""),
    (
        "preconditions",
        {},
        transport(),
        "transport_bucket=some-transport is not empty and was not set up for transport",
    ),
    # With the two names swapped, the data bucket has the tag.
    (
        "preconditions",
        {},
        transport(tags=OURS),
        "transport_bucket=some-transport is not empty and was not set up for",
    ),
    (
        "preconditions",
        {},
        transport(rules=[TRANSPORT_RULE]),
        "transport_bucket=some-transport is not empty and was not",
    ),
    (
        "preconditions",
        {},
        transport(tags=OURS, rules=[{**TRANSPORT_RULE, "Status": "Disabled"}]),
        "transport_bucket=some-tr",
    ),
    (SETUP, {}, transport(tags=OURS, rules=[TRANSPORT_RULE]), ""),
    (SETUP, {}, transport(empty=True), ""),
    (
        "preconditions",
        {},
        data(empty=False, holds=["runs/"]),
        "data_bucket=some-data has objects under runs/ that are not",
    ),
    (SETUP, {}, data(empty=False, holds=["runs/"], tags=OURS), ""),
    (SETUP, {}, data(empty=False), ""),
    (
        "preconditions",
        {},
        data(region="eu-west-1"),
        "Bucket some-data is in eu-west-1, but aws_region is us-east-1: choose",
    ),
    (
        "preconditions",
        {},
        data(key="arn:aws:kms:key/k"),
        "Bucket some-data is encrypted with a customer managed key (arn:aws:kms:",
    ),
    (
        "preconditions",
        {},
        role(region="eu-west-1"),
        "The project's roles are tagged for region=eu-west-1, and an",
    ),
    (
        "preconditions",
        {},
        role(data_bucket="a", transport_bucket="b"),
        "The project's roles are tagged for data_bucket=a and transp",
    ),
    (SETUP, {}, role(), ""),
    (
        "preconditions",
        {},
        role(project="x"),
        "The role spot-train-expiry already exists without the tag project=spot-trai",
    ),
    (
        "preconditions",
        {},
        {"groups": [{**GROUP, "tags": {}}]},
        "The security group spot-train already exists without the",
    ),
    (SETUP, {}, {"groups": [GROUP]}, ""),
    (
        "preconditions",
        {"principals": []},
        {},
        "aws_account_principals is empty: list the users and roles that may assume",
    ),
    (SETUP, {"principals": []}, {"caller": {**ME, "arn": SESSION}}, f"{NO_PRINCIPALS}{ACCOUNT}:role/owner\"]}}'"),
    (
        "preconditions",
        {"principals": []},
        {"caller": {**ME, "arn": f"{ACCOUNT}:root"}},
        f"{NO_PRINCIPALS}{ACCOUNT}:user/NAME\"]}}'",
    ),
    (
        "preconditions",
        {"principals": ["*"]},
        {},
        f"aws_account_principals: expected ARNs of one user or role each ({ME['arn']}), got *; for a session",
    ),
    (
        "preconditions",
        {"principals": [ME["arn"], f"{ACCOUNT}:root"]},
        {},
        f"aws_account_principals: expected ARNs of one user or role each ({ME['arn']}), got {ACCOUNT}:root;",
    ),
    (
        "preconditions",
        {"principals": [f"{ACCOUNT}:role/*"]},
        {},
        f"aws_account_principals: expected ARNs of one user or role each ({ME['arn']}), got {ACCOUNT}:role/*;",
    ),
    (
        "preconditions",
        {"principals": [SESSION]},
        {},
        f"aws_account_principals: expected ARNs of one user or role each ({ME['arn']}), got {SESSION};",
    ),
    (SETUP, {"principals": [f"{ACCOUNT}:role/a/path/r"]}, {}, ""),
    (SETUP, {"session_hours": 13}, {}, "aws_account_session_hours: expected 1 to 12, got 13"),
    (SETUP, {"runs_days": 0}, {}, "aws_account_runs_days: expected 1 to 3650, got 0"),
    (
        "preconditions",
        {"endpoints": True},
        {"vpcs": [{**VPC, "enable_dns_hostnames": False}]},
        "vpc-1 does not have both DNS support and DNS host names",
    ),
    (SETUP, {"endpoints": True}, {}, ""),
    (
        "preconditions",
        {},
        {"vpcs": []},
        "us-east-1 has no default VPC: choose the one to launch in, -e aws_account_vpc=vpc-…",
    ),
    (SETUP, {"vpc": "vpc-2"}, {"vpcs": []}, "VPC vpc-2 does not exist in us-east-1"),
    (
        "preconditions",
        {"subnets": ["subnet-1", "subnet-2"]},
        {},
        "aws_account_subnets: expected subnets of the VPC vpc-1, got subnet-2",
    ),
    (SETUP, {}, {"subnets": [{**SUBNET, "vpc_id": "vpc-2"}]}, "The VPC has no subnet"),
    (
        "preconditions",
        {},
        {"subnets": [{**SUBNET, "tags": {"project": "x"}}]},
        "subnet-1 has the tag project=x of another project",
    ),
    (SETUP, {}, {"groups": [{**GROUP, "vpc_id": "vpc-2"}]}, "vpc-2 already has a security group spot-train"),
    (SETUP, {}, {}, ""),
    (
        TEARDOWN,
        {},
        role(region="eu-west-1"),
        "The project's roles are tagged for region=eu-west-1: repeat",
    ),
    (
        TEARDOWN,
        {},
        {"living": [INSTANCE]},
        "The project still has 1 instances (i-1 of run r-1): wait for the",
    ),
    (
        TEARDOWN,
        {},
        {"left": ["volume vol-1", "schedule s"]},
        "Runs left over volume vol-1, schedule s: remove",
    ),
    (
        TEARDOWN,
        {},
        data(empty=False, tags=MADE),
        "The data bucket some-data is not empty. To delete it with",
    ),
    (TEARDOWN, {"delete_data": "some-data"}, data(empty=False, tags=MADE), ""),
    # It existed before the set-up, and stays.
    (TEARDOWN, {}, data(empty=False, tags=OURS), ""),
    # With the two names swapped: no confirmation protects objects in a transport bucket.
    (
        TEARDOWN,
        {},
        transport(tags=MADE),
        "transport_bucket=some-transport is not empty and was not set up",
    ),
    (TEARDOWN, {}, transport(tags=MADE, rules=[TRANSPORT_RULE]), ""),
    (TEARDOWN, {}, role(), ""),
]


def test_unusable_account_is_refused_with_one_line(tmp_path: Path) -> None:
    keep = {"content": "{{ messages | to_json }}", "dest": str(tmp_path / "messages.json"), "mode": "0600"}
    tasks = [*(case(*each[:3]) for each in REFUSED), {"ansible.builtin.copy": keep}]
    path = tmp_path / "refusals.yml"
    path.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    EmbeddedAccount(tmp_path).command("ansible-playbook", "-i", "inventory/aws", str(path))
    messages = json.loads((tmp_path / "messages.json").read_text())
    assert len(messages) == len(REFUSED)
    for message, (stage, _, _, says) in zip(messages, REFUSED, strict=True):
        done = "deleted" if stage == TEARDOWN else "changed"
        assert message.startswith(says) and "\n" not in message
        assert message.endswith(f". Nothing was {done}.") if says else message == "", message


def case(stage: str, inputs: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Tasks that run one stage of the role on an account, and keep its message."""
    there = {"vpcs": [VPC], "subnets": [SUBNET], "groups": [GROUP], "marks": [], "caller": ME, **found}
    buckets = {**{name: {"exists": False} for name in NAMES.values()}, **found.get("buckets", {})}
    wanted = {"project": "spot-train", "region": "us-east-1", "principals": [ME["arn"]], **NAMES, **inputs}
    include = {
        "ansible.builtin.include_role": {"name": "spot_train.core.aws_account", "tasks_from": stage},
        "vars": {
            **{f"aws_account_{name}": value for name, value in wanted.items()},
            **{name: value for name, value in found.items() if name == "local_aws_home"},
            "__aws_account_caller": there["caller"],
            "__aws_account_buckets_there": {"buckets": buckets},
            "__aws_account_marks": {"marks": there["marks"]},
            "__aws_account_vpcs": {"vpcs": there["vpcs"]},
            "__aws_account_region_subnets": {"subnets": there["subnets"]},
            "__aws_account_groups": {"security_groups": there["groups"]},
            "__aws_account_living": {"instances": found.get("living", [])},
            "__aws_account_runs": {"left": found.get("left", [])},
        },
    }
    begin = {"ansible.builtin.set_fact": {"refusal": ""}}
    note = {"ansible.builtin.set_fact": {"refusal": "{{ ansible_failed_result.msg }}"}}
    keep = {"ansible.builtin.set_fact": {"messages": "{{ messages | default([]) + [refusal] }}"}}
    return {"block": [begin, include], "rescue": [note], "always": [keep]}


@pytest.mark.parametrize(
    ("playbook", "variables", "says"),
    [
        ("aws_setup", {"aws_account_endpoints": "maybe"}, "aws_account_endpoints: expected true or false, got 'maybe'"),
        ("aws_setup", {}, "AWS rejects these credentials: Failed to retrieve caller identity"),
        ("aws_teardown", {"aws_account_delete": "x"}, "unknown input 'aws_account_delete' (did you mean"),
    ],
)
def test_wrong_inputs_and_credentials_are_refused_with_one_line(
    playbook: str, variables: dict[str, Any], says: str, tmp_path: Path
) -> None:
    no_credentials = {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
                      "AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip
    answer = EmbeddedAccount(tmp_path, environment=no_credentials).command(
        "ansible-playbook", "-i", "inventory/aws", f"playbooks/{playbook}.yml",
        "-e", json.dumps({**NAMES, **variables}), check=False,
    )  # fmt: skip
    assert answer.returncode != 0
    errors = [line for line in (answer.stdout + answer.stderr).splitlines() if line.startswith("[ERROR]")]
    assert errors and says in errors[-1], answer.stdout + answer.stderr
    assert "changed=0" in answer.stdout
