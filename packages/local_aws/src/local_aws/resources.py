"""The ARNs that a request acts on, for IAM.

Source: Service Authorization Reference, the table of actions of each service. The resource of an action without
resource types is ``*``: a statement that names an ARN does not allow it. ``local_aws.launch_access`` adds what a launch
takes from its launch template.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from local_aws.state import ACCOUNT_ID

if TYPE_CHECKING:
    from local_aws.requests import AwsRequest

ANY = "*"
EC2_RESOURCE_TYPES = {
    "i": "instance",
    "vol": "volume",
    "lt": "launch-template",
    "sir": "spot-instances-request",
    "sg": "security-group",
    "subnet": "subnet",
    "eni": "network-interface",
    "ami": "image",
}
EC2_ID = re.compile(r"^(i|vol|lt|sir|sg|subnet|eni|ami)-[0-9a-z]+$")
# What a launch creates; the ids are not known yet.
LAUNCHED = ("instance", "volume", "network-interface")

# The Describe actions of EC2 that have resource types; all others have none.
EC2_DESCRIBE_WITH_RESOURCES = frozenset(f"Describe{name}" for name in (
    "CapacityBlockExtensionHistory", "CapacityBlockExtensionOfferings", "ClientVpnAuthorizationRules",
    "ClientVpnConnections", "ClientVpnEndpoints", "ClientVpnRoutes", "ClientVpnTargetNetworks", "FleetHistory",
    "FleetInstances", "FpgaImageAttribute", "ImageAttribute", "InstanceAttribute", "SecurityGroupReferences",
    "SnapshotAttribute", "SpotFleetInstances", "SpotFleetRequestHistory", "VolumeAttribute", "VpcAttribute",
    "VpcEndpointAssociations", "VpcEndpointServicePermissions",
))  # fmt: skip
# Actions of other services without resource types.
WITHOUT_RESOURCE = frozenset({
    "cloudwatch:ListMetrics", "cloudwatch:PutMetricData", "iam:ListAccountAliases", "iam:ListUsers",
    "s3:ListAllMyBuckets", "scheduler:ListSchedules", "servicequotas:GetAWSDefaultServiceQuota",
    "servicequotas:GetServiceQuota", "ses:ListIdentities", "ssm:DescribeInstanceInformation",
    "sts:GetCallerIdentity", "tag:GetResources",
})  # fmt: skip


def of(request: AwsRequest) -> list[str]:
    """ARNs of a request; ``*`` if its action has no resource types, empty if they are not derived."""
    if has_none(request.permission):
        return [ANY]
    derive = _DERIVE.get(request.service)
    return derive(request) if derive else []


def has_none(permission: str) -> bool:
    """Whether an action such as ``ec2:DescribeInstances`` is known to have no resource types."""
    service, _, action = permission.partition(":")
    if service == "ec2" and action.startswith("Describe"):
        return action not in EC2_DESCRIBE_WITH_RESOURCES
    return permission in WITHOUT_RESOURCE


def ec2_arn(region: str, kind: str, name: str = ANY) -> str:
    """The ARN of an EC2 resource; images have no account."""
    return f"arn:aws:ec2:{region}:{'' if kind == 'image' else ACCOUNT_ID}:{kind}/{name}"


def ec2_arn_of(region: str, identifier: str) -> str | None:
    """The ARN of an EC2 id such as ``i-…``; None for other texts."""
    match = EC2_ID.match(identifier)
    return ec2_arn(region, EC2_RESOURCE_TYPES[match[1]], identifier) if match else None


def _s3(request: AwsRequest) -> list[str]:
    bucket, _, key = request.path.lstrip("/").partition("/")
    if not bucket:
        return []
    if request.action == "DeleteObjects":
        return [f"arn:aws:s3:::{bucket}/{name}" for name in request.parameters.get("Keys", [])]
    return [f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"]


def _ec2(request: AwsRequest) -> list[str]:
    if request.action == "CreateLaunchTemplate":
        return [ec2_arn(request.region, "launch-template")]  # its content is checked at launch
    named = [str(value) for name, value in request.parameters.items() if "Id" in name]
    found = [arn for arn in (ec2_arn_of(request.region, each) for each in named) if arn]
    if request.action == "RunInstances":
        found += [ec2_arn(request.region, kind) for kind in LAUNCHED]
    if request.action == "RequestSpotInstances":
        found.append(ec2_arn(request.region, "spot-instances-request"))
    return found


def _ssm(request: AwsRequest) -> list[str]:
    asked, prefix = request.parameters, f"arn:aws:ssm:{request.region}"
    if request.action == "StartSession":
        document = asked.get("DocumentName") or "SSM-SessionManagerRunShell"
        return [
            ec2_arn(request.region, "instance", str(asked.get("Target", ""))),
            f"{prefix}:{_owner(document)}:document/{document}",
        ]
    if request.action in ("TerminateSession", "ResumeSession"):
        return [f"{prefix}:{ACCOUNT_ID}:session/{asked.get('SessionId', '')}"]
    if request.action == "StartAutomationExecution":
        document = str(asked.get("DocumentName") or "")
        version = asked.get("DocumentVersion") or "$DEFAULT"
        return [
            f"{prefix}:{_owner(document)}:automation-definition/{document}:{version}",
            f"{prefix}:{ACCOUNT_ID}:automation-execution/*",
        ]
    if request.action == "GetAutomationExecution":
        return [f"{prefix}:{ACCOUNT_ID}:automation-execution/{asked.get('AutomationExecutionId', '')}"]
    if request.action in ("GetParameter", "GetParameters", "GetParameterHistory", "PutParameter", "DeleteParameter"):
        return [_parameter(prefix, str(name)) for name in asked.get("Names") or [asked.get("Name", "")]]
    if request.action == "GetParametersByPath":
        return [_parameter(prefix, str(asked.get("Path", "")))]
    return []


def _owner(document: str) -> str:
    """The account in the ARN of a document; AWS's own have none."""
    return "" if document.startswith("AWS-") else ACCOUNT_ID


