"""The instance profile's role trusts EC2, allows what the run needs, and in a preflight cannot write."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from ..aws.client import one_line
from .base import Finding, Status, worst
from .context import Context
from .simulation import Question, simulate

REMEDY = "create role and instance profile as in docs/real-aws.md, with the policies in files/iam"
# What the SSM agent needs before a session can be opened (AmazonSSMManagedInstanceCore allows it).
AGENT = Question(
    (
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    )
)
WRITES = ("s3:PutObject", "s3:DeleteObject")
# A simulation takes one key: this one stands for all keys of a prefix.
KEY = "spot-train-check"


def run(context: Context) -> Finding:
    """Check profile, role and trust, and simulate the role's policies."""
    settings, role = context.settings, context.role
    findings: list[tuple[Status, str]] = []
    if not trusts(role.get("AssumeRolePolicyDocument"), "ec2.amazonaws.com"):
        findings.append(("fail", f"role {role['RoleName']} does not trust ec2.amazonaws.com"))
    try:
        findings += _policies(context, role["Arn"])
    except ClientError as error:
        findings.append(("warn", f"cannot simulate the policies of role {role['RoleName']}: {one_line(error)}"))
    writes = f"can write {', '.join(settings.artefact_prefixes)}"
    cannot = "cannot write to the data bucket" if settings.preflight else writes
    return worst(findings, f"{settings.profile}: role {role['RoleName']} reads the data bucket, {cannot}")


def _policies(context: Context, role: str) -> list[tuple[Status, str]]:
    settings = context.settings
    data = settings.data_bucket
    prices, artefacts = f"{settings.arctic_prefix}/", settings.artefact_prefixes
    needed = [
        AGENT,
        Question(("s3:ListBucket",), (context.bucket_arn(data),)),
        Question(("s3:GetObject",), [context.bucket_arn(data, prefix + KEY) for prefix in (prices, *artefacts)]),
    ]
    if not settings.preflight:
        needed.append(Question(("s3:PutObject",), [context.bucket_arn(data, prefix + KEY) for prefix in artefacts]))
    findings: list[tuple[Status, str]] = []
    if lacking := simulate(context, role, needed):
        findings.append(("fail", f"the role may not {', '.join(lacking)}"))
    if settings.preflight:
        places = dict.fromkeys((prices, "", *artefacts))
        asked = Question(WRITES, [context.bucket_arn(data, place + KEY) for place in places])
        if could := simulate(context, role, [asked], allowed=True):
            findings.append(("fail", f"a preflight must not be able to write, but the role may {', '.join(could)}"))
    return findings


def trusts(document: Any, service: str) -> bool:
    """Whether a trust policy allows a service to assume the role."""
    statements = document.get("Statement", []) if isinstance(document, dict) else []
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        actions = statement.get("Action", [])
        ours = any(each.startswith(service) for each in _list(services))
        if ours and statement.get("Effect") == "Allow" and {"sts:AssumeRole", "sts:*", "*"} & set(_list(actions)):
            return True
    return False


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
