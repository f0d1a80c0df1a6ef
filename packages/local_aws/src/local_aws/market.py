"""Prices and capacity of the embedded spot market.

The prices are invented, plausible and constant, so that cost arithmetic can be tested: the spot price is a fixed share
of the on-demand list price (us-east-1, Linux, 2025) that differs by zone.
"""

from __future__ import annotations

# USD an hour, on demand.
ON_DEMAND_USD_HOUR = {
    "c5.large": 0.085,
    "c5.xlarge": 0.17,
    "m5.large": 0.096,
    "m5.xlarge": 0.192,
    "r5.large": 0.126,
    "r5a.large": 0.113,
    "r6i.large": 0.126,
    "r5.xlarge": 0.252,
    "t3.medium": 0.0416,
    "t3.large": 0.0832,
}
# Quota codes: vCPUs of standard instances.
SPOT_QUOTA, ON_DEMAND_QUOTA = "L-34B43A08", "L-1216C47A"
_CAPACITY_MESSAGES = {
    "InsufficientInstanceCapacity": "We currently do not have sufficient {type} capacity in the Availability Zone you "
    "requested ({az}).",
    "InsufficientHostCapacity": "Insufficient host capacity for {type} in {az}.",
    "SpotMaxPriceTooLow": "Your Spot request price is lower than the minimum required Spot request fulfillment price.",
    "Unsupported": "Your requested instance type ({type}) is not supported in your requested Availability Zone ({az}).",
    "MaxSpotInstanceCountExceeded": "Max spot instance count exceeded",
    "InvalidAvailabilityZone": "The zone {az} is not available for {type}.",
}

_DEFAULT_USD_HOUR = 0.10
_SHARE_BY_ZONE = {"a": 0.36, "b": 0.38, "c": 0.35, "d": 0.40, "e": 0.42, "f": 0.37}


def spot_price(instance_type: str, zone: str) -> float:
    """Current spot price in USD an hour of a type in an availability zone such as ``us-east-1a``."""
    return round(ON_DEMAND_USD_HOUR.get(instance_type, _DEFAULT_USD_HOUR) * _SHARE_BY_ZONE.get(zone[-1:], 0.4), 6)


def capacity_message(code: str, instance_type: str = "", zone: str = "") -> str:
    """EC2's message for an error code about capacity."""
    return _CAPACITY_MESSAGES.get(code, "Injected fault.").format(type=instance_type, az=zone)
