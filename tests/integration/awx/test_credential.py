"""The credential: what a job gets from it, and that boto3 then acts as the role."""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.account import EmbeddedAccount
from tools.awx_check import account, credentials
from tools.awx_check.jobs import Job
from tools.awx_check.private_data import credentials as environment_of

Data = dict[str, Any]
KEYS = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "s"}


def inject(data: Data, **inputs: str) -> credentials.Injected:
    kind = data["credential_type"]
    assert credentials.problem_of_inputs(kind["inputs"]) == ""
    assert credentials.problem_of_injectors(kind["injectors"], kind["inputs"]) == ""
    return credentials.inject(kind["injectors"], kind["inputs"], {"role_arn": "arn", "region": "eu-west-1", **inputs})


def profiles(injected: credentials.Injected) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string(injected.files["config"])
    return parser


def test_profile_with_keys_assumes_the_role(data: Data) -> None:
    read = profiles(inject(data, external_id="e", **KEYS))
    assert dict(read["profile spot-train"]) == {
        "role_arn": "arn",
        "role_session_name": "awx",
        "region": "eu-west-1",
        "external_id": "e",
        "source_profile": "spot-train-source",
    }
    assert read["profile spot-train-source"]["aws_access_key_id"] == KEYS["access_key_id"]


@pytest.mark.parametrize("given", [{}, {"credential_source": "EcsContainer"}])
def test_without_keys_the_machine_assumes_the_role(data: Data, given: dict[str, str]) -> None:
    read = profiles(inject(data, **given))
    assert read["profile spot-train"]["credential_source"] == given.get("credential_source", "Ec2InstanceMetadata")
    assert read.sections() == ["profile spot-train"]
    assert "external_id" not in read["profile spot-train"]


def test_environment_contains_no_key(data: Data) -> None:
    injected = inject(data, **KEYS)
    assert injected.environment == {
        "AWS_CONFIG_FILE": "{{ tower.filename.config }}",
        "AWS_PROFILE": "spot-train",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAccount]:
    embedded = EmbeddedAccount(tmp_path_factory.mktemp("awx-credential"))
    embedded.local_aws("start")
    yield embedded
    embedded.local_aws("stop")


WHO = """
import boto3, json
clients = [boto3.client("sts"), boto3.session.Session().client("sts")]
print(json.dumps([client.get_caller_identity()["Arn"] for client in clients]))
"""


def who(environment: dict[str, str]) -> list[str]:
    answer = subprocess.run([sys.executable, "-c", WHO], env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    arns: list[str] = json.loads(answer.stdout)
    return arns


def test_boto3_acts_as_the_role(data: Data, embedded: EmbeddedAccount, tmp_path: Path) -> None:
    """Create clients as the modules (boto3.client) and the SSM connection (a Session without arguments) do."""
    identity = account.prepare(embedded)
    injected = inject(
        data,
        role_arn=identity.role_arn,
        access_key_id=identity.access_key_id,
        secret_access_key=identity.secret_access_key,
    )
    job = Job("train.yml", "", environment={**injected.environment, **identity.environment}, files=injected.files)
    (tmp_path / "env").mkdir()
    environment = {"HOME": str(tmp_path), **environment_of(job, tmp_path)}
    Path(environment["AWS_CONFIG_FILE"]).write_text(injected.files["config"])

    session = f"arn:aws:sts::123456789012:assumed-role/{account.ROLE}/awx"
    assert who(environment) == [session, session]

    # Keys in the environment win over the profile, and boto3 does not assume the role.
    keys = {"AWS_ACCESS_KEY_ID": identity.access_key_id, "AWS_SECRET_ACCESS_KEY": identity.secret_access_key}
    assert who({**environment, **keys})[0].endswith(f":user/{account.USER}")
