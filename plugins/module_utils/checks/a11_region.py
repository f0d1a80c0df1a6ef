"""The region: known, enabled for the account, and the same that the environment names."""

from __future__ import annotations

import os

from botocore.exceptions import ClientError, EndpointConnectionError

from ..aws.client import code_of, one_line
from .base import Finding
from .context import Context

REMEDY = "give aws_region a region that is enabled for the account, the one that holds the buckets"
VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")


def run(context: Context) -> Finding:
    """Ask EC2 about the region, then look at the environment."""
    region = context.settings.region
    try:
        found = context.client("ec2").describe_regions(RegionNames=[region], AllRegions=True)["Regions"]
    except EndpointConnectionError as error:
        return Finding("fail", f"there is no EC2 in a region {region}: {one_line(error)}")
    except ClientError as error:
        if code_of(error) == "AuthFailure":
            return Finding(
                "fail", f"EC2 refuses the keys in region {region}: not enabled for the account, or none at all"
            )
        if not code_of(error).startswith("InvalidParameter"):
            raise
        found = []
    if not found:
        return Finding("fail", f"EC2 knows no region {region}")
    if found[0].get("OptInStatus") == "not-opted-in":
        return Finding("fail", f"region {region} is not enabled for the account")
    others = {name: os.environ[name] for name in VARIABLES if os.environ.get(name, region) != region}
    if others:
        said = ", ".join(f"{name}={value}" for name, value in others.items())
        return Finding(
            "warn",
            f"the run uses {region}, and the environment says {said}",
            "unset the variable or set aws_region: what reads the environment would look into another region",
        )
    return Finding("pass", region)
