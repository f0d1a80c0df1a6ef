"""What the controller finds wrong with an account before any instance exists: provoked for real, each in seconds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from local_aws.ledger import read, select
from local_aws.state import reserve
from tests.e2e.conftest import DATA_BUCKET, NO_LEAKS, Account, Run, start

Client = Callable[[str], Any]
Broken = Callable[[Client], AbstractContextManager[list[str]]]
TRANSPORT = "spot-train-transport"
PREFLIGHT = ("-e", "preflight_only=true")
NAMES = [
    "identity",
    "region",
    "image",
    "instance_profile",
    "subnets",
    "security_group",
    "data_bucket",
    "transport_bucket",
    "launch",
    "quota",
    "price",
    "permissions",
]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account of this module's own: what is broken in it meets no other test."""
    made = Account(tmp_path_factory.mktemp("account"))
    start(made)
    yield made
    made.local_aws("stop")
    assert made.processes() == []


@pytest.fixture(scope="module")
def client(account: Account) -> Client:
    """Makes clients of the account's owner."""
    import boto3

    reservation = reserve(account.folder / "aws")
    session = boto3.Session(
        aws_access_key_id=reservation.operator.access_key_id,
        aws_secret_access_key=reservation.operator.secret_access_key,
        region_name=reservation.region,
    )
    return lambda service: session.client(service, endpoint_url=reservation.endpoint)


def records(run: Run) -> dict[str, dict[str, Any]]:
    """The records of the controller's checks, by name."""
    assert run.folder is not None, run.output
    kept = json.loads((run.folder / "preflight-controller.json").read_text())
    assert kept["seconds"] < 30
    return {each["name"]: each for each in kept["checks"]}


def refused(account: Account, *arguments: str) -> tuple[Run, dict[str, dict[str, Any]]]:
    """Run what must be refused: message, exit code, nothing launched, nothing left, nothing written to the data."""
    before, written = launches(account), len(writes_to_data(account))

    run = account.train(*arguments)

    assert run.code != 0
    found = records(run)
    for each in found.values():
        # A failed check says the same in the record and on the terminal.
        assert each["status"] != "fail" or f"{each['name']}: {each['detail']}" in run.output
        assert (each["remedy"] == "") == (each["status"] == "pass")
    receipt = run.receipt
    assert receipt["outcome"] == "failed"
    assert "The preflight failed: " in receipt["error"]
    assert receipt["leaks"] == NO_LEAKS
    assert launches(account) == before
    assert len(writes_to_data(account)) == written
    account.assert_nothing_left()
    return run, found


def writes_to_data(account: Account) -> list[dict[str, Any]]:
    """What anyone but the owner wrote, or tried to write, to the data bucket."""
    return list(select(entries(account), bucket=DATA_BUCKET, writes=True, without_operator=True))


def launches(account: Account) -> int:
    """Launches that were asked for; a dry run is none."""
    return len(list(select(entries(account), action="RunInstances", writes=True)))


def entries(account: Account) -> list[dict[str, Any]]:
    """The ledger, read where it lies: starting an interpreter for each look takes longer than a run's checks."""
    return list(read(account.folder / "aws" / "ledger.jsonl"))


def failed(found: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, each in found.items() if each["status"] == "fail"]


def test_a_sound_account_passes_every_check_and_nothing_is_launched(account: Account) -> None:
    before = launches(account)

    run = account.train("--check", *PREFLIGHT)

    assert run.code == 0, run.output
    for name in NAMES:
        assert name in run.output
    assert ": preflight, data as of 2022-12-29, as arn:aws:iam::123456789012:user/controller" in run.output
    assert run.folder is None
    assert launches(account) == before
    assert writes_to_data(account) == []
    (rehearsal,) = select(entries(account), action="RunInstances")
    assert (rehearsal["write"], rehearsal["error"]) == (False, "DryRunOperation")
    account.assert_nothing_left()


