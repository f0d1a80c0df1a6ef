"""Set-up of an empty account, a run with only the supplied roles, and teardown.

The steps alternate between the two versions of ansible-core.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError
from local_aws import substitutions
from local_aws.state import AccessKey

from tests.e2e.runs.conftest import NO_LEAKS, Account, Run
from tests.integration.account_setup.conftest import (
    ACCOUNT_ID,
    CONTROL_NODE,
    DATA,
    NEWEST,
    TAKER,
    TRANSPORT,
    Owner,
    Played,
)
from tests.integration.termination.conftest import RUN, tags_of_run
from tests.support.account import ROOT, practice_source

pytestmark = pytest.mark.slow

OTHERS = "others-data"
WRITTEN = "predictor/practice.json"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT_ID}:spot-train-runs"
#: Packages of the predictor's lock file that the practice project needs to write.
LOCKED = ("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3")
LOCAL: dict[str, Any] = yaml.safe_load((ROOT / "inventory" / "local" / "account.yml").read_text())
TAG = {"Key": "project", "Value": "spot-train"}
MARK = {"Key": "made_by", "Value": "aws_setup"}
ROLES = ["control-node", "expiry", "preflight", "rollback", "training"]

Inventory = dict[str, list[str]]


@pytest.fixture(scope="module")
def others(owner: Owner) -> Inventory:
    """Resources of others in the account, with names like ours."""
    owner.client("s3").create_bucket(Bucket=OTHERS)
    owner.client("s3").put_object(Bucket=OTHERS, Key="prices", Body=b"dear")
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}  # fmt: skip
    owner.client("iam").create_role(RoleName="spot-train-2-training", AssumeRolePolicyDocument=json.dumps(trust))
    owner.client("sns").create_topic(Name="spot-train-runs-2")
    ec2 = owner.client("ec2")
    ec2.create_security_group(GroupName="spot-train-2", Description="another's")
    another = owner.subnets_by_zone()[1]
    ec2.create_tags(Resources=[another], Tags=[{"Key": "project", "Value": "spot-train-2"}])
    ec2.create_tags(Resources=owner.subnets, Tags=[{"Key": "Name", "Value": "a"}])
    return owner.inventory()


@pytest.fixture(scope="module")
def refused(owner: Owner, others: Inventory) -> Played:
    """A set-up with another owner's bucket for transport."""
    return owner.set_up(core=NEWEST, transport_bucket=OTHERS)


@pytest.fixture(scope="module")
def looked(owner: Owner, others: Inventory) -> Played:
    """Check mode on the empty account, which must stay empty."""
    played = owner.set_up("--check", "--diff", core=NEWEST, aws_account_endpoints=True)
    assert played.code == 0, played.output
    assert owner.inventory() == others
    return played


@pytest.fixture(scope="module")
def made(owner: Owner, looked: Played) -> Played:
    """The account set up."""
    played = owner.set_up(aws_account_endpoints=True)
    assert played.code == 0, played.output
    return played