def _parameter(prefix: str, name: str) -> str:
    """The ARN of a parameter; AWS's public ones have no account."""
    return f"{prefix}:{'' if name.startswith('/aws/') else ACCOUNT_ID}:parameter/{name.lstrip('/')}"


def _scheduler(request: AwsRequest) -> list[str]:
    kind, _, name = request.path.strip("/").partition("/")
    prefix = f"arn:aws:scheduler:{request.region}:{ACCOUNT_ID}"
    if kind == "schedules" and name:
        group = request.parameters.get("GroupName") or request.query.get("groupName", [""])[0] or "default"
        return [f"{prefix}:schedule/{group}/{name}"]
    if kind == "schedule-groups" and name:
        return [f"{prefix}:schedule-group/{name}"]
    return []


def _iam(request: AwsRequest) -> list[str]:
    if "PolicySourceArn" in request.parameters:
        return [str(request.parameters["PolicySourceArn"])]
    # Adding a role to a profile names both; the profile is the resource.
    for key, kind in (("InstanceProfileName", "instance-profile"), ("RoleName", "role"), ("UserName", "user")):
        if key in request.parameters:
            return [f"arn:aws:iam::{ACCOUNT_ID}:{kind}/{request.parameters[key]}"]
    return []


def _sns(request: AwsRequest) -> list[str]:
    topic = request.parameters.get("TopicArn") or request.parameters.get("TargetArn")
    return [str(topic)] if topic else []


def _ses(request: AwsRequest) -> list[str]:
    source = request.parameters.get("Source")
    return [f"arn:aws:ses:{request.region}:{ACCOUNT_ID}:identity/{source}"] if source else []


def _sts(request: AwsRequest) -> list[str]:
    return [str(request.parameters["RoleArn"])] if "RoleArn" in request.parameters else []


_DERIVE: dict[str, Callable[[Any], list[str]]] = {
    "s3": _s3,
    "ec2": _ec2,
    "ssm": _ssm,
    "iam": _iam,
    "scheduler": _scheduler,
    "sns": _sns,
    "ses": _ses,
    "sts": _sts,
}
