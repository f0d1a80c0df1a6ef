"""The region exists, is enabled for the account, and agrees with the environment."""

from __future__ import annotations

import os

from botocore.exceptions import ClientError, EndpointConnectionError

from ..aws.client import code_of, one_line
from .base import Finding
from .context import Context

REMEDY = "set aws_region to a region that is enabled for the account and holds the buckets"
VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")


def run(context: Context) -> Finding:
    """Ask EC2 about the region, then compare the environment."""
    region = context.settings.region
    try:
        found = context.client("ec2").describe_regions(RegionNames=[region], AllRegions=True)["Regions"]
    except EndpointConnectionError as error:
        return Finding("fail", f"region {region} has no EC2 endpoint: {one_line(error)}")
    except ClientError as error:
        if code_of(error) == "AuthFailure":
            why = "it is not enabled for the account, or does not exist"
            return Finding("fail", f"EC2 refuses the credentials in region {region}: {why}")
        if not code_of(error).startswith("InvalidParameter"):
            raise
        found = []
    if not found:
        return Finding("fail", f"EC2 does not know the region {region}")
    if found[0].get("OptInStatus") == "not-opted-in":
        return Finding("fail", f"region {region} is not enabled for the account")
    others = {name: os.environ[name] for name in VARIABLES if os.environ.get(name, region) != region}
    if others:
        conflicts = ", ".join(f"{name}={value}" for name, value in others.items())
        remedy = "unset the variable or set aws_region: programs that read the environment would use another region"
        return Finding("warn", f"the run uses {region}, but the environment has {conflicts}", remedy)
    return Finding("pass", region)