@pytest.fixture(scope="module")
def run(owner: Owner, made: Played, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run by a control node that assumed its role as a user with no other rights."""
    prices = owner.account.folder / "prices.yml"
    prices.write_text(yaml.safe_dump({"prices": {"bucket": DATA, "prefix": "arcticdb"}}))
    owner.account.local_aws("seed", str(prices))
    control_node = Account(owner.account.folder, environment=take_the_role(owner))
    python = ROOT / ".venv" / "bin" / "python"
    return control_node.train("-i", "inventory/aws", "-e", json.dumps({
        "data_bucket": DATA,
        "transport_bucket": TRANSPORT,
        "run_report_sns_topic_arn": TOPIC,
        "training_source": writing_source(tmp_path_factory.mktemp("practice") / "practice"),
        "training_mode": "full",
        # Specific to the embedded AWS.
        "run_date": "2022-12-29",
        "spot_instance_types": ["c5.large"],
        "bootstrap_python": str(python.resolve()),
        "ansible_aws_ssm_plugin": str(python.with_name("session-manager-plugin")),
        "ansible_aws_ssm_s3_addressing_style": "path",
        "ansible_aws_ssm_bucket_endpoint_url": owner.reservation.endpoint,
    }))  # fmt: skip


def take_the_role(owner: Owner) -> dict[str, str]:
    """The environment after the control node's role was assumed."""
    iam, user = owner.client("iam"), TAKER.rpartition("/")[2]
    made = iam.create_access_key(UserName=user)["AccessKey"]
    sts = owner.client_of("sts", AccessKey(user, made["AccessKeyId"], made["SecretAccessKey"]))
    # The maximum that the set-up allows.
    session = sts.assume_role(RoleArn=CONTROL_NODE, RoleSessionName="test", DurationSeconds=8 * 3600)["Credentials"]
    key = AccessKey("", session["AccessKeyId"], session["SecretAccessKey"])
    return {**owner.reservation.client_environment(key), "AWS_SESSION_TOKEN": session["SessionToken"]}


def writing_source(folder: Path) -> dict[str, Any]:
    """The practice project with a full training that writes one object, and with the packages for that."""
    source = practice_source(folder, {"write": True, "folds": 1})
    blocks = re.split(r"\n(?=[a-z])", (ROOT / "files" / "predictor" / "requirements.lock").read_text())
    wanted = [block for block in blocks if block.partition("==")[0] in LOCKED]
    assert len(wanted) == len(LOCKED)
    with (folder / source["lock"]).open("a") as lock:
        lock.write("\n".join(wanted) + "\n")
    return source


@pytest.fixture(scope="module")
def living(owner: Owner, run: Run) -> Iterator[str]:
    """An instance of another run."""
    cloud = owner.cloud
    instance = cloud.launch(tags_of_run())
    yield instance
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait_for(lambda: cloud.state(instance) == "terminated")


@pytest.fixture(scope="module")
def removed(owner: Owner, run: Run) -> Played:
    """The account torn down, with the data that the run has written, versions from before versioning, and an upload."""
    s3 = owner.client("s3")
    for status in ("Enabled", "Suspended"):
        s3.put_bucket_versioning(Bucket=DATA, VersioningConfiguration={"Status": status})
        s3.put_object(Bucket=DATA, Key=WRITTEN, Body=b"newer")
    s3.create_multipart_upload(Bucket=DATA, Key="half")
    played = owner.tear_down(core=NEWEST, aws_account_delete_data=DATA)
    assert played.code == 0, played.output
    return played


def test_bucket_with_objects_does_not_become_transport_bucket(owner: Owner, others: Inventory, refused: Played) -> None:
    assert refused.code != 0
    assert f"transport_bucket={OTHERS} is not empty and was not set up for transport" in refused.text
    assert owner.inventory() == others
    s3 = owner.client("s3")
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=OTHERS)
    with pytest.raises(ClientError, match="NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=OTHERS)


def test_check_mode_shows_what_set_up_then_creates(looked: Played, made: Played) -> None:
    assert len(made.changes) > 20
    assert looked.changes == made.changes
    assert "+    encryption: AES256" in looked.output
    assert "+        spot-train-transport: delete everything after 1 days" in looked.output


def test_second_set_up_changes_nothing(owner: Owner, made: Played) -> None:
    before = owner.inventory()
    played = owner.set_up(core=NEWEST, aws_account_endpoints=True)
    assert (played.code, played.changed, played.changes) == (0, 0, []), played.output
    assert owner.inventory() == before


def test_example_restores_only_what_was_removed(owner: Owner, made: Played) -> None:
    there = group(owner, "spot-train")
    way_out = {"GroupId": there["GroupId"], "IpPermissions": there["IpPermissionsEgress"]}
    owner.client("ec2").revoke_security_group_egress(**way_out)
    played = owner.play("roles/aws_account/examples/minimal.yml", "--check", aws_account_subnets=owner.subnets)
    owner.client("ec2").authorize_security_group_egress(**way_out)
    changes = [("network | Create the security group without inbound rules", "")]
    assert (played.code, played.changes) == (0, changes), played.output


def test_set_up_ends_with_the_settings_of_a_run(made: Played) -> None:
    for line in (f"data_bucket: {DATA}", f"transport_bucket: {TRANSPORT}", f"run_report_sns_topic_arn: {TOPIC}"):
        assert f"- '{line}'" in made.output
    assert f"For a run assume the role {CONTROL_NODE}, and set in group_vars/aws.yml:" in made.text


def test_set_up_creates_the_account_of_the_local_inventory(owner: Owner, made: Played) -> None:
    iam = owner.client("iam")
    buckets = {"data_bucket": DATA, "transport_bucket": TRANSPORT}
    values = {**LOCAL["substitutions"], **buckets, "control_node_arn": CONTROL_NODE}
    control_node = {"policies": [LOCAL["control_node_policy"], "../../files/iam/control_node_notifications.json"],
                  "trust": trust({"AWS": [TAKER]}), "instance_profile": False}  # fmt: skip
    described = {**LOCAL["roles"], "spot-train-control-node": control_node}
    assert sorted(described) == [f"spot-train-{name}" for name in ROLES]
    for name, role in described.items():
        there = iam.get_role(RoleName=name)["Role"]
        wanted = role.get("trust", trust({"Service": "ec2.amazonaws.com"}))
        # The local control node is a user.
        text = json.dumps(wanted).replace(LOCAL["substitutions"]["control_node_arn"], CONTROL_NODE)
        assert there["AssumeRolePolicyDocument"] == json.loads(text), name
        policies = [ROOT / "inventory" / "local" / policy for policy in role["policies"]]
        assert iam.list_role_policies(RoleName=name)["PolicyNames"] == [policy.stem for policy in policies]
        for policy in policies:
            filled = substitutions.fill(json.loads(policy.read_text()), values)
            given = iam.get_role_policy(RoleName=name, PolicyName=policy.stem)["PolicyDocument"]
            assert given == filled, policy.stem
        managed = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        assert [each["PolicyArn"] for each in managed] == role.get("managed_policies", [])
        profiles = iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"]
        assert [each["InstanceProfileName"] for each in profiles] == [name] * role.get("instance_profile", True)
    ((name, settings),) = LOCAL["security_groups"].items()
    made_group = group(owner, name)
    assert (made_group["Description"], made_group["IpPermissions"]) == (settings["description"], [])
    assert [(rule["IpProtocol"], rule["IpRanges"]) for rule in made_group["IpPermissionsEgress"]] == [
        ("-1", [{"CidrIp": "0.0.0.0/0"}])
    ]
    assert list(LOCAL["buckets"].values()) == [{}, {}]


def group(owner: Owner, name: str) -> dict[str, Any]:
    """The one security group of that name."""
    filters = [{"Name": "group-name", "Values": [name]}]
    (found,) = owner.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
    return dict(found)


def trust(principal: dict[str, Any]) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
    }


