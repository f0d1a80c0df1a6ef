"""There is one security group of the name, without inbound rules, with a way out, in the subnets' VPC."""

from __future__ import annotations

from .base import Finding, Status, Unavailable, worst
from .context import Context

REMEDY = (
    "keep one security group of that name in the subnets' VPC, without inbound rules and with an outbound rule: "
    "SSM only needs a way out"
)


def run(context: Context) -> Finding:
    """Describe the group and compare its VPC with the subnets'."""
    group = context.group
    findings: list[tuple[Status, str]] = []
    if group["IpPermissions"]:
        ports = ", ".join(_rule(rule) for rule in group["IpPermissions"])
        findings.append(("fail", f"{group['GroupName']} must not have inbound rules, found {ports}"))
    if not group["IpPermissionsEgress"]:
        findings.append(("fail", f"{group['GroupName']} has no outbound rule: an instance could not reach anything"))
    try:
        elsewhere = sorted({subnet["SubnetId"] for subnet in context.subnets if subnet["VpcId"] != group.get("VpcId")})
    except Unavailable:
        elsewhere = []  # reported by the check subnets
    if elsewhere:
        text = f"is in {group.get('VpcId')}, but {', '.join(elsewhere)} in another VPC"
        findings.append(("fail", f"{group['GroupId']} {text}"))
    return worst(findings, f"{group['GroupName']} {group['GroupId']}, no inbound rule")


def _rule(rule: dict[str, object]) -> str:
    ports = "all ports" if rule.get("FromPort") in (None, -1) else f"port {rule['FromPort']}"
    return ports if rule.get("FromPort") == rule.get("ToPort") else f"ports {rule['FromPort']} to {rule.get('ToPort')}"
