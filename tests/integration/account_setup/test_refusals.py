"""What set-up and teardown refuse, each with one line, before anything is made or removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.account import EmbeddedAccount

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
NOBODY = (
    "aws_account_principals is empty: name the users and roles that may take the control node's role, for example -e "
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
    "told": "role spot-train-expiry",
    "tags": {**OURS, **NOTE},
}


def data(**different: Any) -> dict[str, Any]:
    """What is found where the data bucket is there."""
    return {"buckets": {"some-data": {**BUCKET, **different}}}


def transport(**different: Any) -> dict[str, Any]:
    """What is found where the transport bucket is there, and holds something."""
    return {"buckets": {"some-transport": {**BUCKET, "empty": False, **different}}}


def role(**tags: str) -> dict[str, Any]:
    """What is found where one of the roles is there."""
    return {"marks": [{**ROLE, "tags": {**ROLE["tags"], **tags}}]}


#: What is different from an account that can be set up: inputs, what was found, and what is said of it.
REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    (INPUTS, {"data_bucket": ""}, {}, "data_bucket and transport_bucket are not both set"),
    (INPUTS, {"transport_bucket": "some-data"}, {}, 'transport_bucket and data_bucket are both "some-data"'),
    (
        "check_inputs",
        {"project": "other"},
        {},
        "project=other: this is for the account of the project spot-train alone",
    ),
    (INPUTS, {}, {"local_aws_home": "home"}, "This is for a real account, and the embedded AWS makes its own"),
    (INPUTS, {}, {}, ""),
    (
        "preconditions",
        {},
        transport(),
        "transport_bucket=some-transport holds something and was not set up for transport",
    ),
    # With the names of an account that is set up the other way round, the bucket of the data has the tag.
    (
        "preconditions",
        {},
        transport(tags=OURS),
        "transport_bucket=some-transport holds something and was not set up for",
    ),
    (
        "preconditions",
        {},
        transport(rules=[TRANSPORT_RULE]),
        "transport_bucket=some-transport holds something and was not",
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
        "data_bucket=some-data holds something under runs/ that is not",
    ),
    (SETUP, {}, data(empty=False, holds=["runs/"], tags=OURS), ""),
    (SETUP, {}, data(empty=False), ""),
    (
        "preconditions",
        {},
        data(region="eu-west-1"),
        "Bucket some-data is in eu-west-1, and aws_region is us-east-1: give",
    ),
    (
        "preconditions",
        {},
        data(key="arn:aws:kms:key/k"),
        "Bucket some-data is encrypted with a key of your own (arn:aws:kms:",
    ),
    (
        "preconditions",
        {},
        role(region="eu-west-1"),
        "The project's roles are for region=eu-west-1, as their tags say, and an",
    ),
    (
        "preconditions",
        {},
        role(data_bucket="a", transport_bucket="b"),
        "The project's roles are for data_bucket=a and transp",
    ),
    (SETUP, {}, role(), ""),
    (
        "preconditions",
        {},
        role(project="x"),
        "There is already the role spot-train-expiry, without the tag project=spot-trai",
    ),
    (
        "preconditions",
        {},
        {"groups": [{**GROUP, "tags": {}}]},
        "There is already the security group spot-train, without the",
    ),
    (SETUP, {}, {"groups": [GROUP]}, ""),
    (
        "preconditions",
        {"principals": []},
        {},
        "aws_account_principals is empty: name the users and roles that may take",
    ),
    (SETUP, {"principals": []}, {"caller": {**ME, "arn": SESSION}}, f"{NOBODY}{ACCOUNT}:role/owner\"]}}'"),
    (
        "preconditions",
        {"principals": []},
        {"caller": {**ME, "arn": f"{ACCOUNT}:root"}},
        f"{NOBODY}{ACCOUNT}:user/NAME\"]}}'",
    ),
    (
        "preconditions",
        {"principals": ["*"]},
        {},
        "aws_account_principals: * is no ARN of one user or one role, such as",
    ),
    (
        "preconditions",
        {"principals": [ME["arn"], f"{ACCOUNT}:root"]},
        {},
        f"aws_account_principals: {ACCOUNT}:root is no",
    ),
    (
        "preconditions",
        {"principals": [f"{ACCOUNT}:role/*"]},
        {},
        f"aws_account_principals: {ACCOUNT}:role/* is no ARN of",
    ),
    (
        "preconditions",
        {"principals": [SESSION]},
        {},
        f"aws_account_principals: {SESSION} is no ARN of one user or one role",
    ),
    (SETUP, {"principals": [f"{ACCOUNT}:role/a/path/r"]}, {}, ""),
    (SETUP, {"session_hours": "13"}, {}, "aws_account_session_hours=13 is not 1 to 12"),
    (SETUP, {"runs_days": "0"}, {}, "aws_account_runs_days=0 is not 1 to 3650"),
    (
        "preconditions",
        {"endpoints": True},
        {"vpcs": [{**VPC, "enable_dns_hostnames": False}]},
        "vpc-1 has no DNS support or",
    ),
    (SETUP, {"endpoints": True}, {}, ""),
    (
        "preconditions",
        {},
        {"vpcs": []},
        "us-east-1 has no default VPC: name the one to launch in, -e aws_account_vpc=vpc-…",
    ),
    (SETUP, {"vpc": "vpc-2"}, {"vpcs": []}, "There is no VPC vpc-2 in us-east-1"),
    (
        "preconditions",
        {"subnets": ["subnet-1", "subnet-2"]},
        {},
        "subnet-2 (aws_account_subnets) is no subnet of the VPC",
    ),
    (SETUP, {}, {"subnets": [{**SUBNET, "vpc_id": "vpc-2"}]}, "The VPC has no subnet"),
    (
        "preconditions",
        {},
        {"subnets": [{**SUBNET, "tags": {"project": "x"}}]},
        "subnet-1 carries project=x and is another",
    ),
    (SETUP, {}, {"groups": [{**GROUP, "vpc_id": "vpc-2"}]}, "vpc-2 has a security group spot-train already"),
    (SETUP, {}, {}, ""),
    (
        TEARDOWN,
        {},
        role(region="eu-west-1"),
        "The project's roles are for region=eu-west-1, as their tags sa",
    ),
    (
        TEARDOWN,
        {},
        {"living": [INSTANCE]},
        "1 of the project's instances live (i-1 of run r-1): wait for the",
    ),
    (
        TEARDOWN,
        {},
        {"left": ["volume vol-1", "schedule s"]},
        "Runs have left volume vol-1, schedule s: playb",
    ),
    (
        TEARDOWN,
        {},
        data(empty=False, tags=MADE),
        "The data bucket some-data is not empty. To delete it with",
    ),
    (TEARDOWN, {"delete_data": "some-data"}, data(empty=False, tags=MADE), ""),
    # It was there before set-up, and stays.
    (TEARDOWN, {}, data(empty=False, tags=OURS), ""),
    # The two names exchanged: nobody asks for what lies in a bucket of transport.
    (
        TEARDOWN,
        {},
        transport(tags=MADE),
        "transport_bucket=some-transport holds something and was not set up",
    ),
    (TEARDOWN, {}, transport(tags=MADE, rules=[TRANSPORT_RULE]), ""),
    (TEARDOWN, {}, role(), ""),
]


def test_an_account_that_cannot_work_is_refused_with_one_line(tmp_path: Path) -> None:
    keep = {"content": "{{ told | to_json }}", "dest": str(tmp_path / "told.json"), "mode": "0600"}
    tasks = [*(case(*each[:3]) for each in REFUSED), {"ansible.builtin.copy": keep}]
    path = tmp_path / "refusals.yml"
    path.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    EmbeddedAccount(tmp_path).command("ansible-playbook", "-i", "inventory/aws", str(path))
    told = json.loads((tmp_path / "told.json").read_text())
    assert len(told) == len(REFUSED)
    for message, (stage, _, _, says) in zip(told, REFUSED, strict=True):
        done = "removed" if stage == TEARDOWN else "changed"
        assert message.startswith(says) and "\n" not in message
        assert message.endswith(f". Nothing was {done}.") if says else message == "", message


def case(stage: str, inputs: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Tasks that ask one stage of the role about an account, and keep what it says."""
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
    keep = {"ansible.builtin.set_fact": {"told": "{{ told | default([]) + [refusal] }}"}}
    return {"block": [begin, include], "rescue": [note], "always": [keep]}


@pytest.mark.parametrize(
    ("playbook", "variables", "says"),
    [
        ("aws_setup", {"aws_account_endpoints": "maybe"}, "aws_account_endpoints: expected true or false, got 'maybe'"),
        ("aws_setup", {}, "AWS rejects these credentials: Failed to retrieve caller identity"),
        ("aws_teardown", {"aws_account_delete": "x"}, "unknown input 'aws_account_delete' (did you mean"),
    ],
)
def test_what_nobody_knows_is_refused_with_one_line(
    playbook: str, variables: dict[str, Any], says: str, tmp_path: Path
) -> None:
    nobody = {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
              "AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip
    answer = EmbeddedAccount(tmp_path, environment=nobody).command(
        "ansible-playbook", "-i", "inventory/aws", f"playbooks/{playbook}.yml",
        "-e", json.dumps({**NAMES, **variables}), check=False,
    )  # fmt: skip
    assert answer.returncode != 0
    errors = [line for line in (answer.stdout + answer.stderr).splitlines() if line.startswith("[ERROR]")]
    assert errors and says in errors[-1], answer.stdout + answer.stderr
    assert "changed=0" in answer.stdout
