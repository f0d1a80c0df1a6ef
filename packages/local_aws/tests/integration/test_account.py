"""Seeding an account from a description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws import account
from local_aws.__main__ import main

DESCRIPTION = """\
substitutions: {bucket: seeded-data}
control_node_policy: control_node.json
roles:
  seeded-role:
    policies: [role.json]
    managed_policies: ["arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"]
  seeded-bare-role:
buckets:
  seeded-data: {versioned: true}
  seeded-plain:
security_groups:
  seeded-group: {description: No inbound rule}
images:
  seeded-image: {parameter: /seeded/image}
parameters: {/seeded/number: 7}
topics: [seeded-topic]
"""


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """A description and its policies."""
    put = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::${bucket}/${aws:username}/*"}
    (tmp_path / "role.json").write_text(policy(put))
    look = {"Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*"}
    (tmp_path / "control_node.json").write_text(policy(look))
    path = tmp_path / "account.yml"
    path.write_text(DESCRIPTION)
    return path


def test_seeding_creates_the_account_once(server: Any, described: Path) -> None:
    lines = server.out("seed", str(described)).splitlines()
    assert [line.rsplit(" ami-")[0] for line in lines] == [
        "user control-node",
        "role seeded-role",
        "role seeded-bare-role",
        "bucket seeded-data",
        "bucket seeded-plain",
        "security group seeded-group",
        "image seeded-image",
        "parameter /seeded/number",
        "topic seeded-topic",
    ]
    iam, s3, ec2, ssm = (server.client(name) for name in ("iam", "s3", "ec2", "ssm"))
    document = iam.get_role_policy(RoleName="seeded-role", PolicyName="role")["PolicyDocument"]
    # Substitutions are filled in; IAM's own variables stay.
    assert document["Statement"][0]["Resource"] == "arn:aws:s3:::seeded-data/${aws:username}/*"
    attached = iam.list_attached_role_policies(RoleName="seeded-role")["AttachedPolicies"]
    assert [each["PolicyName"] for each in attached] == ["AmazonSSMManagedInstanceCore"]
    for name in ("seeded-role", "seeded-bare-role"):
        roles = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]
        assert [role["RoleName"] for role in roles] == [name]
    assert s3.get_bucket_versioning(Bucket="seeded-data")["Status"] == "Enabled"
    assert "Status" not in s3.get_bucket_versioning(Bucket="seeded-plain")
    blocked = s3.get_public_access_block(Bucket="seeded-plain")["PublicAccessBlockConfiguration"]
    assert set(blocked.values()) == {True} and len(blocked) == 4
    filters = [{"Name": "group-name", "Values": ["seeded-group"]}]
    (group,) = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
    assert group["IpPermissions"] == []
    image = ssm.get_parameter(Name="/seeded/image")["Parameter"]["Value"]
    assert ec2.describe_images(ImageIds=[image])["Images"][0]["RootDeviceName"] == "/dev/xvda"
    assert ssm.get_parameter(Name="/seeded/number")["Parameter"]["Value"] == "7"

    before = len(server.ledger())
    assert server.out("seed", str(described)) == "the account exists already\n"
    assert len(server.ledger()) == before

    # A changed description is applied again; existing resources are kept.
    s3.put_object(Bucket="seeded-plain", Key="kept", Body=b"1")
    described.write_text(DESCRIPTION.replace("topics: [seeded-topic]", "topics: [seeded-topic, seeded-more]"))
    assert "topic seeded-more" in server.out("seed", str(described))
    assert s3.head_object(Bucket="seeded-plain", Key="kept")["ContentLength"] == 1
    assert len(ec2.describe_images(Filters=[{"Name": "name", "Values": ["seeded-image"]}])["Images"]) == 1


def test_bucket_settings_follow_the_description(server: Any, tmp_path: Path) -> None:
    path = tmp_path / "account.yml"
    path.write_text("""
buckets:
  sound:
  bare: {encrypted: false}
  open: {public_access_blocked: false}
  kept: {versioned: true}
""")
    server.out("seed", str(path))
    s3 = server.client("s3")

    def faults(name: str) -> list[str]:
        found = []
        try:
            s3.get_bucket_encryption(Bucket=name)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ServerSideEncryptionConfigurationNotFoundError"
            found.append("encryption")
        if not all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values()):
            found.append("public")
        return found + (["versioned"] if "Status" in s3.get_bucket_versioning(Bucket=name) else [])

    described = {name: faults(name) for name in ("sound", "bare", "open", "kept")}
    assert described == {"sound": [], "bare": ["encryption"], "open": ["public"], "kept": ["versioned"]}


def test_control_node_is_limited_to_its_policy(server: Any, described: Path) -> None:
    control_node = server.reservation.control_node
    server.out("seed", str(described))
    server.client("ec2", control_node).describe_instances()
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        server.client("ec2", control_node).describe_volumes()
    # The policy is part of the description: a change applies the account again.
    (described.parent / "control_node.json").write_text(policy({"Effect": "Deny", "Action": "*", "Resource": "*"}))
    assert "user control-node" in server.out("seed", str(described))
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        server.client("ec2", control_node).describe_instances()
    last = server.ledger("--source", "control-node", "--denied")[-1]
    assert (last["action"], last["principal"]) == ("DescribeInstances", "arn:aws:iam::123456789012:user/control-node")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected a mapping with some of"),
        ("- a list", "expected a mapping with some of"),
        ("buckets: {a: [", "cannot read the account description"),
        ("bukets: {}", "got 'bukets'"),
        ("roles: [a, b]", "roles: expected a mapping, got ['a', 'b']"),
        ("buckets: {a: yes}", "buckets.a: expected a mapping, got True"),
        ("topics: one", "topics: expected a list, got 'one'"),
        ("prices: {prefix: arcticdb}", "prices.bucket: expected the name of a bucket"),
        ("control_node_policy: nowhere.json", "names a missing policy file"),
        ("roles: {a: {policies: [nowhere.json]}}", "names a missing policy file"),
        ("control_node_policy: broken.json", "broken.json: expected JSON"),
        ("roles: {seed-bad: {managed_policies: ['arn:aws:iam::aws:policy/None']}}", "cannot create the account"),
        ("buckets: {No_Such_Name!: {}}", "cannot create the account"),
    ],
)
def test_invalid_description_is_a_one_line_error(server: Any, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "broken.json").write_text("{")
    path = tmp_path / "account.yml"
    path.write_text(text)
    done = server.cli("seed", str(path))
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr and len(done.stderr.splitlines()) == 1


def test_missing_description_is_a_one_line_error(server: Any, tmp_path: Path) -> None:
    done = server.cli("seed", str(tmp_path / "none.yml"))
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "cannot read the account description" in done.stderr


def test_missing_extra_is_a_one_line_error(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(account, "find_spec", lambda name: None)
    path = tmp_path / "account.yml"
    path.write_text("buckets: {never-created:}\nprices: {bucket: never-created}\n")
    assert main(["--home", str(server.home), "seed", str(path)]) == 1
    error = capsys.readouterr().err
    assert "prices: expected local-aws[prices], but arch, arcticdb, numpy, pandas, skfolio is missing" in error
    assert error.count("\n") == 1
    assert "never-created" not in [each["Name"] for each in server.client("s3").list_buckets()["Buckets"]]