def test_buckets_are_encrypted_private_and_expire_objects(owner: Owner, made: Played) -> None:
    s3, rules = owner.client("s3"), {}
    for bucket in (DATA, TRANSPORT):
        (encryption,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        assert encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        blocks = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert len(blocks) == 4 and all(blocks.values())
        assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
        (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        rules[bucket] = (rule["Status"], rule["Filter"]["Prefix"], rule["Expiration"]["Days"])
        assert rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == rule["Expiration"]["Days"]
        assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == rule["Expiration"]["Days"]
    assert rules == {DATA: ("Enabled", "runs/", 14), TRANSPORT: ("Enabled", "", 1)}


def test_everything_taggable_is_tagged(owner: Owner, made: Played) -> None:
    iam, ec2, s3 = (owner.client(name) for name in ("iam", "ec2", "s3"))
    tags = {f"role {name}": iam.list_role_tags(RoleName=f"spot-train-{name}")["Tags"] for name in ROLES}
    tags["role for spot"] = iam.list_role_tags(RoleName="AWSServiceRoleForEC2Spot")["Tags"]
    tags |= {bucket: s3.get_bucket_tagging(Bucket=bucket)["TagSet"] for bucket in (DATA, TRANSPORT)}
    for name in ("training", "preflight"):
        profile = iam.get_instance_profile(InstanceProfileName=f"spot-train-{name}")["InstanceProfile"]
        tags[f"profile {name}"] = profile["Tags"]
    tags |= {name: group(owner, name)["Tags"] for name in ("spot-train", "spot-train-endpoints")}
    tags |= {each["ServiceName"]: each["Tags"] for each in ec2.describe_vpc_endpoints()["VpcEndpoints"]}
    tags |= {each["SubnetId"]: each["Tags"] for each in ec2.describe_subnets(SubnetIds=owner.subnets)["Subnets"]}
    tags["topic"] = owner.client("sns").list_tags_for_resource(ResourceArn=TOPIC)["Tags"]
    assert len(tags) == 18
    assert [name for name, each in tags.items() if TAG not in each] == []
    # Existing resources get the tag, but not the mark that teardown requires.
    assert [name for name, each in tags.items() if MARK not in each] == owner.subnets
    note = [{"Key": "region", "Value": "us-east-1"}, {"Key": "data_bucket", "Value": DATA},
            {"Key": "transport_bucket", "Value": TRANSPORT}]  # fmt: skip
    assert all(each in tags[f"role {name}"] for name in ROLES for each in note)


def test_only_the_vpc_reaches_the_endpoints(owner: Owner, made: Played) -> None:
    ec2 = owner.client("ec2")
    endpoints = {each["ServiceName"].rpartition(".")[2]: each for each in ec2.describe_vpc_endpoints()["VpcEndpoints"]}
    assert sorted(endpoints) == ["ec2messages", "s3", "ssm", "ssmmessages"]
    assert endpoints["s3"]["VpcEndpointType"] == "Gateway" and endpoints["s3"]["RouteTableIds"]
    for name in ("ec2messages", "ssm", "ssmmessages"):
        endpoint = endpoints[name]
        assert (endpoint["VpcEndpointType"], sorted(endpoint["SubnetIds"])) == ("Interface", owner.subnets)
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    (rule,) = group(owner, "spot-train-endpoints")["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"]) == (443, 443)
    assert [each["CidrIp"] for each in rule["IpRanges"]] == [vpc["CidrBlock"]]


def test_run_with_only_the_supplied_roles_passes(owner: Owner, run: Run) -> None:
    assert run.code == 0, run.output
    receipt = run.receipt
    assert (receipt["mode"], receipt["outcome"]) == ("full", "passed")
    assert {check["status"] for check in receipt["preflight"]["checks"]} == {"pass"}
    assert len(receipt["preflight"]["checks"]) == 16
    assert receipt["leaks"] == NO_LEAKS
    assert receipt["notifications"] == [{"channel": "sns", "to": TOPIC, "sent": True, "error": None}]
    assert owner.client("s3").get_object(Bucket=DATA, Key=WRITTEN)["Body"].read() == b"{}"


def test_run_used_only_the_supplied_roles_without_denials(owner: Owner, run: Run) -> None:
    entries = owner.account.ledger("--since", run.receipt["started_at"], "--without-operator")
    assert len(entries) > 100
    assert [entry for entry in entries if not entry["allowed"]] == []
    roles = {re.sub(r"^.*assumed-role/([\w-]+)/.*$", r"\1", entry["principal"]) for entry in entries}
    # The instance's agent signs nothing here; its training does.
    assert roles == {"spot-train-control-node", "spot-train-training"}
    (write,) = [entry for entry in entries if entry["write"] and entry["source"].startswith("i-")]
    assert write["resource"] == f"arn:aws:s3:::{DATA}/{WRITTEN}"
    # The user used its own keys only to assume the role.
    taken = [entry["action"] for entry in owner.account.ledger() if entry["principal"] == TAKER]
    assert taken == ["AssumeRole"]


@pytest.mark.parametrize("core", ["", NEWEST])
def test_live_inventory_groups_instances_by_run_and_mode(owner: Owner, living: str, core: str) -> None:
    listed = inventory(owner, core, "inventory/aws/live.aws_ec2.yml")
    run_group = f"run_{RUN.replace('-', '_')}"
    assert listed["live"]["hosts"] == [living]
    assert sorted(listed["live"]["children"]) == ["mode_preflight", run_group]
    assert (listed[run_group]["hosts"], listed["mode_preflight"]["hosts"]) == ([living], [living])
    shown = listed["_meta"]["hostvars"][living]
    tags = {name: shown[name] for name in ("run_id", "run_mode", "run_attempt", "aws_market", "aws_instance_type")}
    assert tags == {"run_id": RUN, "run_mode": "preflight", "run_attempt": "1", "aws_market": "on-demand",
                    "aws_instance_type": "c5.large"}  # fmt: skip
    assert datetime.fromisoformat(shown["lease_expires"]) > datetime.now(UTC)


def test_inventory_of_a_run_does_not_query_instances(owner: Owner, living: str) -> None:
    before = len(owner.account.ledger())
    listed = inventory(owner, NEWEST, "inventory/aws")
    assert listed["aws"]["hosts"] == ["localhost"]
    assert list(listed["_meta"]["hostvars"]) == ["localhost"]
    assert len(owner.account.ledger()) == before


def inventory(owner: Owner, core: str, path: str) -> dict[str, Any]:
    """Output of `ansible-inventory --list`, as plain texts."""
    program = str(ROOT / f".venv{core}" / "bin" / "ansible-inventory")
    listed = json.loads(owner.account.command(program, "-i", path, "--list").stdout)
    return dict(_plain(listed))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return value["__ansible_unsafe"] if "__ansible_unsafe" in value else {k: _plain(v) for k, v in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def test_teardown_refuses_while_an_instance_runs(owner: Owner, living: str) -> None:
    before = owner.inventory()
    played = owner.tear_down(aws_account_delete_data=DATA)
    assert played.code != 0
    assert f"The project still has 1 instances ({living} of run {RUN}): wait for the run" in played.text
    assert owner.inventory() == before


def test_teardown_requires_confirmation_to_delete_data(owner: Owner, run: Run) -> None:
    for instance in owner.cloud.instances():
        owner.client("ec2").terminate_instances(InstanceIds=[instance.id])
    owner.cloud.wait_for(lambda: not owner.cloud.instances())
    before = owner.inventory()
    played = owner.tear_down(aws_account_delete_data=TRANSPORT)
    assert played.code != 0
    assert f"The data bucket {DATA} is not empty. To delete it with all its objects, confirm" in played.text
    assert owner.inventory() == before


def test_teardown_leaves_only_what_was_there_before(owner: Owner, others: Inventory, removed: Played) -> None:
    assert owner.inventory() == others
    assert f"No resources of the project are left in account {ACCOUNT_ID}, us-east-1." in removed.text


def test_second_teardown_lists_what_set_up_did_not_create(owner: Owner, removed: Played) -> None:
    s3, iam = owner.client("s3"), owner.client("iam")
    s3.create_bucket(Bucket=DATA)
    s3.put_object(Bucket=DATA, Key="prices", Body=b"dear")
    # As the set-up tags existing resources.
    s3.put_bucket_tagging(Bucket=DATA, Tagging={"TagSet": [TAG]})
    document = json.dumps(trust({"Service": "ec2.amazonaws.com"}))
    iam.create_role(RoleName="spot-train-training", AssumeRolePolicyDocument=document, Tags=[TAG])
    owner.client("sns").create_topic(Name="spot-train-runs", Tags=[TAG])
    before = owner.inventory()
    played = owner.tear_down(aws_account_delete_data=DATA)
    assert (played.code, played.changed, played.changes) == (0, 0, []), played.output
    assert owner.inventory() == before
    assert s3.get_object(Bucket=DATA, Key="prices")["Body"].read() == b"dear"
    for name in (f"bucket {DATA}", "role spot-train-training", "topic spot-train-runs"):
        assert f"{name} was not created by aws_setup.yml and is kept." in played.text
