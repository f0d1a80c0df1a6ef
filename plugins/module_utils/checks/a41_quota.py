"""The quota: the account may run enough virtual CPUs for the types of the matrix, beside what runs already."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from ..aws.client import code_of
from .base import Finding, is_standard
from .context import LIVE, Context

REMEDY = "ask AWS for more (Service Quotas, Amazon EC2), or give spot_instance_types smaller types"
# Quota of each market, standard instances (A, C, D, H, I, M, R, T, Z).
CODES = {"spot": "L-34B43A08", "on-demand": "L-1216C47A"}


def run(context: Context) -> Finding:
    """Compare quota, what is in use and what each type needs, market by market."""
    types = {name: each["VCpuInfo"]["DefaultVCpus"] for name, each in context.types.items() if is_standard(name)}
    if not types:
        return Finding("warn", "no type of the matrix is a standard one, and other quotas are not looked at")
    told, fits, wrong, empty = [], False, False, []
    for market in context.settings.markets:
        code = CODES[market]
        quota, used = _quota(context, code), _used(context, market)
        small = [name for name, need in types.items() if used + need > quota]
        fits |= len(small) < len(types)
        wrong |= bool(small)
        text = f"{market}: {used} of {quota:g} vCPUs in use ({code})"
        if quota < 1:
            empty.append(code)
            text = f"{market}: the quota {code} is {quota:g}, nothing can be launched"
        elif small:
            text += f", no room for {', '.join(f'{name} ({types[name]})' for name in small)}"
        told.append(text)
    remedy = f"ask AWS to raise the quota {' and '.join(empty)} (Service Quotas, Amazon EC2)" if empty else None
    return Finding("pass" if not wrong else "warn" if fits else "fail", "; ".join(told), remedy)


def _quota(context: Context, code: str) -> float:
    """The quota as it is applied to the account, or AWS's default where none is."""
    client = context.client("service-quotas")
    try:
        answer = client.get_service_quota(ServiceCode="ec2", QuotaCode=code)
    except ClientError as error:
        if code_of(error) != "NoSuchResourceException":
            raise
        answer = client.get_aws_default_service_quota(ServiceCode="ec2", QuotaCode=code)
    return float(answer["Quota"]["Value"])


def _used(context: Context, market: str) -> int:
    """Virtual CPUs of the standard instances of a market that are live."""
    filters = [{"Name": "instance-state-name", "Values": LIVE}]
    pages = context.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
    instances = [each for page in pages for reservation in page["Reservations"] for each in reservation["Instances"]]
    same = [
        each
        for each in instances
        if is_standard(each["InstanceType"]) and (each.get("InstanceLifecycle") == "spot") == (market == "spot")
    ]
    other = sorted({each["InstanceType"] for each in same if not _told(each)})
    known = context.describe_types(other)
    return sum(_told(each) or known[each["InstanceType"]]["VCpuInfo"]["DefaultVCpus"] for each in same)


def _told(instance: dict[str, Any]) -> int:
    """Virtual CPUs of an instance as its description says; 0 where it does not."""
    options = instance.get("CpuOptions") or {}
    return int(options.get("CoreCount", 0)) * int(options.get("ThreadsPerCore", 0))