@contextlib.contextmanager
def image_gone(client: Client) -> Iterator[list[str]]:
    ec2 = client("ec2")
    image = ec2.register_image(Name="gone", Architecture="x86_64", RootDeviceName="/dev/xvda")["ImageId"]
    client("ssm").put_parameter(Name="/test/image", Value=image, Type="String", Overwrite=True)
    ec2.deregister_image(ImageId=image)
    yield ["-e", "spot_instance_image_parameter=/test/image"]


@contextlib.contextmanager
def image_of_another_architecture(client: Client) -> Iterator[list[str]]:
    image = client("ec2").register_image(Name="arm", Architecture="arm64", RootDeviceName="/dev/xvda")["ImageId"]
    client("ssm").put_parameter(Name="/test/arm", Value=image, Type="String", Overwrite=True)
    yield ["-e", "spot_instance_image_parameter=/test/arm"]


@contextlib.contextmanager
def profile_gone(client: Client) -> Iterator[list[str]]:
    iam = client("iam")
    iam.create_instance_profile(InstanceProfileName="spot-train-gone")
    iam.delete_instance_profile(InstanceProfileName="spot-train-gone")
    yield [*PREFLIGHT, "-e", "spot_instance_preflight_profile=spot-train-gone"]


@contextlib.contextmanager
def profile_without_list(client: Client) -> Iterator[list[str]]:
    """A read-only role that may read objects, and not list the bucket."""
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{DATA_BUCKET}/*"}
    make_profile(client, "spot-train-blind", statement)
    yield [*PREFLIGHT, "-e", "spot_instance_preflight_profile=spot-train-blind"]


@contextlib.contextmanager
def profile_that_trains(client: Client) -> Iterator[list[str]]:
    """The training's profile, used for a preflight."""
    yield [*PREFLIGHT, "-e", "spot_instance_preflight_profile=spot-train-training"]


@contextlib.contextmanager
def profile_that_cannot_write(client: Client) -> Iterator[list[str]]:
    """The preflight's profile, used for a training."""
    yield ["-e", "spot_instance_profile=spot-train-preflight"]


@contextlib.contextmanager
def profile_of_another_service(client: Client) -> Iterator[list[str]]:
    make_profile(client, "spot-train-lambda", {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}, "lambda")
    yield ["-e", "spot_instance_profile=spot-train-lambda"]


@contextlib.contextmanager
def bucket_missing(client: Client) -> Iterator[list[str]]:
    yield ["-e", "data_bucket=spot-train-nowhere"]


@contextlib.contextmanager
def bucket_denied(client: Client) -> Iterator[list[str]]:
    client("s3").create_bucket(Bucket="spot-train-not-yours")
    yield ["-e", "data_bucket=spot-train-not-yours"]


@contextlib.contextmanager
def bucket_unencrypted(client: Client) -> Iterator[list[str]]:
    s3 = client("s3")
    kept = s3.get_bucket_encryption(Bucket=DATA_BUCKET)["ServerSideEncryptionConfiguration"]
    s3.delete_bucket_encryption(Bucket=DATA_BUCKET)
    yield []
    s3.put_bucket_encryption(Bucket=DATA_BUCKET, ServerSideEncryptionConfiguration=kept)


@contextlib.contextmanager
def bucket_public(client: Client) -> Iterator[list[str]]:
    s3 = client("s3")
    kept = s3.get_public_access_block(Bucket=TRANSPORT)["PublicAccessBlockConfiguration"]
    open_ = {**kept, "BlockPublicPolicy": False}
    s3.put_public_access_block(Bucket=TRANSPORT, PublicAccessBlockConfiguration=open_)
    yield []
    s3.put_public_access_block(Bucket=TRANSPORT, PublicAccessBlockConfiguration=kept)


@contextlib.contextmanager
def inbound_rule(client: Client) -> Iterator[list[str]]:
    ec2 = client("ec2")
    filters = [{"Name": "group-name", "Values": ["spot-train"]}]
    group = ec2.describe_security_groups(Filters=filters)["SecurityGroups"][0]["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    yield []
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])


@contextlib.contextmanager
def no_subnet(client: Client) -> Iterator[list[str]]:
    yield ["-e", json.dumps({"spot_instance_subnet_filters": {"tag:project": "another"}})]


@contextlib.contextmanager
def controller_that_cannot_end(client: Client) -> Iterator[list[str]]:
    iam = client("iam")
    never = {"Effect": "Deny", "Action": "ec2:TerminateInstances", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [never]})
    iam.put_user_policy(UserName="controller", PolicyName="never", PolicyDocument=document)
    yield []
    iam.delete_user_policy(UserName="controller", PolicyName="never")


@contextlib.contextmanager
def controller_that_cannot_launch(client: Client) -> Iterator[list[str]]:
    iam = client("iam")
    never = {"Effect": "Deny", "Action": "ec2:RunInstances", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [never]})
    iam.put_user_policy(UserName="controller", PolicyName="never", PolicyDocument=document)
    yield []
    iam.delete_user_policy(UserName="controller", PolicyName="never")


@contextlib.contextmanager
def another_project(client: Client) -> Iterator[list[str]]:
    """The policy allows termination by the tag ``project`` of its own value only."""
    yield ["-e", "project=another"]


@contextlib.contextmanager
def price_too_low(client: Client) -> Iterator[list[str]]:
    yield ["-e", "spot_instance_max_price=0.01"]


# What is broken, the check that says so, words of its detail, words of its remedy, all that fail with it.
FAILURES: dict[str, tuple[Broken, str, str, str, set[str]]] = {
    "image_gone": (
        image_gone,
        "image",
        "which parameter /test/image names, is gone",
        "spot_instance_image",
        {"launch"},
    ),
    "image_architecture": (
        image_of_another_architecture,
        "image",
        "the image is for arm64, and does not run on c5.large (x86_64)",
        "types that it fits",
        set(),
    ),
    "profile_gone": (profile_gone, "instance_profile", "no instance profile spot-train-gone", "files/iam", {"launch"}),
    "profile_without_list": (
        profile_without_list,
        "instance_profile",
        f"the role may not s3:ListBucket on arn:aws:s3:::{DATA_BUCKET}",
        "files/iam",
        set(),
    ),
    "profile_that_could_write": (
        profile_that_trains,
        "instance_profile",
        f"must not be able to write, and the role may s3:PutObject on arn:aws:s3:::{DATA_BUCKET}/predictor/",
        "files/iam",
        set(),
    ),
    "profile_that_cannot_write": (
        profile_that_cannot_write,
        "instance_profile",
        f"the role may not s3:PutObject on arn:aws:s3:::{DATA_BUCKET}/predictor/",
        "files/iam",
        set(),
    ),
    "profile_of_another_service": (
        profile_of_another_service,
        "instance_profile",
        "role spot-train-lambda does not trust ec2.amazonaws.com",
        "files/iam",
        set(),
    ),
    "bucket_missing": (
        bucket_missing,
        "data_bucket",
        "there is no bucket spot-train-nowhere",
        "correct data_bucket",
        {"instance_profile", "permissions"},
    ),
    "bucket_denied": (
        bucket_denied,
        "data_bucket",
        "bucket spot-train-not-yours is there, and the controller may not list it: AccessDenied",
        "the controller's policy",
        {"instance_profile", "permissions"},
    ),
    "bucket_unencrypted": (
        bucket_unencrypted,
        "data_bucket",
        f"bucket {DATA_BUCKET} has no default encryption",
        "set default encryption",
        set(),
    ),
    "bucket_public": (
        bucket_public,
        "transport_bucket",
        f"bucket {TRANSPORT} may be made public: BlockPublicPolicy not set",
        "all four public access blocks",
        set(),
    ),
    "inbound_rule": (
        inbound_rule,
        "security_group",
        "spot-train has inbound rules (port 22), and must have none",
        "remove its inbound rules",
        set(),
    ),
    "no_subnet": (no_subnet, "subnets", "no subnet fits {'tag:project': 'another'}", "filters", {"launch", "price"}),
    "permission": (
        controller_that_cannot_end,
        "permissions",
        "1 denied: ec2:TerminateInstances on arn:aws:ec2:us-east-1:123456789012:instance/",
        "files/iam/controller.json",
        set(),
    ),
    "launch_denied": (
        controller_that_cannot_launch,
        "launch",
        "EC2 refuses c5.large in us-east-1a, spot: UnauthorizedOperation",
        "files/iam",
        {"permissions"},
    ),
    "another_project": (another_project, "permissions", "denied: ", "files/iam/controller.json", set()),
    "price": (price_too_low, "price", "spot_instance_max_price 0.01 is below every current price", "raise", set()),
}


@pytest.mark.parametrize("case", FAILURES)
def test_what_is_wrong_is_named_with_its_remedy_before_anything_is_launched(
    account: Account, client: Client, case: str
) -> None:
    broken, name, words, remedy, others = FAILURES[case]

    with contextlib.ExitStack() as stack:
        arguments = stack.enter_context(broken(client))
        _, found = refused(account, *arguments)

    assert list(found) == NAMES
    assert words in found[name]["detail"]
    assert remedy in found[name]["remedy"]
    assert set(failed(found)) == {name, *others}


def test_a_quota_of_zero_says_to_ask_for_more(account: Account) -> None:
    account.local_aws("fault", "quota", "value=0", "code=L-34B43A08")
    try:
        _, found = refused(account)
    finally:
        account.local_aws("fault", "clear")

    assert failed(found) == ["quota"]
    assert found["quota"]["detail"] == "spot: the quota L-34B43A08 is 0, nothing can be launched"
    assert "ask AWS to raise the quota L-34B43A08" in found["quota"]["remedy"]


def test_a_quota_that_some_types_fit_is_a_warning(account: Account) -> None:
    account.local_aws("fault", "quota", "value=2", "code=L-34B43A08")
    try:
        run = account.train("--check", "-e", json.dumps({"spot_instance_types": ["c5.xlarge", "c5.large"]}))
    finally:
        account.local_aws("fault", "clear")

    assert run.code == 0, run.output
    assert "spot: 0 of 2 vCPUs in use (L-34B43A08), no room for c5.xlarge (4)" in run.output


def test_one_bucket_for_both_is_refused_at_the_gate(account: Account) -> None:
    before = launches(account)

    run = account.train("-e", f"transport_bucket={DATA_BUCKET}")

    assert run.code != 0
    assert "transport_bucket and data_bucket are both" in run.output
    assert run.folder is None
    assert launches(account) == before
    assert writes_to_data(account) == []


def test_a_versioned_transport_bucket_is_a_warning_that_says_why(account: Account, client: Client) -> None:
    s3 = client("s3")
    s3.put_bucket_versioning(Bucket=TRANSPORT, VersioningConfiguration={"Status": "Enabled"})
    try:
        run = account.train("--check")
    finally:
        s3.put_bucket_versioning(Bucket=TRANSPORT, VersioningConfiguration={"Status": "Suspended"})

    assert run.code == 0, run.output
    assert "stay in it as old versions, for ever, and cost and keep what was sent" in run.output


def test_several_failures_at_once_are_all_listed(account: Account, client: Client) -> None:
    account.local_aws("fault", "quota", "value=0")
    try:
        with contextlib.ExitStack() as stack:
            arguments = []
            for broken in (image_gone, profile_without_list, inbound_rule, bucket_unencrypted, bucket_public):
                arguments += stack.enter_context(broken(client))
            arguments += stack.enter_context(controller_that_cannot_end(client))
            arguments += stack.enter_context(price_too_low(client))
            _, found = refused(account, *arguments)
    finally:
        account.local_aws("fault", "clear")

    assert failed(found) == [
        "image",
        "instance_profile",
        "security_group",
        "data_bucket",
        "transport_bucket",
        "launch",
        "quota",
        "price",
        "permissions",
    ]
    assert found["launch"]["detail"].startswith("cannot be judged: image ")
    assert found["launch"]["remedy"] == "see to the check image first"


def test_a_region_that_is_none_is_named_and_everything_else_still_runs(account: Account) -> None:
    run = account.train("--check", "-e", "aws_region=mars-north-1")

    assert run.code != 0
    assert "EC2 refuses the keys in region mars-north-1: not enabled for the account, or none at all" in run.output
    assert all(name in run.output for name in NAMES)


def test_what_a_role_session_may_do_is_asked_of_its_role(account: Account, client: Client) -> None:
    """A controller that is a role, as on AWX or in CI: its policies are the role's, not the session's."""
    iam = client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    iam.create_role(
        RoleName="spot-train-ci", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    policy = iam.get_user_policy(UserName="controller", PolicyName="inline")["PolicyDocument"]
    iam.put_role_policy(RoleName="spot-train-ci", PolicyName="inline", PolicyDocument=json.dumps(policy))
    role = "arn:aws:iam::123456789012:role/spot-train-ci"
    keys = client("sts").assume_role(RoleArn=role, RoleSessionName="ci")["Credentials"]
    environment = {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
    }

    found = check_directly(account, client, environment)

    assert found["identity"]["detail"].startswith("arn:aws:sts::123456789012:assumed-role/spot-train-ci/ci ")
    assert (found["permissions"]["status"], found["permissions"]["remedy"]) == ("pass", "")


def test_keys_that_aws_does_not_know_fail_every_check_and_each_says_so(account: Account, client: Client) -> None:
    found = check_directly(account, client, {"AWS_ACCESS_KEY_ID": "AKIANOBODY", "AWS_SECRET_ACCESS_KEY": "no"})

    assert failed(found) == NAMES
    assert "InvalidClientTokenId" in found["identity"]["detail"]
    assert "keys that are valid" in found["identity"]["remedy"]


def check_directly(account: Account, client: Client, environment: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The checks of a training run with other keys than the inventory's."""
    script = """
import json, os, sys
sys.path[:0] = ["roles/spot_instance/action_plugins"]
import account_checks as plugin
runner = plugin.load()
base = sys.modules[plugin.PACKAGE + ".base"]
context = sys.modules[plugin.PACKAGE + ".context"].Context(base.Settings.of(json.loads(sys.argv[1])))
print(json.dumps(runner.run_all(context, plugin.FOLDER, plugin.PACKAGE)))
"""
    arguments = {
        "region": "us-east-1",
        "preflight": False,
        "project": "spot-train",
        "tags": {"project": "spot-train"},
        "types": ["r5.large"],
        "markets": ["spot"],
        "max_price": "",
        "on_demand": {"r5.large": 0.126},
        "subnet_filters": {"default-for-az": "true"},
        "security_group": "spot-train",
        "profile": "spot-train-training",
        "image_parameter": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
        "volume_gb": "30",
        "data_bucket": DATA_BUCKET,
        "transport_bucket": TRANSPORT,
        "arctic_prefix": "arcticdb",
    }
    endpoint = client("sts").meta.endpoint_url
    other = Account(account.folder, environment={"AWS_ENDPOINT_URL": endpoint, "NO_PROXY": "127.0.0.1", **environment})
    answer = other.command(str(other.binaries / "python"), "-c", script, json.dumps(arguments))
    return {each["name"]: each for each in json.loads(answer.stdout)}


def make_profile(client: Client, name: str, statement: dict[str, Any], service: str = "ec2") -> None:
    """A role with one statement and what an SSM agent needs, and an instance profile of the same name."""
    iam = client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        )
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=name, PolicyName="only", PolicyDocument=document)
    iam.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore")
