"""Authorises requests: identity policies, role passing, role trust.

A request asks the caller's policies one or more questions: one for each resource, with that resource's own tags in the
condition keys, one for the tags on what it creates, one for each role that it passes (IAM User Guide, "Policy
evaluation logic").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from moto.iam.exceptions import NotFoundException
from moto.s3.models import s3_backends

from local_aws import errors, identity, launch_access, policy
from local_aws.errors import AwsError
from local_aws.identity import Principal
from local_aws.launch_access import Launch, Part, request_tag_keys, specified_tags, tag_keys
from local_aws.policy import Value
from local_aws.requests import AwsRequest
from local_aws.resources import ANY, ec2_arn
from local_aws.state import ACCOUNT_ID

TagLookup = Callable[[str], dict[str, str]]
# Always allowed, even against an explicit deny (STS API reference).
ALWAYS_ALLOWED = frozenset({"sts:GetCallerIdentity"})

# EC2 operations that pass the role of an instance profile.
PASSING = frozenset({"RunInstances", "RequestSpotInstances", "AssociateIamInstanceProfile"})
READS = frozenset({"GetObject", "HeadObject"})
COPIES = frozenset({"CopyObject", "UploadPartCopy"})


@dataclass(frozen=True)
class Question:
    """A permission on a resource; None for a resource that is not derived, and so not checked."""

    permission: str
    resource: str | None
    context: dict[str, Value]


@dataclass(frozen=True)
class Decision:
    """A question and the answer of the caller's policies."""

    principal: Principal
    action: str
    question: Question
    allowed: bool


Observer = Callable[[Decision], None]
_observers: list[Observer] = []


def observe(observer: Observer) -> None:
    """Call ``observer`` with every decision from now on."""
    _observers.append(observer)


def authorise(request: AwsRequest, principal: Principal, tags_of: TagLookup) -> None:
    """Return if ``principal`` may make ``request``, else raise AwsError; ``tags_of`` gives the tags of an EC2 id."""
    if request.permission in ALWAYS_ALLOWED:
        return
    if request.action == "Unknown":
        raise AwsError("UnknownOperationException", f"{request.method} {request.path}: unknown operation", 400)
    policies = principal.policies()
    for question in questions(request, principal, tags_of):
        resources = [question.resource] if question.resource else []
        allowed = policy.evaluate(policies, question.permission, resources, question.context)
        for observer in _observers:
            observer(Decision(principal, request.action, question, allowed))
        if not allowed and not _trusted_by_name(request, principal, question, policies):
            if _names_no_bucket(request):
                raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
            resource = question.resource or ANY
            raise errors.access_denied(principal.arn, question.permission, resource, request.protocol)
    if request.permission == "sts:AssumeRole" and not _trusted(request, principal):
        raise errors.access_denied(principal.arn, request.permission, request.resource, request.protocol)


def questions(request: AwsRequest, principal: Principal, tags_of: TagLookup) -> Iterator[Question]:
    """The questions of a request, in the order in which they are decided."""
    common = _context(request, principal)
    for resource, keys in _parts(request):
        yield Question(request.permission, resource, {**common, **_tags_there(request, resource, tags_of), **keys})
    for resource, keys in _tagged_parts(request):
        yield Question("ec2:CreateTags", resource, {**common, **keys})
    if request.action in COPIES:
        source = unquote(request.headers.get("X-Amz-Copy-Source", "")).lstrip("/").partition("?")[0]
        yield Question("s3:GetObject", f"arn:aws:s3:::{source}", common)
    if bucket := _without_key(request):
        yield Question("s3:ListBucket", f"arn:aws:s3:::{bucket}", common)
    for role, keys in _passed_roles(request):
        yield Question("iam:PassRole", role, {**common, **keys})


def may_assume(role_arn: str, service: str, source_arn: str) -> bool:
    """Whether a service such as ``scheduler.amazonaws.com`` may assume a role on behalf of ``source_arn``.

    That needs the role's trust only (IAM User Guide, "AWS service principals", "The confused deputy problem").
    """
    document = _trust_policy(role_arn)
    context = {"aws:SourceAccount": ACCOUNT_ID, "aws:SourceArn": source_arn}
    return document is not None and policy.trusts(document, [service], "sts:AssumeRole", context)


def _names_no_bucket(request: AwsRequest) -> bool:
    """Whether a request names a bucket that does not exist: S3 reports that to every caller."""
    if request.bucket is None or request.action == "CreateBucket":
        return False
    return request.bucket not in s3_backends[ACCOUNT_ID]["aws"].buckets


def _without_key(request: AwsRequest) -> str | None:
    """The bucket of a request for a missing key: S3 reports that only to callers who may list the bucket."""
    bucket = s3_backends[ACCOUNT_ID]["aws"].buckets.get(request.bucket or "")
    if bucket is None or request.permission != "s3:GetObject" or request.action not in READS:
        return None
    return None if request.path.lstrip("/").partition("/")[2] in bucket.keys else str(request.bucket)


