"""Ways in which an account is broken for a test: each breaks it for real, and mends it where others would feel it."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from tests.support.account import DATA_BUCKET

Client = Callable[[str], Any]
Inputs = dict[str, Any]
Broken = Callable[[Client], AbstractContextManager[Inputs]]
TRANSPORT = "spot-train-transport"
PREFLIGHT: Inputs = {"preflight_only": True}


def make_profile(client: Client, name: str, statement: dict[str, Any], service: str = "ec2") -> None:
    """A role with one statement and what an SSM agent needs, and an instance profile, for the controller to use."""
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
    # The controller's own policy hands over the two roles of the project and no more.
    may_pass = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": f"arn:aws:iam::123456789012:role/{name}"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [may_pass]})
    iam.put_user_policy(UserName="control-node", PolicyName=f"pass-{name}", PolicyDocument=document)


@contextlib.contextmanager
def image_gone(client: Client) -> Iterator[Inputs]:
    ec2 = client("ec2")
    image = ec2.register_image(Name="gone", Architecture="x86_64", RootDeviceName="/dev/xvda")["ImageId"]
    client("ssm").put_parameter(Name="/spot-train/gone", Value=image, Type="String", Overwrite=True)
    ec2.deregister_image(ImageId=image)
    yield {"spot_instance_image_parameter": "/spot-train/gone"}


@contextlib.contextmanager
def image_of_another_architecture(client: Client) -> Iterator[Inputs]:
    image = client("ec2").register_image(Name="arm", Architecture="arm64", RootDeviceName="/dev/xvda")["ImageId"]
    client("ssm").put_parameter(Name="/spot-train/arm", Value=image, Type="String", Overwrite=True)
    yield {"spot_instance_image_parameter": "/spot-train/arm"}


@contextlib.contextmanager
def profile_gone(client: Client) -> Iterator[Inputs]:
    iam = client("iam")
    iam.create_instance_profile(InstanceProfileName="spot-train-gone")
    iam.delete_instance_profile(InstanceProfileName="spot-train-gone")
    yield {**PREFLIGHT, "spot_instance_preflight_profile": "spot-train-gone"}


@contextlib.contextmanager
def profile_without_list(client: Client) -> Iterator[Inputs]:
    """A read-only role that may read objects, and not list the bucket."""
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{DATA_BUCKET}/*"}
    make_profile(client, "spot-train-blind", statement)
    yield {**PREFLIGHT, "spot_instance_preflight_profile": "spot-train-blind"}


@contextlib.contextmanager
def profile_that_trains(client: Client) -> Iterator[Inputs]:
    """The training's profile, used for a preflight."""
    yield {**PREFLIGHT, "spot_instance_preflight_profile": "spot-train-training"}


@contextlib.contextmanager
def profile_that_cannot_write(client: Client) -> Iterator[Inputs]:
    """The preflight's profile, used for a training."""
    yield {"spot_instance_profile": "spot-train-preflight"}


@contextlib.contextmanager
def profile_of_another_service(client: Client) -> Iterator[Inputs]:
    make_profile(client, "spot-train-lambda", {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}, "lambda")
    yield {"spot_instance_profile": "spot-train-lambda"}


@contextlib.contextmanager
def bucket_missing(client: Client) -> Iterator[Inputs]:
    yield {"data_bucket": "spot-train-nowhere"}


@contextlib.contextmanager
def bucket_denied(client: Client) -> Iterator[Inputs]:
    client("s3").create_bucket(Bucket="spot-train-not-yours")
    yield {"data_bucket": "spot-train-not-yours"}


@contextlib.contextmanager
def bucket_unencrypted(client: Client) -> Iterator[Inputs]:
    s3 = client("s3")
    kept = s3.get_bucket_encryption(Bucket=DATA_BUCKET)["ServerSideEncryptionConfiguration"]
    s3.delete_bucket_encryption(Bucket=DATA_BUCKET)
    yield {}
    s3.put_bucket_encryption(Bucket=DATA_BUCKET, ServerSideEncryptionConfiguration=kept)


