"""What is asked of both buckets."""

from __future__ import annotations

from botocore.exceptions import ClientError

from .base import Status, error_code, one_line
from .context import Context

BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def reach(context: Context, bucket: str) -> str | None:
    """Why a bucket cannot be listed, None where it can: one that is missing and one that is denied are told apart."""
    try:
        context.client("s3").list_objects_v2(Bucket=bucket, MaxKeys=1)
    except ClientError as error:
        if error_code(error) == "NoSuchBucket":
            return f"there is no bucket {bucket}"
        if error_code(error) == "AccessDenied":
            return f"bucket {bucket} is there, and the controller may not list it: {one_line(error)}"
        raise
    return None


def protection(context: Context, bucket: str) -> list[tuple[Status, str]]:
    """What lacks in the default encryption and the public access block of a bucket, and where it is if elsewhere."""
    s3 = context.client("s3")
    findings: list[tuple[Status, str]] = []
    try:
        s3.get_bucket_encryption(Bucket=bucket)
    except ClientError as error:
        lacks = error_code(error) == "ServerSideEncryptionConfigurationNotFoundError"
        findings.append(("fail", f"bucket {bucket} has no default encryption" if lacks else one_line(error)))
    try:
        blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        open_ = [name for name in BLOCKS if not blocked.get(name)]
    except ClientError as error:
        if error_code(error) != "NoSuchPublicAccessBlockConfiguration":
            return [*findings, ("fail", one_line(error))]
        open_ = list(BLOCKS)
    if open_:
        findings.append(("fail", f"bucket {bucket} may be made public: {', '.join(open_)} not set"))
    region = s3.head_bucket(Bucket=bucket).get("BucketRegion", context.settings.region)
    if region != context.settings.region:
        findings.append(("fail", f"bucket {bucket} is in {region}, the run in {context.settings.region}"))
    return findings
