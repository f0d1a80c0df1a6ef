"""Parsing of requests: operation, permission, resources, tags."""

from __future__ import annotations

import io
import json
from typing import Any
from urllib.parse import urlencode, urlsplit

import boto3
import pytest
from botocore.config import Config

from local_aws.requests import AwsRequest, parse

EC2 = "arn:aws:ec2:us-east-1:123456789012"
SCHEDULER = "arn:aws:scheduler:us-east-1:123456789012"
SESSION = boto3.session.Session()
I1 = "i-00000000000000001"


def environ(method: str, url: str, body: bytes = b"", **headers: str) -> dict[str, Any]:
    """A WSGI environment like werkzeug's."""
    parts = urlsplit(url)
    made: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": parts.path,
        "QUERY_STRING": parts.query,
        "REQUEST_URI": parts.path + (f"?{parts.query}" if parts.query else ""),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    return made | {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}


class Sent(Exception):
    """Stops boto3 before it sends a request."""


def understood(service: str, operation: str, **parameters: Any) -> AwsRequest:
    """The request that boto3 makes for an operation, as ``parse`` understands it."""
    client = SESSION.client(
        service,
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(s3={"addressing_style": "path"}),
    )
    caught: list[Any] = []

    def stop(request: Any, **_: Any) -> None:
        caught.append(request)
        raise Sent

    client.meta.events.register("before-send", stop)
    with pytest.raises(Sent):
        getattr(client, operation)(**parameters)
    request = caught[0]
    body = request.body or b""
    body = body.read() if hasattr(body, "read") else body.encode() if isinstance(body, str) else body
    headers = {k: v.decode() if isinstance(v, bytes) else str(v) for k, v in request.headers.items()}
    return parse(environ(request.method, request.url, body, **headers))


@pytest.mark.parametrize(
    ("operation", "parameters", "action", "permission", "key"),
    [
        ("list_buckets", {}, "ListBuckets", "ListAllMyBuckets", None),
        ("create_bucket", {"Bucket": "b00"}, "CreateBucket", "CreateBucket", ""),
        ("delete_bucket", {"Bucket": "b00"}, "DeleteBucket", "DeleteBucket", ""),
        ("head_bucket", {"Bucket": "b00"}, "HeadBucket", "ListBucket", ""),
        ("list_objects", {"Bucket": "b00"}, "ListObjects", "ListBucket", ""),
        ("list_objects_v2", {"Bucket": "b00", "Prefix": "p"}, "ListObjectsV2", "ListBucket", ""),
        ("list_object_versions", {"Bucket": "b00"}, "ListObjectVersions", "ListBucketVersions", ""),
        ("get_bucket_location", {"Bucket": "b00"}, "GetBucketLocation", "GetBucketLocation", ""),
        ("get_bucket_encryption", {"Bucket": "b00"}, "GetBucketEncryption", "GetEncryptionConfiguration", ""),
        ("get_bucket_versioning", {"Bucket": "b00"}, "GetBucketVersioning", "GetBucketVersioning", ""),
        ("get_object", {"Bucket": "b00", "Key": "a/b c"}, "GetObject", "GetObject", "a/b c"),
        ("head_object", {"Bucket": "b00", "Key": "k"}, "HeadObject", "GetObject", "k"),
        ("put_object", {"Bucket": "b00", "Key": "k", "Body": b"x"}, "PutObject", "PutObject", "k"),
        ("delete_object", {"Bucket": "b00", "Key": "k"}, "DeleteObject", "DeleteObject", "k"),
        ("copy_object", {"Bucket": "b00", "Key": "k", "CopySource": "b00/s"}, "CopyObject", "PutObject", "k"),
        ("create_multipart_upload", {"Bucket": "b00", "Key": "k"}, "CreateMultipartUpload", "PutObject", "k"),
        (
            "upload_part",
            {"Bucket": "b00", "Key": "k", "UploadId": "u", "PartNumber": 1, "Body": b"x"},
            "UploadPart",
            "PutObject",
            "k",
        ),
        ("list_parts", {"Bucket": "b00", "Key": "k", "UploadId": "u"}, "ListParts", "ListMultipartUploadParts", "k"),
        ("get_object_tagging", {"Bucket": "b00", "Key": "k"}, "GetObjectTagging", "GetObjectTagging", "k"),
    ],
)
def test_s3_operations_are_recognised(
    operation: str, parameters: dict[str, Any], action: str, permission: str, key: str | None
) -> None:
    request = understood("s3", operation, **parameters)
    assert (request.action, request.permission) == (action, f"s3:{permission}")
    arn = "arn:aws:s3:::b00" + (f"/{key}" if key else "")
    assert request.resources == (["*"] if key is None else [arn])
    assert request.bucket == (None if key is None else "b00")


