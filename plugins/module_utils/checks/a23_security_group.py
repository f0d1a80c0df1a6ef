"""The security group: exactly one of the name, no inbound rule, a way out, in the network of the subnets."""

from __future__ import annotations

from .base import Finding, Status, Unavailable, worst
from .context import Context

REMEDY = (
    "keep one security group of that name in the subnets' VPC, and remove its inbound rules: SSM needs none, but a way "
    "out"
)


def run(context: Context) -> Finding:
    """Describe the group and compare its network with the subnets'."""
    group = context.group
    findings: list[tuple[Status, str]] = []
    if group["IpPermissions"]:
        ports = ", ".join(_rule(rule) for rule in group["IpPermissions"])
        findings.append(("fail", f"{group['GroupName']} has inbound rules ({ports}), and must have none"))
    if not group["IpPermissionsEgress"]:
        findings.append(("fail", f"{group['GroupName']} has no outbound rule, so that an instance reaches nothing"))
    try:
        elsewhere = sorted({subnet["SubnetId"] for subnet in context.subnets if subnet["VpcId"] != group.get("VpcId")})
    except Unavailable:
        elsewhere = []  # the check subnets says so
    if elsewhere:
        findings.append(
            ("fail", f"{group['GroupId']} is in {group.get('VpcId')}, and {', '.join(elsewhere)} in another")
        )
    return worst(findings, f"{group['GroupName']} {group['GroupId']}, no inbound rule")


def _rule(rule: dict[str, object]) -> str:
    ports = "all ports" if rule.get("FromPort") in (None, -1) else f"port {rule['FromPort']}"
    return ports if rule.get("FromPort") == rule.get("ToPort") else f"ports {rule['FromPort']} to {rule.get('ToPort')}"
