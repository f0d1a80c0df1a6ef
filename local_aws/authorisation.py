"""Whether a caller may do what a request asks: identity policies, role passing, role trust.

Every resource of a request is judged by itself, with its own tags in the condition keys: one instance whose tags fit
opens no door for another named in the same request (IAM User Guide, "Policy evaluation logic").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from moto.iam.exceptions import NotFoundException
from moto.s3.models import s3_backends

from local_aws import ec2, errors, identity, policy
from local_aws.errors import AwsError
from local_aws.identity import Principal
from local_aws.requests import AwsRequest
from local_aws.state import ACCOUNT_ID

TagLookup = Callable[[str], dict[str, str]]
# Allowed to everybody, even against an explicit deny (STS API reference).
ALWAYS_ALLOWED = frozenset({"sts:GetCallerIdentity"})

# EC2 operations that hand the role of an instance profile to an instance.
PASSING = frozenset({"RunInstances", "RequestSpotInstances", "AssociateIamInstanceProfile"})


def authorise(request: AwsRequest, principal: Principal, tags_of: TagLookup) -> None:
    """Return if ``principal`` may make ``request``.

    Args:
        request: What is asked.
        principal: Who asks.
        tags_of: Returns the tags of an EC2 resource id.

    Raises:
        AwsError: Denied, or no known operation.
    """
    if request.permission in ALWAYS_ALLOWED:
        return
    if request.action == "Unknown":
        raise AwsError("UnknownOperationException", f"{request.method} {request.path} is no known operation", 400)
    policies = principal.policies()
    resources: Sequence[str | None] = request.resources or [None]
    for resource in resources:
        context = _context(request, principal, resource, tags_of)
        if not policy.evaluate(policies, request.permission, [resource] if resource else [], context):
            if _names_no_bucket(request):
                raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
            raise errors.access_denied(principal.arn, request.permission, resource or "*", request.protocol)
    for role, service in _passed_roles(request):
        context = {**_context(request, principal, None, tags_of), "iam:PassedToService": service}
        if not policy.evaluate(policies, "iam:PassRole", [role], context):
            raise errors.access_denied(principal.arn, "iam:PassRole", role, request.protocol)
    if request.permission == "sts:AssumeRole" and not _trusted(request, principal, tags_of):
        raise errors.access_denied(principal.arn, request.permission, request.resource, request.protocol)


def may_take(role_arn: str, service: str, source_arn: str) -> bool:
    """Whether a service, such as ``scheduler.amazonaws.com``, may take a role for what it does for ``source_arn``.

    That needs the role's trust only (IAM User Guide, "AWS service principals", "The confused deputy problem").
    """
    document = _trust_policy(role_arn)
    context = {"aws:SourceAccount": ACCOUNT_ID, "aws:SourceArn": source_arn}
    return document is not None and policy.trusts(document, [service], "sts:AssumeRole", context)


def _names_no_bucket(request: AwsRequest) -> bool:
    """Whether a request is about a bucket that nobody has: S3 says so even to who may not look into it."""
    if request.bucket is None or request.action == "CreateBucket":
        return False
    return request.bucket not in s3_backends[ACCOUNT_ID]["aws"].buckets


def _context(request: AwsRequest, principal: Principal, resource: str | None, tags_of: TagLookup) -> dict[str, str]:
    """The condition keys of one resource of a request."""
    context = {
        "aws:PrincipalArn": principal.arn,
        "aws:RequestedRegion": request.region,
        "aws:SecureTransport": "false",
        "aws:SourceIp": "127.0.0.1",
    }
    if request.permission == "cloudwatch:PutMetricData":
        context["cloudwatch:namespace"] = str(request.parameters.get("Namespace", ""))
    for name, value in _request_tags(request, resource).items():
        context[f"aws:RequestTag/{name}"] = value
    if resource and resource.startswith("arn:aws:ec2:"):
        for name, value in tags_of(resource.rpartition("/")[2]).items():
            for prefix in ("aws:ResourceTag", "ec2:ResourceTag", "ssm:resourceTag"):
                context[f"{prefix}/{name}"] = value
    return context


def _request_tags(request: AwsRequest, resource: str | None) -> dict[str, str]:
    """Tags that the request would put on ``resource``; at a launch each kind of resource has its own."""
    if request.permission != "ec2:RunInstances":
        return request.request_tags()
    kind = resource.rpartition(":")[2].partition("/")[0] if resource and resource.endswith("/*") else ""
    return ec2.launch_tags(request.parameters).get(kind, {})


def _passed_roles(request: AwsRequest) -> list[tuple[str, str]]:
    """Roles that the request hands to a service, each with that service's name (IAM User Guide, "PassRole")."""
    if request.service == "ec2" and request.action in PASSING:
        return [(role, "ec2.amazonaws.com") for role in ec2.passed_roles(request.parameters)]
    if request.service == "scheduler" and request.action in ("CreateSchedule", "UpdateSchedule"):
        target = request.parameters.get("Target")
        role = target.get("RoleArn") if isinstance(target, dict) else None
        return [(str(role), "scheduler.amazonaws.com")] if role else []
    if request.service == "ssm" and request.action == "StartAutomationExecution":
        roles = (request.parameters.get("Parameters") or {}).get("AutomationAssumeRole") or []
        return [(str(role), "ssm.amazonaws.com") for role in roles if role]
    return []


def _trusted(request: AwsRequest, principal: Principal, tags_of: TagLookup) -> bool:
    """Whether the trust policy of the role that is asked for lets ``principal`` have it."""
    document = _trust_policy(str(request.parameters.get("RoleArn", "")))
    context = _context(request, principal, None, tags_of)
    return document is not None and policy.trusts(document, principal.arns, request.permission, context)


def _trust_policy(role_arn: str) -> str | None:
    """The trust policy of a role, or None: AWS does not tell a role that is not there from one that does not trust."""
    try:
        document: Any = identity.iam().get_role_by_arn(role_arn).assume_role_policy_document
    except NotFoundException:
        return None
    return document if isinstance(document, str) else json.dumps(document)
