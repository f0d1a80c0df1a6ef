"""Look-ups that both bucket checks share."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from ..aws.client import code_of, one_line
from .base import Status
from .context import Context

#: S3's own KMS key needs no extra permission; any other key does.
OWN_KEY = "alias/aws/s3"
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def protection(context: Context, bucket: str) -> list[tuple[Status, str]]:
    """List one key of a bucket, then look at its default encryption, public access block and region."""
    s3 = context.client("s3")
    findings: list[tuple[Status, str]] = []
    try:
        s3.list_objects_v2(Bucket=bucket, MaxKeys=1)
    except ClientError as error:
        if code_of(error) == "NoSuchBucket":
            return [("fail", f"bucket {bucket} does not exist")]
        if code_of(error) == "AccessDenied":
            return [("fail", f"bucket {bucket} exists, but the control node may not list it: {one_line(error)}")]
        raise
    try:
        findings += _key(bucket, s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"])
    except ClientError as error:
        missing = code_of(error) == "ServerSideEncryptionConfigurationNotFoundError"
        findings.append(("fail", f"bucket {bucket} has no default encryption" if missing else one_line(error)))
    try:
        blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        open_ = [name for name in BLOCKS if not blocked.get(name)]
    except ClientError as error:
        if code_of(error) != "NoSuchPublicAccessBlockConfiguration":
            return [*findings, ("fail", one_line(error))]
        open_ = list(BLOCKS)
    if open_:
        findings.append(("fail", f"bucket {bucket} can be made public: {', '.join(open_)} not set"))
    region = s3.head_bucket(Bucket=bucket).get("BucketRegion", context.settings.region)
    if region != context.settings.region:
        findings.append(("fail", f"bucket {bucket} is in {region}, the run in {context.settings.region}"))
    return findings


def _key(bucket: str, encryption: dict[str, Any]) -> list[tuple[Status, str]]:
    """Warn about encryption with a customer-managed key, which no supplied policy allows to use."""
    keys = [rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID") for rule in encryption["Rules"]]
    text = "bucket {} is encrypted with the key {}, which no policy in files/iam allows to use"
    return [("warn", text.format(bucket, key)) for key in keys if key and not key.endswith(OWN_KEY)]
