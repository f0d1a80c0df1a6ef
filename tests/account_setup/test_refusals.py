"""What set-up and teardown refuse, each with one line, before anything is made or removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from drills.account import EmbeddedAccount

NAMES = {"data_bucket": "some-data", "transport_bucket": "some-transport"}
VPC = {"vpc_id": "vpc-1"}
SUBNET = {"subnet_id": "subnet-1", "vpc_id": "vpc-1", "tags": {}}
GROUP = {"group_id": "sg-1", "vpc_id": "vpc-1"}
ME = {"arn": "arn:aws:iam::123456789012:user/me", "account": "123456789012"}

#: What is different from an account that can be set up: inputs, what was found, and what is said of it.
REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("inputs", {"data_bucket": ""}, {}, "data_bucket and transport_bucket are not both set"),
    ("inputs", {"transport_bucket": "some-data"}, {}, 'transport_bucket and data_bucket are both "some-data"'),
    ("inputs", {"project": "other"}, {}, "project=other: this is for the account of the project spot-train alone"),
    ("inputs", {}, {"local_aws_home": "home"}, "This is for a real account, and the embedded AWS makes its own"),
    ("inputs", {}, {}, ""),
    ("refuse", {"controllers": []}, {}, "aws_account_controllers is empty: name the users and roles that may take"),
    ("refuse", {"session_hours": "13"}, {}, "aws_account_session_hours=13 is not 1 to 12"),
    ("refuse", {}, {"vpcs": []}, "us-east-1 has no default VPC: name the one to launch in, -e aws_account_vpc=vpc-…"),
    ("refuse", {"vpc": "vpc-2"}, {"vpcs": []}, "There is no VPC vpc-2 in us-east-1"),
    ("refuse", {"subnets": ["subnet-1", "subnet-2"]}, {}, "subnet-2 (aws_account_subnets) is no subnet of the VPC"),
    ("refuse", {}, {"subnets": [{**SUBNET, "vpc_id": "vpc-2"}]}, "The VPC has no subnet"),
    ("refuse", {}, {"subnets": [{**SUBNET, "tags": {"project": "x"}}]}, "subnet-1 carries project=x and is another"),
    ("refuse", {}, {"groups": [{**GROUP, "vpc_id": "vpc-2"}]}, "vpc-2 has a security group spot-train already"),
    ("refuse", {}, {}, ""),
]


def test_an_account_that_cannot_work_is_refused_with_one_line(tmp_path: Path) -> None:
    keep = {"content": "{{ told | to_json }}", "dest": str(tmp_path / "told.json"), "mode": "0600"}
    tasks = [*(case(*each[:3]) for each in REFUSED), {"ansible.builtin.copy": keep}]
    path = tmp_path / "refusals.yml"
    path.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    EmbeddedAccount(tmp_path).command("ansible-playbook", "-i", "inventory/aws", str(path))
    told = json.loads((tmp_path / "told.json").read_text())
    assert len(told) == len(REFUSED)
    for message, (*_, says) in zip(told, REFUSED, strict=True):
        assert message.startswith(says) and "\n" not in message
        assert message.endswith(". Nothing was changed.") if says else message == ""


def case(stage: str, inputs: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Tasks that ask one stage of the role about an account, and keep what it says."""
    there = {"vpcs": [VPC], "subnets": [SUBNET], "groups": [GROUP], **found}
    wanted = {"project": "spot-train", "region": "us-east-1", "controllers": [ME["arn"]], **NAMES, **inputs}
    include = {
        "ansible.builtin.include_role": {"name": "aws_account", "tasks_from": stage},
        "vars": {
            **{f"aws_account_{name}": value for name, value in wanted.items()},
            **{name: value for name, value in found.items() if name == "local_aws_home"},
            "__aws_account_caller": ME,
            "__aws_account_vpcs": {"vpcs": there["vpcs"]},
            "__aws_account_region_subnets": {"subnets": there["subnets"]},
            "__aws_account_groups": {"security_groups": there["groups"]},
        },
    }
    begin = {"ansible.builtin.set_fact": {"refusal": ""}}
    note = {"ansible.builtin.set_fact": {"refusal": "{{ ansible_failed_result.msg }}"}}
    keep = {"ansible.builtin.set_fact": {"told": "{{ told | default([]) + [refusal] }}"}}
    return {"block": [begin, include], "rescue": [note], "always": [keep]}


@pytest.mark.parametrize(
    ("playbook", "variables", "says"),
    [
        ("aws_setup", {"aws_account_endpoints": "maybe"}, "aws_account_endpoints='maybe' is no boolean"),
        ("aws_setup", {}, "AWS knows nobody by these credentials: Failed to retrieve caller identity"),
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
