"""The data bucket can be reached and listed."""

from __future__ import annotations

from predictor import aws
from predictor.checks.base import Context, Finding

GROUP = "data"
REMEDY = (
    "Compare data_bucket and arctic_prefix with the account, and the role of the instance with "
    "files/iam/preflight_instance.json."
)


def run(context: Context) -> Finding:
    """Head the bucket and list one key below ArcticDB's prefix."""
    client = aws.s3_client()
    bucket = context.data_bucket
    with aws.bucket_errors(f"reach bucket {bucket}"):
        client.head_bucket(Bucket=bucket)
    with aws.bucket_errors(f"list bucket {bucket}"):
        listed = client.list_objects_v2(Bucket=bucket, Prefix=f"{context.arctic_prefix}/", MaxKeys=1)
    if not listed.get("KeyCount"):
        return Finding("fail", f"bucket {bucket} holds nothing under {context.arctic_prefix}/")
    return Finding("pass", f"s3://{bucket}/{context.arctic_prefix}/ can be listed")
