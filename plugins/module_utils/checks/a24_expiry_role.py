"""The role of the expiry schedule: it is there, and both services that need it can take it."""

from __future__ import annotations

from botocore.exceptions import ClientError

from ..aws.client import code_of
from .a21_instance_profile import trusts
from .base import Finding
from .context import Context

REMEDY = (
    "make the role with files/iam/expiry.json as docs/real-aws.md says, or set spot_instance_expiry_role to an empty "
    "text and do without the schedule in the cloud that ends an instance at the end of its lease"
)
SERVICES = ("scheduler.amazonaws.com", "ssm.amazonaws.com")


def run(context: Context) -> Finding:
    """Look at the role and whom it trusts."""
    name = context.settings.expiry_role
    if not name:
        return Finding("pass", "no schedule is asked for (spot_instance_expiry_role is empty)")
    try:
        role = context.client("iam").get_role(RoleName=name)["Role"]
    except ClientError as error:
        if code_of(error) == "NoSuchEntity":
            return Finding("fail", f"there is no role {name}, as which the schedule would end the instance")
        raise
    lacking = [service for service in SERVICES if not trusts(role.get("AssumeRolePolicyDocument"), service)]
    if lacking:
        return Finding("fail", f"role {name} does not trust {' and '.join(lacking)}, which has to take it")
    return Finding("pass", f"{name}: can be taken by the scheduler and the runbook")