@contextlib.contextmanager
def bucket_public(client: Client) -> Iterator[Inputs]:
    s3 = client("s3")
    kept = s3.get_public_access_block(Bucket=TRANSPORT)["PublicAccessBlockConfiguration"]
    open_ = {**kept, "BlockPublicPolicy": False}
    s3.put_public_access_block(Bucket=TRANSPORT, PublicAccessBlockConfiguration=open_)
    yield {}
    s3.put_public_access_block(Bucket=TRANSPORT, PublicAccessBlockConfiguration=kept)


@contextlib.contextmanager
def inbound_rule(client: Client) -> Iterator[Inputs]:
    ec2 = client("ec2")
    filters = [{"Name": "group-name", "Values": ["spot-train"]}]
    group = ec2.describe_security_groups(Filters=filters)["SecurityGroups"][0]["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    yield {}
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])


@contextlib.contextmanager
def no_subnet(client: Client) -> Iterator[Inputs]:
    yield {"spot_instance_subnet_filters": {"tag:project": "another"}}


@contextlib.contextmanager
def _controller_without(action: str, client: Client) -> Iterator[Inputs]:
    iam = client("iam")
    never = {"Effect": "Deny", "Action": action, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [never]})
    iam.put_user_policy(UserName="control-node", PolicyName="never", PolicyDocument=document)
    yield {}
    iam.delete_user_policy(UserName="control-node", PolicyName="never")


controller_that_cannot_end = functools.partial(_controller_without, "ec2:TerminateInstances")
controller_that_cannot_launch = functools.partial(_controller_without, "ec2:RunInstances")


@contextlib.contextmanager
def another_project(client: Client) -> Iterator[Inputs]:
    """The policy allows a launch and its end by the tag ``project`` of its own value only."""
    yield {"project": "another"}


@contextlib.contextmanager
def price_too_low(client: Client) -> Iterator[Inputs]:
    yield {"spot_instance_max_price": "0.01"}


# What is broken, the check that says so, words of its detail, words of its remedy, all that fail with it.
FAILURES: dict[str, tuple[Broken, str, str, str, set[str]]] = {
    "image_gone": (
        image_gone,
        "image",
        "of parameter /spot-train/gone no longer exists",
        "spot_instance_image",
        {"launch"},
    ),
    "image_architecture": (
        image_of_another_architecture,
        "image",
        "the image is for arm64 and does not run on c5.large (x86_64)",
        "types of its architecture",
        set(),
    ),
    "profile_gone": (
        profile_gone,
        "instance_profile",
        "instance profile spot-train-gone does not exist",
        "files/iam",
        {"launch"},
    ),
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
        f"must not be able to write, but the role may s3:PutObject on arn:aws:s3:::{DATA_BUCKET}/predictor/",
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
        "bucket spot-train-nowhere does not exist",
        "correct data_bucket",
        {"instance_profile", "permissions"},
    ),
    "bucket_denied": (
        bucket_denied,
        "data_bucket",
        "bucket spot-train-not-yours exists, but the control node may not list it: AccessDenied",
        "the control node's policy",
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
        f"bucket {TRANSPORT} can be made public: BlockPublicPolicy not set",
        "all four public access blocks",
        set(),
    ),
    "inbound_rule": (
        inbound_rule,
        "security_group",
        "spot-train must not have inbound rules, found port 22",
        "without inbound rules",
        set(),
    ),
    "no_subnet": (no_subnet, "subnets", "no subnet matches {'tag:project': 'another'}", "filters", {"launch", "price"}),
    "permission": (
        controller_that_cannot_end,
        "permissions",
        "1 denied: ec2:TerminateInstances on arn:aws:ec2:us-east-1:123456789012:instance/",
        "files/iam/control_node.json",
        set(),
    ),
    "launch_denied": (
        controller_that_cannot_launch,
        "launch",
        "EC2 refuses c5.large in us-east-1a, spot: UnauthorizedOperation",
        "files/iam",
        {"permissions"},
    ),
    "another_project": (another_project, "permissions", "denied: ", "files/iam/control_node.json", {"launch"}),
    "price": (price_too_low, "price", "spot_instance_max_price 0.01 is below every current price", "raise", set()),
}
