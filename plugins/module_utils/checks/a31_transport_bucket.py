"""The transport bucket is not the data bucket, is reachable, encrypted by default, not public, not versioned."""

from __future__ import annotations

from .base import Finding, worst
from .buckets import protection
from .context import Context

REMEDY = (
    "correct transport_bucket and the control node's policy; set default encryption and all four public access blocks"
)
VERSIONED = (
    "bucket {} is versioned: files sent to the instance are deleted after use, but old versions stay, cost money and "
    "keep their content"
)


def run(context: Context) -> Finding:
    """List one key, then check the bucket's settings and versioning."""
    bucket = context.settings.transport_bucket
    if bucket == context.settings.data_bucket:
        text = f"transport_bucket and data_bucket are both {bucket}: transport would write to the data bucket"
        return Finding("fail", text, "use another transport_bucket")
    findings = protection(context, bucket)
    if not findings and context.client("s3").get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled":
        remedy = "use an unversioned bucket, or add a lifecycle rule that expires noncurrent versions after one day"
        return Finding("warn", VERSIONED.format(bucket), remedy)
    return worst(findings, f"{bucket}: reachable, encrypted, public access blocked, not versioned")
