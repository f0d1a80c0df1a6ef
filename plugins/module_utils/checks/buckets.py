"""What is asked of both buckets."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from ..aws.client import code_of, one_line
from .base import Status
from .context import Context

#: S3's own key at KMS needs no right of its own; any other key does.
OWN_KEY = "alias/aws/s3"
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def reach(context: Context, bucket: str) -> str | None:
    """Why a bucket cannot be listed, None where it can: one that is missing and one that is denied are told apart."""
    try:
        context.client("s3").list_objects_v2(Bucket=bucket, MaxKeys=1)
    except ClientError as error:
        if code_of(error) == "NoSuchBucket":
            return f"there is no bucket {bucket}"
        if code_of(error) == "AccessDenied":
            return f"bucket {bucket} is there, and the controller may not list it: {one_line(error)}"
        raise
    return None


def protection(context: Context, bucket: str) -> list[tuple[Status, str]]:
    """What lacks in the default encryption and the public access block of a bucket, and where it is if elsewhere."""
    s3 = context.client("s3")
    findings: list[tuple[Status, str]] = []
    try:
        findings += _key(bucket, s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"])
    except ClientError as error:
        lacks = code_of(error) == "ServerSideEncryptionConfigurationNotFoundError"
        findings.append(("fail", f"bucket {bucket} has no default encryption" if lacks else one_line(error)))
    try:
        blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        open_ = [name for name in BLOCKS if not blocked.get(name)]
    except ClientError as error:
        if code_of(error) != "NoSuchPublicAccessBlockConfiguration":
            return [*findings, ("fail", one_line(error))]
        open_ = list(BLOCKS)
    if open_:
        findings.append(("fail", f"bucket {bucket} may be made public: {', '.join(open_)} not set"))
    region = s3.head_bucket(Bucket=bucket).get("BucketRegion", context.settings.region)
    if region != context.settings.region:
        findings.append(("fail", f"bucket {bucket} is in {region}, the run in {context.settings.region}"))
    return findings


def _key(bucket: str, encryption: dict[str, Any]) -> list[tuple[Status, str]]:
    """A warning where objects are encrypted with a customer's key, which no supplied policy lets anybody use."""
    keys = [rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID") for rule in encryption["Rules"]]
    told = "bucket {} is encrypted with the key {}, which the policies of files/iam let nobody use"
    return [("warn", told.format(bucket, key)) for key in keys if key and not key.endswith(OWN_KEY)]
