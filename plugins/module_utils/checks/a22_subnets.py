"""At least one subnet is available and has a free address."""

from __future__ import annotations

from .base import Finding, Status, worst
from .context import Context

REMEDY = "correct spot_instance_subnet_filters, or tag the subnets with project (docs/real-aws.md)"


def run(context: Context) -> Finding:
    """Fail if no subnet is usable; warn if some are not."""
    subnets = context.subnets
    wrong = []
    for subnet in subnets:
        if subnet["State"] != "available":
            wrong.append(f"{subnet['SubnetId']} is {subnet['State']}")
        elif subnet.get("AvailableIpAddressCount", 1) < 1:
            wrong.append(f"{subnet['SubnetId']} has no free address")
    status: Status = "fail" if len(wrong) == len(subnets) else "warn"
    zones = ", ".join(subnet["AvailabilityZone"] for subnet in subnets)
    return worst([(status, text) for text in wrong], f"{len(subnets)} in {zones}")
