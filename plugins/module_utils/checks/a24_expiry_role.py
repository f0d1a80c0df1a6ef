"""The role of the expiry schedule exists, and both services that need it can assume it."""

from __future__ import annotations

from botocore.exceptions import ClientError

from ..aws.client import code_of
from .a21_instance_profile import trusts
from .base import Finding
from .context import Context

REMEDY = (
    "create the role with files/iam/expiry.json as in docs/real-aws.md, or set spot_instance_expiry_role to an empty "
    "text and do without the schedule that terminates an instance at the end of its lease"
)
SERVICES = ("scheduler.amazonaws.com", "ssm.amazonaws.com")


def run(context: Context) -> Finding:
    """Check the role and its trust policy."""
    name = context.settings.expiry_role
    if not name:
        return Finding("pass", "no schedule configured (spot_instance_expiry_role is empty)")
    try:
        role = context.client("iam").get_role(RoleName=name)["Role"]
    except ClientError as error:
        if code_of(error) == "NoSuchEntity":
            return Finding("fail", f"role {name} does not exist: the schedule needs it to terminate the instance")
        raise
    lacking = [service for service in SERVICES if not trusts(role.get("AssumeRolePolicyDocument"), service)]
    if lacking:
        return Finding("fail", f"role {name} does not trust {' and '.join(lacking)}")
    return Finding("pass", f"{name}: trusted by the scheduler and the runbook")
