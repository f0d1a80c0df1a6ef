"""Policies are enforced: default deny, explicit deny, resources, conditions, roles."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

ACCOUNT = "123456789012"
SPOT_ROLE = "AWSServiceRoleForEC2Spot"
User = Callable[..., Callable[[str], Any]]


def allow(action: str | list[str], resource: str | list[str] = "*", **condition: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


def deny(action: str, resource: str = "*", **condition: Any) -> dict[str, Any]:
    return {**allow(action, resource, **condition), "Effect": "Deny"}


def denied(call: Callable[[], Any]) -> str:
    """Message of a denied call."""
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    assert error["Code"] in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"), error
    return str(error["Message"])


@pytest.fixture
def role(server: Any) -> Any:
    """Creates roles; it deletes them afterwards."""
    iam = server.client("iam")
    made: list[str] = []

    def make(name: str, *statements: dict[str, Any], trust: dict[str, Any]) -> str:
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", **trust}]}
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))["Role"]["Arn"]
        made.append(name)
        policy = {"Version": "2012-10-17", "Statement": list(statements) or [deny("*")]}
        iam.put_role_policy(RoleName=name, PolicyName="only", PolicyDocument=json.dumps(policy))
        return str(arn)

    yield make
    for name in made:
        iam.delete_role_policy(RoleName=name, PolicyName="only")
        iam.delete_role(RoleName=name)


def test_user_without_policy_may_only_get_caller_identity(iam_user: User) -> None:
    client = iam_user()
    assert client("sts").get_caller_identity()["Account"] == ACCOUNT
    message = denied(client("ec2").describe_instances)
    assert "is not authorized to perform: ec2:DescribeInstances" in message
    for service, call in (
        ("s3", lambda c: c.list_buckets()),
        ("iam", lambda c: c.list_users()),
        ("ssm", lambda c: c.describe_instance_information()),
        ("scheduler", lambda c: c.list_schedules()),
        ("cloudwatch", lambda c: c.list_metrics()),
    ):
        denied(functools.partial(call, client(service)))


def test_only_named_resources_are_allowed(server: Any, bucket: str, iam_user: User) -> None:
    s3 = iam_user(allow(["s3:GetObject", "s3:PutObject"], f"arn:aws:s3:::{bucket}/mine/*"))("s3")
    s3.put_object(Bucket=bucket, Key="mine/a", Body=b"1")
    assert s3.get_object(Bucket=bucket, Key="mine/a")["Body"].read() == b"1"
    message = denied(lambda: s3.put_object(Bucket=bucket, Key="other/a", Body=b"1"))
    assert f"s3:PutObject on resource: arn:aws:s3:::{bucket}/other/a" in message
    denied(lambda: s3.list_objects_v2(Bucket=bucket))
    denied(lambda: s3.delete_object(Bucket=bucket, Key="mine/a"))
    denied(lambda: s3.head_object(Bucket=bucket, Key="other/a"))


def test_missing_bucket_is_reported_without_permission(bucket: str, iam_user: User) -> None:
    s3 = iam_user(allow("s3:ListBucket", "arn:aws:s3:::another"))("s3")
    denied(lambda: s3.list_objects_v2(Bucket=bucket))
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.list_objects_v2(Bucket="nobody-has-this-one")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.put_object(Bucket="nobody-has-this-one", Key="k", Body=b"1")
    denied(lambda: s3.create_bucket(Bucket="nobody-has-this-one"))


def test_explicit_deny_wins_even_in_a_bulk_delete(server: Any, bucket: str, iam_user: User) -> None:
    server.client("s3").put_object(Bucket=bucket, Key="live/weights", Body=b"1")
    s3 = iam_user(allow("s3:*"), deny("s3:DeleteObject", f"arn:aws:s3:::{bucket}/live/*"))("s3")
    s3.put_object(Bucket=bucket, Key="scratch", Body=b"1")
    denied(lambda: s3.delete_object(Bucket=bucket, Key="live/weights"))
    denied(lambda: s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "scratch"}, {"Key": "live/weights"}]}))
    assert s3.head_object(Bucket=bucket, Key="live/weights")["ContentLength"] == 1
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "scratch"}]})


def test_termination_is_limited_by_tag(server: Any, launch: Callable[..., str], iam_user: User) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "project", "Value": "mine"}]}]
    mine, other = launch(TagSpecifications=tags), launch()
    condition = {"StringEquals": {"aws:ResourceTag/project": "mine"}}
    ec2 = iam_user(allow("ec2:TerminateInstances", f"arn:aws:ec2:*:{ACCOUNT}:instance/*", **condition))("ec2")
    denied(lambda: ec2.terminate_instances(InstanceIds=[other]))
    # Each instance is authorised by its own tags.
    denied(lambda: ec2.terminate_instances(InstanceIds=[mine, other]))
    assert server.state(mine) in ("pending", "running")
    ec2.terminate_instances(InstanceIds=[mine])
    server.await_state(mine, "terminated")
    assert server.state(other) in ("pending", "running")


def test_metric_is_put_into_the_named_namespace_only(iam_user: User) -> None:
    condition = {"StringEquals": {"cloudwatch:namespace": "Mine"}}
    cloudwatch = iam_user(allow("cloudwatch:PutMetricData", "*", **condition))("cloudwatch")
    data = [{"MetricName": "Heartbeat", "Value": 1.0}]
    cloudwatch.put_metric_data(Namespace="Mine", MetricData=data)
    denied(lambda: cloudwatch.put_metric_data(Namespace="Yours", MetricData=data))


def test_messages_are_limited_to_allowed_topic_and_sender(server: Any, iam_user: User) -> None:
    mine, yours = (server.client("sns").create_topic(Name=name)["TopicArn"] for name in ("mine", "yours"))
    sns = iam_user(allow("sns:Publish", mine))("sns")
    sns.publish(TopicArn=mine, Message="m")
    denied(lambda: sns.publish(TopicArn=yours, Message="m"))
    server.client("ses").verify_email_identity(EmailAddress="me@example.org")
    identity = f"arn:aws:ses:us-east-1:{ACCOUNT}:identity/me@example.org"
    ses = iam_user(allow("ses:SendRawEmail", identity))("ses")
    message = {
        "RawMessage": {"Data": b"To: you@example.org\r\nSubject: s\r\n\r\nm"},
        "Destinations": ["you@example.org"],
    }
    ses.send_raw_email(Source="me@example.org", **message)
    denied(lambda: ses.send_raw_email(Source="you@example.org", **message))


def test_session_needs_instance_and_document_permission(
    server: Any, launch: Callable[..., str], iam_user: User
) -> None:
    first, second = launch(), launch()
    for instance in (first, second):
        server.await_online(instance)
    document = f"arn:aws:ssm:us-east-1:{ACCOUNT}:document/SSM-SessionManagerRunShell"
    ssm = iam_user(allow("ssm:StartSession", [f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{first}", document]))("ssm")
    assert ssm.start_session(Target=first)["SessionId"]
    denied(lambda: ssm.start_session(Target=second))
    denied(lambda: ssm.start_session(Target=first, DocumentName="AWS-StartPortForwardingSession"))
    no_document = iam_user(allow("ssm:StartSession", f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/*"))("ssm")
    denied(lambda: no_document.start_session(Target=first))


def test_launch_tags_are_conditions_and_need_create_tags(server: Any, iam_user: User) -> None:
    kinds = ("volume", "network-interface", "security-group", "subnet")
    used = [f"arn:aws:ec2:*:{ACCOUNT}:{kind}/*" for kind in kinds]
    instances, mine = f"arn:aws:ec2:*:{ACCOUNT}:instance/*", {"aws:RequestTag/project": "mine"}
    launch = (
        allow("ec2:RunInstances", ["arn:aws:ec2:*::image/*", *used]),
        allow("ec2:RunInstances", instances, StringEquals=mine),
    )
    tagging = allow("ec2:CreateTags", instances, StringEquals={**mine, "ec2:CreateAction": "RunInstances"})
    request = {"ImageId": server.image(), "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1, "DryRun": True}
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "project", "Value": "mine"}]}]
    ec2 = iam_user(*launch, tagging)("ec2")

    denied(lambda: ec2.run_instances(**request))
    denied(lambda: ec2.run_instances(**request, TagSpecifications=[{**tags[0], "ResourceType": "volume"}]))
    with pytest.raises(ClientError, match="DryRunOperation"):
        ec2.run_instances(**request, TagSpecifications=tags)
    without = iam_user(*launch)("ec2")
    message = denied(lambda: without.run_instances(**request, TagSpecifications=tags))
    assert f"ec2:CreateTags on resource: arn:aws:ec2:us-east-1:{ACCOUNT}:instance/*" in message
    # CreateTags of its own with the same tag is denied.
    denied(lambda: ec2.create_tags(Resources=["i-00000000000000001"], Tags=tags[0]["Tags"]))


def test_launch_needs_permission_for_the_instance_too(server: Any, iam_user: User) -> None:
    request = {"ImageId": server.image(), "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1, "DryRun": True}
    denied(lambda: iam_user(allow("ec2:RunInstances", "arn:aws:ec2:*::image/*"))("ec2").run_instances(**request))
    both = ["arn:aws:ec2:*::image/*", f"arn:aws:ec2:*:{ACCOUNT}:*/*"]
    with pytest.raises(ClientError, match="DryRunOperation"):
        iam_user(allow("ec2:RunInstances", both))("ec2").run_instances(**request)


@pytest.mark.parametrize("in_template", [False, True])
def test_launch_needs_pass_role(server: Any, iam_user: User, role: Any, in_template: bool) -> None:
    role("passed-role", trust={"Principal": {"Service": "ec2.amazonaws.com"}})
    owner = server.client("iam"), server.client("ec2")
    owner[0].create_instance_profile(InstanceProfileName="passed-profile")
    owner[0].add_role_to_instance_profile(InstanceProfileName="passed-profile", RoleName="passed-role")
    request: dict[str, Any] = {"ImageId": server.image(), "MinCount": 1, "MaxCount": 1, "DryRun": True}
    profile = {"IamInstanceProfile": {"Name": "passed-profile"}}
    if in_template:
        owner[1].create_launch_template(LaunchTemplateName="passing", LaunchTemplateData=profile)
        request["LaunchTemplate"] = {"LaunchTemplateName": "passing", "Version": "$Latest"}
    else:
        request |= profile
    try:
        message = denied(lambda: iam_user(allow("ec2:*"))("ec2").run_instances(**request))
        assert f"iam:PassRole on resource: arn:aws:iam::{ACCOUNT}:role/passed-role" in message
        to_ec2 = allow(
            "iam:PassRole",
            f"arn:aws:iam::{ACCOUNT}:role/passed-*",
            StringEquals={"iam:PassedToService": "ec2.amazonaws.com"},
        )
        with pytest.raises(ClientError, match="DryRunOperation"):
            iam_user(allow("ec2:*"), to_ec2)("ec2").run_instances(**request)
    finally:
        owner[0].remove_role_from_instance_profile(InstanceProfileName="passed-profile", RoleName="passed-role")
        owner[0].delete_instance_profile(InstanceProfileName="passed-profile")
        if in_template:
            owner[1].delete_launch_template(LaunchTemplateName="passing")


def test_session_of_a_role_may_do_what_the_role_may(server: Any, bucket: str, iam_user: User, role: Any) -> None:
    root = {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
    arn = role("reader", allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*"), trust=root)
    server.client("s3").put_object(Bucket=bucket, Key="k", Body=b"v")
    user = iam_user(allow("sts:AssumeRole", arn))
    denied(lambda: user("s3").get_object(Bucket=bucket, Key="k"))
    keys = user("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    s3 = server.client_of("s3", keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"v"
    message = denied(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"w"))
    assert f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/me" in message
    sts = server.client_of("sts", keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/me"
    line = server.ledger("--bucket", bucket, "--action", "GetObject")[-1]
    assert (line["source"], line["principal"]) == ("control-node", f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/me")


def test_wrong_or_missing_session_token_is_refused(server: Any, iam_user: User, role: Any) -> None:
    arn = role("tokens", allow("*"), trust={"Principal": {"AWS": "*"}})
    keys = iam_user(allow("sts:AssumeRole"))("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    for token in ("guess", None):
        sts = server.client_of("sts", keys["AccessKeyId"], keys["SecretAccessKey"], token)
        with pytest.raises(ClientError, match="InvalidClientTokenId"):
            sts.get_caller_identity()


def test_assume_role_needs_trust_and_permission(server: Any, iam_user: User, role: Any) -> None:
    for_ec2 = role("for-ec2", trust={"Principal": {"Service": "ec2.amazonaws.com"}})
    for_all = role("for-all", trust={"Principal": {"AWS": ACCOUNT}})
    user = iam_user(allow("sts:AssumeRole", [for_ec2, f"arn:aws:iam::{ACCOUNT}:role/other"]))("sts")
    denied(lambda: user.assume_role(RoleArn=for_ec2, RoleSessionName="me"))
    denied(lambda: user.assume_role(RoleArn=for_all, RoleSessionName="me"))
    denied(lambda: user.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/other", RoleSessionName="me"))
    owner = server.client("sts")
    assert owner.assume_role(RoleArn=for_all, RoleSessionName="me")["Credentials"]["SessionToken"]


def test_trust_by_name_suffices_unless_denied(server: Any, iam_user: User, role: Any) -> None:
    named, forbidden = iam_user(), iam_user(deny("sts:AssumeRole"))
    arns = [each("sts").get_caller_identity()["Arn"] for each in (named, forbidden)]
    by_name = role("by-name", allow("sts:AssumeRole"), trust={"Principal": {"AWS": arns}})
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    session = {"ArnEquals": {"aws:PrincipalArn": by_name}}
    by_root = role("by-root", trust={"Principal": root, "Condition": session})
    keys = named("sts").assume_role(RoleArn=by_name, RoleSessionName="me")["Credentials"]
    denied(lambda: forbidden("sts").assume_role(RoleArn=by_name, RoleSessionName="me"))
    # A trusted account with a condition on one role, which needs a permission as well.
    denied(lambda: named("sts").assume_role(RoleArn=by_root, RoleSessionName="me"))
    denied(lambda: server.client("sts").assume_role(RoleArn=by_root, RoleSessionName="me"))
    chained = server.client_of("sts", keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    assert chained.assume_role(RoleArn=by_root, RoleSessionName="me")["Credentials"]["SessionToken"]


def test_policies_of_groups_and_managed_policies_count(server: Any, iam_user: User) -> None:
    iam = server.client("iam")
    user = iam_user()
    name = user("sts").get_caller_identity()["Arn"].rpartition("/")[2]
    document = json.dumps({"Version": "2012-10-17", "Statement": allow("ec2:DescribeInstances")})
    managed = iam.create_policy(PolicyName="looking", PolicyDocument=document)["Policy"]["Arn"]
    iam.create_group(GroupName="lookers")
    iam.put_group_policy(GroupName="lookers", PolicyName="p", PolicyDocument=document.replace("Instances", "Volumes"))
    try:
        denied(user("ec2").describe_instances)
        iam.attach_user_policy(UserName=name, PolicyArn=managed)
        user("ec2").describe_instances()
        denied(user("ec2").describe_volumes)
        iam.add_user_to_group(GroupName="lookers", UserName=name)
        user("ec2").describe_volumes()
    finally:
        iam.remove_user_from_group(GroupName="lookers", UserName=name)
        iam.delete_group_policy(GroupName="lookers", PolicyName="p")
        iam.delete_group(GroupName="lookers")
        iam.detach_user_policy(UserName=name, PolicyArn=managed)
        iam.delete_policy(PolicyArn=managed)


def test_spot_service_linked_role_has_aws_name(server: Any) -> None:
    iam = server.client("iam")
    assert iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")["Role"]["RoleName"] == SPOT_ROLE
    iam.tag_role(RoleName=SPOT_ROLE, Tags=[{"Key": "made", "Value": "here"}])
    assert iam.list_role_tags(RoleName=SPOT_ROLE)["Tags"] == [{"Key": "made", "Value": "here"}]
    task = iam.delete_service_linked_role(RoleName=SPOT_ROLE)["DeletionTaskId"]
    assert iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName=SPOT_ROLE)
