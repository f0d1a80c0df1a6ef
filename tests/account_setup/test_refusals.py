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

#: What is different from an account that can be set up: inputs, what was found, and what is said of it.
REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"controllers": []}, {}, "aws_account_controllers is empty: name the users and roles that may take"),
    ({"session_hours": "13"}, {}, "aws_account_session_hours=13 is not 1 to 12"),
    ({}, {"vpcs": []}, "us-east-1 has no default VPC: name the one to launch in, -e aws_account_vpc=vpc-…"),
    ({"vpc": "vpc-2"}, {"vpcs": []}, "There is no VPC vpc-2 in us-east-1"),
    ({"subnets": ["subnet-1", "subnet-2"]}, {}, "subnet-2 (aws_account_subnets) is no subnet of the VPC vpc-1"),
    ({}, {"subnets": [{**SUBNET, "vpc_id": "vpc-2"}]}, "The VPC has no subnet"),
    ({}, {"subnets": [{**SUBNET, "tags": {"project": "x"}}]}, "subnet-1 carries project=x and is another project's"),
    ({}, {"groups": [{**GROUP, "vpc_id": "vpc-2"}]}, "vpc-2 has a security group spot-train already"),
    ({}, {}, ""),
]  # fmt: skip


def test_an_account_that_cannot_work_is_refused_with_one_line(tmp_path: Path) -> None:
    account = EmbeddedAccount(tmp_path)
    tasks = [case(*each[:2]) for each in REFUSED]
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]
    path = tmp_path / "refusals.yml"
    path.write_text(yaml.safe_dump(play))
    answer = account.command("ansible-playbook", "-i", "inventory/aws", str(path), check=False)
    told = [json.loads(line.partition("told ")[2]) for line in answer.stdout.splitlines() if "told " in line]
    assert len(told) == len(REFUSED), answer.stdout + answer.stderr
    for message, (_, _, says) in zip(told, REFUSED, strict=True):
        assert message.startswith(says) and "\n" not in message
        assert message == "" or message.endswith(". Nothing was changed.")


def case(inputs: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """A task that asks the role about an account, and prints what it says."""
    there = {"vpcs": [VPC], "subnets": [SUBNET], "groups": [GROUP], **found}
    wanted = {"controllers": ["arn:aws:iam::123456789012:user/me"], **inputs}
    include = {
        "ansible.builtin.include_role": {"name": "aws_account", "tasks_from": "refuse"},
        "vars": {
            **{f"aws_account_{name}": value for name, value in wanted.items()},
            "aws_account_project": "spot-train",
            "aws_account_region": "us-east-1",
            "__aws_account_caller": {"arn": "arn:aws:iam::123456789012:user/me", "account": "123456789012"},
            "__aws_account_vpcs": {"vpcs": there["vpcs"]},
            "__aws_account_region_subnets": {"subnets": there["subnets"]},
            "__aws_account_groups": {"security_groups": there["groups"]},
        },
    }
    said = {"ansible.builtin.debug": {"msg": "told {{ (refused | default({'msg': ''})).msg | to_json }}"}}
    note = {"ansible.builtin.set_fact": {"refused": "{{ ansible_failed_result }}"}}
    forget = {"ansible.builtin.set_fact": {"refused": {"msg": ""}}}
    return {"block": [forget, include], "rescue": [note], "always": [said]}


@pytest.mark.parametrize(
    ("playbook", "arguments", "variables", "says"),
    [
        ("aws_setup", [], {"aws_account_vcp": "x"}, "unknown input 'aws_account_vcp' (did you mean 'aws_account_vpc')"),
        ("aws_setup", [], {"aws_account_endpoints": "maybe"}, "aws_account_endpoints='maybe' is no boolean"),
        ("aws_setup", [], {"transport_bucket": "some-data"}, 'transport_bucket and data_bucket are both "some-data"'),
        ("aws_setup", [], {"project": "other"}, "project=other, and the policies of files/iam are for the project"),
        ("aws_setup", ["-i", "inventory/local"], {}, "This is for a real account, and the embedded AWS makes its own"),
        ("aws_setup", [], {}, "AWS knows nobody by these credentials: Failed to retrieve caller identity"),
        ("aws_teardown", [], {"aws_account_delete": "x"}, "unknown input 'aws_account_delete' (did you mean"),
        ("aws_teardown", [], {"data_bucket": ""}, "data_bucket and transport_bucket are not both set"),
        ("aws_teardown", [], {}, "AWS knows nobody by these credentials"),
    ],
)  # fmt: skip
def test_what_names_no_account_is_refused_with_one_line(
    playbook: str, arguments: list[str], variables: dict[str, Any], says: str, tmp_path: Path
) -> None:
    nobody = {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
              "AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip
    account = EmbeddedAccount(tmp_path, environment=nobody)
    answer = account.command(
        "ansible-playbook", *(arguments or ["-i", "inventory/aws"]), f"playbooks/{playbook}.yml",
        "-e", json.dumps({**NAMES, **variables}), check=False,
    )  # fmt: skip
    assert answer.returncode != 0
    errors = [line for line in answer.stderr.splitlines() if line.startswith("[ERROR]")]
    assert errors and says in errors[-1], answer.stdout + answer.stderr
    assert "changed=0" in answer.stdout