def _context(request: AwsRequest, principal: Principal) -> dict[str, Value]:
    context: dict[str, Value] = {
        "aws:PrincipalArn": principal.identity,
        "aws:RequestedRegion": request.region,
        "aws:SecureTransport": "false",
        "aws:SourceIp": "127.0.0.1",
    }
    if request.service == "ec2":
        context["ec2:Region"] = request.region
    if request.permission == "cloudwatch:PutMetricData":
        context["cloudwatch:namespace"] = str(request.parameters.get("Namespace", ""))
    return context


def _parts(request: AwsRequest) -> Iterator[tuple[str | None, dict[str, Value]]]:
    """Every resource of a request, with the condition keys of the tags that it would get."""
    if request.permission == "ec2:RunInstances":
        yield from Launch(request).parts()
        return
    if request.service != "ec2":
        yield from ((resource, {}) for resource in request.resources)
        if not request.resources:
            yield None, {}
        return
    specified = specified_tags(request.parameters)
    named: list[str | None] = [*request.resources, *launch_access.named_template(request)]
    for resource in named or [None]:
        if request.permission == "ec2:CreateTags":
            yield resource, request_tag_keys(request.request_tags())
        elif resource and resource.endswith("/*"):
            yield resource, tag_keys(specified, resource.split(":")[5].partition("/")[0])
        else:
            yield resource, {}


def _tagged_parts(request: AwsRequest) -> Iterator[Part]:
    """What an EC2 request creates with tags, which needs ``ec2:CreateTags`` as well."""
    if request.service != "ec2" or request.action == "CreateTags":
        return
    tags = Launch(request).tags() if request.action == "RunInstances" else specified_tags(request.parameters)
    for kind in sorted(tags):
        yield ec2_arn(request.region, kind), {"ec2:CreateAction": request.action, **tag_keys(tags, kind)}


def _tags_there(request: AwsRequest, resource: str | None, tags_of: TagLookup) -> dict[str, Value]:
    """The tags of an EC2 resource, in the condition keys of the service."""
    context: dict[str, Value] = {}
    if resource and resource.startswith("arn:aws:ec2:"):
        own = {"ec2": "ec2:ResourceTag", "ssm": "ssm:resourceTag"}.get(request.service)
        for name, value in tags_of(resource.rpartition("/")[2]).items():
            for prefix in filter(None, ("aws:ResourceTag", own)):
                context[f"{prefix}/{name}"] = value
    return context


def _passed_roles(request: AwsRequest) -> Iterator[Part]:
    """Roles that the request passes to a service, with that service's name (IAM User Guide, "PassRole")."""
    if request.service == "ec2" and request.action in PASSING:
        instance = ec2_arn(request.region, "instance")
        for role in Launch(request).passed_roles():
            yield role, {"iam:PassedToService": "ec2.amazonaws.com", "iam:AssociatedResourceArn": instance}
    if request.service == "scheduler" and request.action in ("CreateSchedule", "UpdateSchedule"):
        target = request.parameters.get("Target")
        given = target.get("RoleArn") if isinstance(target, dict) else None
        if given:
            yield str(given), {"iam:PassedToService": "scheduler.amazonaws.com"}
    if request.service == "ssm" and request.action == "StartAutomationExecution":
        for each in (request.parameters.get("Parameters") or {}).get("AutomationAssumeRole") or []:
            if each:
                yield str(each), {"iam:PassedToService": "ssm.amazonaws.com"}


def _trusted(request: AwsRequest, principal: Principal) -> bool:
    document = _trust_policy(str(request.parameters.get("RoleArn", "")))
    context = _context(request, principal)
    return document is not None and policy.trusts(document, principal.arns, request.permission, context)


def _trusted_by_name(request: AwsRequest, principal: Principal, question: Question, policies: list[str]) -> bool:
    """Whether the trust policy of a role names the caller, which suffices without a policy of the caller's own.

    Within one account a resource-based policy that names the caller, not just the account, suffices unless a policy of
    the caller denies it (IAM User Guide, "Policy evaluation for requests within a single account").
    """
    if request.permission != "sts:AssumeRole":
        return False
    said = policy.decide(policies, question.permission, question.resource or ANY, question.context)
    document = _trust_policy(str(request.parameters.get("RoleArn", "")))
    if said == policy.EXPLICIT_DENY or document is None:
        return False
    return policy.trusts(document, principal.own_arns, question.permission, question.context, by_name=True)


def _trust_policy(role_arn: str) -> str | None:
    """The trust policy of a role; None without the role, which AWS reports as a role that does not trust."""
    try:
        document: Any = identity.iam().get_role_by_arn(role_arn).assume_role_policy_document
    except NotFoundException:
        return None
    return document if isinstance(document, str) else json.dumps(document)
