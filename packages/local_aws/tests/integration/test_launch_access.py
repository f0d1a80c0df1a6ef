"""Resources and condition keys of a launch, from the request and the template."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

ACCOUNT = "123456789012"
User = Callable[..., Callable[[str], Any]]
KINDS = ("instance", "volume", "network-interface", "security-group", "subnet", "launch-template")
EVERYTHING = {"Effect": "Allow", "Action": ["ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"], "Resource": "*"}


def never(kind: str, **condition: Any) -> dict[str, Any]:
    """A statement that denies a launch with a resource of this type, on a condition."""
    account = "" if kind == "image" else ACCOUNT
    arn = f"arn:aws:ec2:us-east-1:{account}:{kind}/*"
    return {"Effect": "Deny", "Action": "ec2:RunInstances", "Resource": arn, "Condition": condition}


@pytest.fixture(scope="module")
def template(server: Any) -> Iterator[str]:
    """A launch template with most of its options."""
    ec2 = server.client("ec2")
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    made = ec2.create_launch_template(
        LaunchTemplateName="described",
        LaunchTemplateData={
            "ImageId": server.image(),
            "InstanceType": "c5.large",
            "SecurityGroupIds": [group],
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 30, "Encrypted": True}}],
            "TagSpecifications": [{"ResourceType": "volume", "Tags": [{"Key": "disk", "Value": "template"}]}],
        },
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": [{"Key": "project", "Value": "mine"}]}],
    )
    yield str(made["LaunchTemplate"]["LaunchTemplateId"])
    ec2.delete_launch_template(LaunchTemplateName="described")


@pytest.fixture
def allowed(template: str, iam_user: User) -> Callable[..., bool]:
    """Whether a launch from the template is allowed with full permissions and some deny statements."""

    def ask(*forbidden: dict[str, Any], **more: Any) -> bool:
        ec2 = iam_user(EVERYTHING, *forbidden)("ec2")
        request = {"LaunchTemplate": {"LaunchTemplateId": template}, "MinCount": 1, "MaxCount": 1, "DryRun": True}
        with pytest.raises(ClientError) as caught:
            ec2.run_instances(**{**request, **more})
        code = caught.value.response["Error"]["Code"]
        assert code in ("DryRunOperation", "UnauthorizedOperation"), code
        return bool(code == "DryRunOperation")

    return ask


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("instance", "ec2:InstanceType", "c5.large"),
        ("instance", "ec2:MetadataHttpTokens", "required"),
        ("instance", "ec2:MetadataHttpPutResponseHopLimit", "1"),
        ("instance", "ec2:InstanceMarketType", "on-demand"),
        ("instance", "ec2:IsLaunchTemplateResource", "true"),
        ("image", "ec2:Owner", "amazon"),
        ("image", "ec2:Public", "true"),
        ("volume", "ec2:Encrypted", "true"),
        ("volume", "ec2:VolumeSize", "30"),
        ("volume", "aws:RequestTag/disk", "template"),
        ("volume", "aws:TagKeys", "disk"),
        ("launch-template", "aws:ResourceTag/project", "mine"),
        ("security-group", "ec2:IsLaunchTemplateResource", "true"),
        *((kind, "ec2:LaunchTemplate", f"arn:aws:ec2:us-east-1:{ACCOUNT}:launch-template/lt-*") for kind in KINDS),
    ],
)
def test_template_values_are_condition_keys(allowed: Callable[..., bool], kind: str, key: str, value: str) -> None:
    assert not allowed(never(kind, StringLike={key: value}))
    assert allowed(never(kind, StringLike={key: "another"}))


@pytest.mark.parametrize(
    ("kind", "condition", "more"),
    [
        ("instance", {"ec2:InstanceType": "m5.large"}, {"InstanceType": "m5.large"}),
        ("instance", {"ec2:MetadataHttpTokens": "optional"}, {"MetadataOptions": {"HttpTokens": "optional"}}),
        (
            "volume",
            {"ec2:Encrypted": "false"},
            {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "Encrypted": False}}]},
        ),
        (
            "volume",
            {"aws:RequestTag/disk": "request"},
            {"TagSpecifications": [{"ResourceType": "volume", "Tags": [{"Key": "disk", "Value": "request"}]}]},
        ),
        ("instance", {"ec2:InstanceMarketType": "spot"}, {"InstanceMarketOptions": {"MarketType": "spot"}}),
        (
            "spot-instances-request",
            {"aws:RequestTag/a": "b"},
            {
                "InstanceMarketOptions": {"MarketType": "spot"},
                "TagSpecifications": [{"ResourceType": "spot-instances-request", "Tags": [{"Key": "a", "Value": "b"}]}],
            },
        ),
    ],
)
def test_request_values_override_template_in_conditions(
    allowed: Callable[..., bool], kind: str, condition: dict[str, str], more: dict[str, Any]
) -> None:
    forbidden = never(kind, StringEquals=condition)
    assert allowed(forbidden)
    assert not allowed(forbidden, **more)


def test_template_tags_need_create_tags(template: str, iam_user: User) -> None:
    request = {"LaunchTemplate": {"LaunchTemplateId": template}, "MinCount": 1, "MaxCount": 1, "DryRun": True}
    launch = {"Effect": "Allow", "Action": "ec2:RunInstances", "Resource": "*"}
    with pytest.raises(ClientError, match=r"ec2:CreateTags on resource: arn:aws:ec2:us-east-1:123456789012:volume/\*"):
        iam_user(launch)("ec2").run_instances(**request)


def test_template_tags_condition_creation_and_deletion(server: Any, iam_user: User) -> None:
    mine = {"StringEquals": {"aws:RequestTag/project": "mine"}}
    ours = {"StringEquals": {"aws:ResourceTag/project": "mine"}}
    arn = f"arn:aws:ec2:*:{ACCOUNT}:launch-template/*"
    made_by = {"StringEquals": {**mine["StringEquals"], "ec2:CreateAction": "CreateLaunchTemplate"}}
    ec2 = iam_user(
        {"Effect": "Allow", "Action": "ec2:CreateLaunchTemplate", "Resource": arn, "Condition": mine},
        {"Effect": "Allow", "Action": "ec2:CreateTags", "Resource": arn, "Condition": made_by},
        {"Effect": "Allow", "Action": "ec2:DeleteLaunchTemplate", "Resource": arn, "Condition": ours},
    )("ec2")
    tags = [{"ResourceType": "launch-template", "Tags": [{"Key": "project", "Value": "mine"}]}]
    data = {"InstanceType": "c5.large"}

    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        ec2.create_launch_template(LaunchTemplateName="plain", LaunchTemplateData=data)
    ec2.create_launch_template(LaunchTemplateName="tagged", LaunchTemplateData=data, TagSpecifications=tags)
    server.client("ec2").create_launch_template(LaunchTemplateName="others", LaunchTemplateData=data)
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        ec2.delete_launch_template(LaunchTemplateName="others")
    ec2.delete_launch_template(LaunchTemplateName="tagged")
    server.client("ec2").delete_launch_template(LaunchTemplateName="others")


def test_copy_needs_read_permission_on_source(server: Any, bucket: str, iam_user: User) -> None:
    server.client("s3").put_object(Bucket=bucket, Key="secret/a", Body=b"1")
    arn = f"arn:aws:s3:::{bucket}"
    s3 = iam_user(
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"{arn}/*"},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{arn}/open/*"},
    )("s3")
    s3.put_object(Bucket=bucket, Key="open/a", Body=b"2")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/open/a")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/secret/a")


def test_missing_key_is_reported_only_with_list_permission(bucket: str, iam_user: User) -> None:
    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    list_ = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"}
    with pytest.raises(ClientError, match="s3:ListBucket"):
        iam_user(read)("s3").get_object(Bucket=bucket, Key="nothing")
    with pytest.raises(ClientError, match="NoSuchKey"):
        iam_user(read, list_)("s3").get_object(Bucket=bucket, Key="nothing")


def test_action_without_resource_types_needs_a_wildcard(iam_user: User) -> None:
    arn = f"arn:aws:ec2:*:{ACCOUNT}:instance/*"
    one, all_ = ({"Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": each} for each in (arn, "*"))
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        iam_user(one)("ec2").describe_instances(InstanceIds=["i-00000000000000001"])
    with pytest.raises(ClientError, match="InvalidInstanceID"):
        iam_user(all_)("ec2").describe_instances(InstanceIds=["i-00000000000000001"])


def test_public_parameter_belongs_to_no_account(iam_user: User) -> None:
    name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    public, own = f"arn:aws:ssm:us-east-1::parameter{name}", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter{name}"
    clients = [iam_user({"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": arn}) for arn in (public, own)]
    assert clients[0]("ssm").get_parameter(Name=name)["Parameter"]["Name"] == name
    with pytest.raises(ClientError, match="AccessDenied"):
        clients[1]("ssm").get_parameter(Name=name)


def test_decisions_are_logged_with_their_context(new_server: Callable[..., Any]) -> None:
    server = new_server()
    server.start("--decisions")
    server.client("ec2").describe_regions()
    lines = [json.loads(line) for line in (server.home / "decisions.jsonl").read_text().splitlines()]
    (asked,) = [line for line in lines if line["action"] == "DescribeRegions"]
    assert (asked["user"], asked["role"], asked["allowed"]) == ("local-operator", None, True)
    assert (asked["permission"], asked["resource"]) == ("ec2:DescribeRegions", "*")
    assert asked["context"]["ec2:Region"] == "us-east-1"