def test_bulk_delete_names_its_keys_and_keeps_its_body() -> None:
    body = b'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a&amp;b</Key></Object></Delete>'
    credential = "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/s3/aws4_request"
    made = environ("POST", "/b00?delete", body, authorization=credential)
    request = parse(made)
    assert (request.action, request.resources) == ("DeleteObjects", ["arn:aws:s3:::b00/a&b"])
    assert made["wsgi.input"].read() == body
    assert parse(environ("POST", "/b00?delete", b"<oops", authorization=credential)).resources == []


def test_launch_names_what_it_uses_and_what_it_makes() -> None:
    tags = [
        {"ResourceType": "instance", "Tags": [{"Key": "run", "Value": "r"}, {"Key": "empty", "Value": ""}]},
        {"ResourceType": "volume", "Tags": [{"Key": "disk", "Value": "d"}]},
    ]
    request = understood(
        "ec2",
        "run_instances",
        ImageId="ami-1",
        SubnetId="subnet-2",
        SecurityGroupIds=["sg-3"],
        LaunchTemplate={"LaunchTemplateId": "lt-4"},
        MinCount=1,
        MaxCount=1,
        TagSpecifications=tags,
        DryRun=True,
    )
    assert (request.service, request.action, request.protocol) == ("ec2", "RunInstances", "ec2")
    assert set(request.resources) == {
        "arn:aws:ec2:us-east-1::image/ami-1",
        *(f"{EC2}:{name}" for name in ("subnet/subnet-2", "security-group/sg-3", "launch-template/lt-4")),
        *(f"{EC2}:{kind}/*" for kind in ("instance", "volume", "network-interface")),
    }
    assert request.request_tags() == {"run": "r", "empty": "", "disk": "d"}
    assert request.dry_run


