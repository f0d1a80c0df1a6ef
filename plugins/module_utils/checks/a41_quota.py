"""The vCPU quota has room for the instance types, in addition to what is running."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from ..aws.client import code_of
from .base import Finding, is_standard
from .context import LIVE, Context

REMEDY = "request an increase (Service Quotas, Amazon EC2), or use smaller spot_instance_types"
# Quota of each market, standard instances (A, C, D, H, I, M, R, T, Z).
CODES = {"spot": "L-34B43A08", "on-demand": "L-1216C47A"}


def run(context: Context) -> Finding:
    """Compare quota, current use and the need of each type, per market."""
    types = {name: each["VCpuInfo"]["DefaultVCpus"] for name, each in context.types.items() if is_standard(name)}
    if not types:
        return Finding("warn", "no standard instance type in spot_instance_types; other quotas are not checked")
    texts, fits, wrong, empty = [], False, False, []
    for market in context.settings.markets:
        code = CODES[market]
        quota, used = _quota(context, code), _used(context, market)
        small = [name for name, need in types.items() if used + need > quota]
        fits |= len(small) < len(types)
        wrong |= bool(small)
        text = f"{market}: {used} of {quota:g} vCPUs in use ({code})"
        if quota < 1:
            empty.append(code)
            text = f"{market}: the quota {code} is {quota:g}: nothing can be launched"
        elif small:
            text += f", no room for {', '.join(f'{name} ({types[name]})' for name in small)}"
        texts.append(text)
    remedy = f"request an increase of the quota {' and '.join(empty)} (Service Quotas, Amazon EC2)" if empty else None
    return Finding("pass" if not wrong else "warn" if fits else "fail", "; ".join(texts), remedy)


def _quota(context: Context, code: str) -> float:
    """The account's applied quota, or AWS's default."""
    client = context.client("service-quotas")
    try:
        answer = client.get_service_quota(ServiceCode="ec2", QuotaCode=code)
    except ClientError as error:
        if code_of(error) != "NoSuchResourceException":
            raise
        answer = client.get_aws_default_service_quota(ServiceCode="ec2", QuotaCode=code)
    return float(answer["Quota"]["Value"])


def _used(context: Context, market: str) -> int:
    """Count the vCPUs of the live standard instances of a market."""
    filters = [{"Name": "instance-state-name", "Values": LIVE}]
    pages = context.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
    instances = [each for page in pages for reservation in page["Reservations"] for each in reservation["Instances"]]
    same = [
        each
        for each in instances
        if is_standard(each["InstanceType"]) and (each.get("InstanceLifecycle") == "spot") == (market == "spot")
    ]
    other = sorted({each["InstanceType"] for each in same if not _described(each)})
    known = context.describe_types(other)
    return sum(_described(each) or known[each["InstanceType"]]["VCpuInfo"]["DefaultVCpus"] for each in same)


def _described(instance: dict[str, Any]) -> int:
    """Count the vCPUs in an instance's description; 0 if missing."""
    options = instance.get("CpuOptions") or {}
    return int(options.get("CoreCount", 0)) * int(options.get("ThreadsPerCore", 0))
