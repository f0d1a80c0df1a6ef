"""The environment names the AWS region."""

from __future__ import annotations

import os

from predictor import aws
from predictor.checks.base import Context, Finding

GROUP = "machine"
REMEDY = "Set AWS_REGION for the command; the playbook sets it from aws_region."


def run(context: Context) -> Finding:
    """Require AWS_REGION; warn if AWS_DEFAULT_REGION differs."""
    region = aws.region()
    other = os.environ.get("AWS_DEFAULT_REGION", region)
    if other != region:
        return Finding("warn", f"AWS_REGION is {region} but AWS_DEFAULT_REGION is {other!r}; AWS_REGION is used")
    where = aws.endpoint()
    return Finding("pass", f"region {region}" + (f", S3 at {where}" if where else ""))