@pytest.mark.parametrize(
    ("operation", "parameters", "resources"),
    [
        ("terminate_instances", {"InstanceIds": ["i-1", "i-2"]}, [f"{EC2}:instance/i-1", f"{EC2}:instance/i-2"]),
        ("describe_instances", {"Filters": [{"Name": "instance-id", "Values": ["i-1"]}]}, ["*"]),
        ("delete_volume", {"VolumeId": "vol-1"}, [f"{EC2}:volume/vol-1"]),
        (
            "cancel_spot_instance_requests",
            {"SpotInstanceRequestIds": ["sir-1"]},
            [f"{EC2}:spot-instances-request/sir-1"],
        ),
        (
            "create_tags",
            {"Resources": ["i-1", "vol-2"], "Tags": [{"Key": "k", "Value": "v"}]},
            [f"{EC2}:instance/i-1", f"{EC2}:volume/vol-2"],
        ),
    ],
)
def test_ec2_operations_name_their_resources(operation: str, parameters: Any, resources: list[str]) -> None:
    request = understood("ec2", operation, **parameters)
    assert request.action == "".join(part.title() for part in operation.split("_"))
    assert request.resources == resources
    assert not request.dry_run


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "permission", "resources"),
    [
        ("iam", "get_role", {"RoleName": "r"}, "iam:GetRole", ["arn:aws:iam::123456789012:role/r"]),
        (
            "iam",
            "get_instance_profile",
            {"InstanceProfileName": "p"},
            "iam:GetInstanceProfile",
            ["arn:aws:iam::123456789012:instance-profile/p"],
        ),
        ("iam", "list_users", {}, "iam:ListUsers", ["*"]),
        (
            "sts",
            "assume_role",
            {"RoleArn": "arn:aws:iam::123456789012:role/r", "RoleSessionName": "me"},
            "sts:AssumeRole",
            ["arn:aws:iam::123456789012:role/r"],
        ),
        (
            "ssm",
            "start_session",
            {"Target": I1},
            "ssm:StartSession",
            [f"{EC2}:instance/{I1}", "arn:aws:ssm:us-east-1:123456789012:document/SSM-SessionManagerRunShell"],
        ),
        (
            "ssm",
            "terminate_session",
            {"SessionId": "me-1"},
            "ssm:TerminateSession",
            ["arn:aws:ssm:us-east-1:123456789012:session/me-1"],
        ),
        (
            "ssm",
            "get_parameter",
            {"Name": "/a/b"},
            "ssm:GetParameter",
            ["arn:aws:ssm:us-east-1:123456789012:parameter/a/b"],
        ),
        ("ssm", "describe_instance_information", {}, "ssm:DescribeInstanceInformation", ["*"]),
        ("cloudwatch", "list_metrics", {}, "cloudwatch:ListMetrics", ["*"]),
        (
            "cloudwatch",
            "put_metric_data",
            {"Namespace": "n", "MetricData": [{"MetricName": "m", "Value": 1.0}]},
            "cloudwatch:PutMetricData",
            ["*"],
        ),
        ("scheduler", "list_schedules", {}, "scheduler:ListSchedules", ["*"]),
        ("scheduler", "get_schedule", {"Name": "s"}, "scheduler:GetSchedule", [f"{SCHEDULER}:schedule/default/s"]),
        (
            "scheduler",
            "delete_schedule",
            {"Name": "s", "GroupName": "g"},
            "scheduler:DeleteSchedule",
            [f"{SCHEDULER}:schedule/g/s"],
        ),
        (
            "scheduler",
            "delete_schedule_group",
            {"Name": "g"},
            "scheduler:DeleteScheduleGroup",
            [f"{SCHEDULER}:schedule-group/g"],
        ),
        (
            "ssm",
            "start_automation_execution",
            {"DocumentName": "AWS-TerminateEC2Instance"},
            "ssm:StartAutomationExecution",
            [
                "arn:aws:ssm:us-east-1::automation-definition/AWS-TerminateEC2Instance:$DEFAULT",
                "arn:aws:ssm:us-east-1:123456789012:automation-execution/*",
            ],
        ),
        ("sns", "publish", {"TopicArn": "arn:t", "Message": "m"}, "sns:Publish", ["arn:t"]),
        ("ses", "list_identities", {}, "ses:ListIdentities", ["*"]),
    ],
)
def test_other_services_are_understood(
    service: str, operation: str, parameters: dict[str, Any], permission: str, resources: list[str]
) -> None:
    request = understood(service, operation, **parameters)
    assert (request.permission, request.resources) == (permission, resources)
    assert request.resource == (" ".join(resources) or "*")


def test_schedule_keeps_its_body_and_shows_its_role() -> None:
    request = understood(
        "scheduler",
        "create_schedule",
        Name="end",
        ScheduleExpression="at(2026-01-01T00:00:00)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": "arn:t", "RoleArn": "arn:aws:iam::123456789012:role/end", "Input": json.dumps({})},
    )
    assert request.action == "CreateSchedule"
    assert request.parameters["Target"]["RoleArn"] == "arn:aws:iam::123456789012:role/end"
    assert request.resources == [f"{SCHEDULER}:schedule/default/end"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{oops", b"\xff\xfe"])
def test_non_json_body_has_no_parameters(body: bytes) -> None:
    credential = "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/ssm/aws4_request"
    headers = {"authorization": credential, "x-amz-target": "AmazonSSM.StartSession"}
    request = parse(environ("POST", "/", body, **headers))
    assert (request.permission, request.parameters) == ("ssm:StartSession", {})


def test_unsigned_request_has_no_key() -> None:
    request = parse(environ("GET", "/bucket/key"))
    assert (request.access_key_id, request.service, request.action) == (None, "s3", "GetObject")
    form = urlencode({"Action": "DescribeInstances", "InstanceId.1": I1}).encode()
    credential = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/ec2/aws4_request, SignedHeaders=host"
    request = parse(environ("POST", "/", form, authorization=credential))
    assert (request.access_key_id, request.region, request.action) == ("AKIA", "eu-west-1", "DescribeInstances")
    assert request.resources == ["*"]  # DescribeInstances has no resource types
