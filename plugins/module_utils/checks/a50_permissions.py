"""The control node is allowed every action of a run, simulated with the resources and tags of its use."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from ..aws.client import one_line
from .base import Finding, Unavailable
from .context import Context
from .simulation import Question, simulate

REMEDY = "attach the policy files/iam/control_node.json to the control node's role, filled in as in docs/real-aws.md"
DESCRIBE = (
    "ec2:DescribeImages",
    "ec2:DescribeInstances",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeLaunchTemplates",
    "ec2:DescribeLaunchTemplateVersions",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSpotInstanceRequests",
    "ec2:DescribeSpotPriceHistory",
    "ec2:DescribeSubnets",
    "ec2:DescribeVolumes",
)
SOME_INSTANCE = "i-0123456789abcdef0"
SOME_VOLUME = "vol-0123456789abcdef0"
SOME_REQUEST = "sir-01234567"
SOME_RUN = "20260131T090000Z-0a1b2c"


def run(context: Context) -> Finding:
    """Simulate the caller's own policies."""
    caller = context.caller
    if caller["Arn"].endswith(":root"):
        return Finding(
            "warn",
            "the account's root user is allowed everything, and IAM cannot simulate it",
            "use a user or role with only files/iam/control_node.json",
        )
    asked = questions(context)
    try:
        lacking = simulate(context, principal(context), asked)
    except ClientError as error:
        return Finding(
            "warn",
            f"cannot simulate the policies of {caller['Arn']}: {one_line(error)}",
            "allow the control node to simulate its own and the instance roles' policies (files/iam/control_node.json)",
        )
    if lacking:
        return Finding("fail", f"{len(lacking)} denied: {', '.join(lacking)}")
    actions = {action for each in asked for action in each.actions}
    return Finding("pass", f"all {len(actions)} actions of a run are allowed")


def principal(context: Context) -> str:
    """The ARN of the user or role whose policies apply to the caller.

    A role session's ARN (``arn:aws:sts::…:assumed-role/<role>/<session>``) lacks the role's path; IAM may know it.
    """
    arn = context.caller["Arn"]
    kind, _, rest = arn.partition(":assumed-role/")
    if not rest:
        return arn
    name = rest.split("/")[0]
    try:
        return str(context.client("iam").get_role(RoleName=name)["Role"]["Arn"])
    except ClientError:
        return f"{kind.replace(':sts:', ':iam:')}:role/{name}"


def questions(context: Context) -> list[Question]:
    """The actions of a run, as questions to the simulator."""
    settings, caller = context.settings, context.caller
    region: dict[str, Any] = {"aws:RequestedRegion": settings.region}
    tagged = {**region, **{f"{key}/project": settings.project for key in ("aws:ResourceTag", "ec2:ResourceTag")}}
    tags = {f"aws:RequestTag/{name}": value for name, value in settings.tags.items()}
    launch = {**region, **tags, "aws:TagKeys": list(settings.tags)}
    kinds = ("instance", "volume", *(("spot-instances-request",) if "spot" in settings.markets else ()))
    launched = [context.arn("ec2", f"{kind}/*") for kind in kinds]
    template = [context.arn("ec2", "launch-template/*")]
    instance = context.arn("ec2", f"instance/{SOME_INSTANCE}")
    # Sessions are named after the caller; some policies allow a caller only its own sessions.
    name = caller["Arn"].rpartition("/")[2]
    who = {**region, "aws:username": name, "aws:userid": caller["UserId"]}
    sessions = [context.arn("ssm", f"session/{name}-0123456789abcdef0")]
    shell = [instance, context.arn("ssm", "document/SSM-SessionManagerRunShell")]
    spot = [context.arn("ec2", f"spot-instances-request/{SOME_REQUEST}")]
    transport = [context.bucket_arn(settings.transport_bucket, f"{SOME_INSTANCE}/spot-train-check")]
    buckets = [context.bucket_arn(bucket) for bucket in (settings.data_bucket, settings.transport_bucket)]
    return [
        Question(DESCRIBE, conditions=region),
        Question(("ssm:GetParameter",), [_parameter(context)], region),
        Question(("ec2:CreateLaunchTemplate",), template, launch),
        Question(("ec2:CreateTags",), template, {**launch, "ec2:CreateAction": "CreateLaunchTemplate"}),
        # The check "launch" covers image and network by a dry run.
        Question(("ec2:RunInstances",), launched[:1], {**launch, "ec2:MetadataHttpTokens": "required"}),
        Question(("ec2:RunInstances",), launched[1:], launch),
        Question(("ec2:RunInstances", "ec2:DeleteLaunchTemplate"), template, tagged),
        Question(("ec2:CreateTags",), launched, {**launch, "ec2:CreateAction": "RunInstances"}),
        *_profile(context),
        Question(("ssm:StartSession",), shell, {**tagged, "ssm:resourceTag/project": settings.project}),
        Question(("ssm:TerminateSession", "ssm:ResumeSession"), sessions, who),
        Question(("s3:ListBucket",), buckets, region),
        # The digest that proves a read-only preflight lists incomplete uploads, too.
        Question(("s3:ListBucketMultipartUploads",), buckets[:1], region),
        Question(("s3:GetObject", "s3:PutObject", "s3:DeleteObject"), transport, region),
        Question(("ec2:TerminateInstances",), [instance], tagged),
        Question(("ec2:DeleteVolume",), [context.arn("ec2", f"volume/{SOME_VOLUME}")], tagged),
        Question(("ec2:CancelSpotInstanceRequests",), spot, tagged),
        # Also without an expiry role: a sweep looks for the schedule of every run.
        Question(("scheduler:DeleteSchedule", "scheduler:GetSchedule"), [_schedule(context)], region),
        *_expiry(context),
    ]


def _profile(context: Context) -> list[Question]:
    """Passing the role to the instance; empty if there is no role, which another check reports."""
    try:
        profile, role = context.profile, context.role
    except Unavailable:
        return []
    return [
        Question(("iam:GetInstanceProfile",), [profile["Arn"]]),
        Question(("iam:PassRole",), [role["Arn"]], {"iam:PassedToService": "ec2.amazonaws.com"}),
    ]


def _expiry(context: Context) -> list[Question]:
    """Creating the expiry schedule, if one is configured."""
    if not context.settings.expiry_role:
        return []
    role = context.arn("iam", f"role/{context.settings.expiry_role}").replace(f":{context.settings.region}:", "::")
    return [
        Question(("scheduler:CreateSchedule", "scheduler:UpdateSchedule"), [_schedule(context)]),
        Question(("iam:PassRole",), [role], {"iam:PassedToService": "scheduler.amazonaws.com"}),
    ]


def _schedule(context: Context) -> str:
    """The ARN of a run's schedule."""
    return context.arn("scheduler", f"schedule/default/{context.settings.project}-{SOME_RUN}")


def _parameter(context: Context) -> str:
    """The ARN of the image's parameter; AWS's public ones have no account."""
    name = context.settings.image_parameter
    arn = context.arn("ssm", f"parameter/{name.lstrip('/')}")
    return arn.replace(f":{context.caller['Account']}:", "::") if name.startswith("/aws/") else arn
