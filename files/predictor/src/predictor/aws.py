"""AWS access: the region, the S3 client, its credentials and its errors."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from predictor.errors import BucketError, PredictorError

ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Variables that name an S3 other than AWS's, in boto3's order of precedence."""


def region() -> str:
    """The region, from AWS_REGION only.

    Raises:
        PredictorError: It is unset or empty. Nothing replaces it: a missing AWS_REGION once broke a training an hour
            after its start.
    """
    value = os.environ.get("AWS_REGION", "")
    if not value:
        raise PredictorError("AWS_REGION is " + ("empty" if "AWS_REGION" in os.environ else "not set"))
    return value


def endpoint() -> str | None:
    """The S3 endpoint named in the environment; None for AWS."""
    return next((value for name in ENDPOINT_VARIABLES if (value := os.environ.get(name))), None)


def s3_client() -> Any:
    """A boto3 S3 client for the region of `region` and the endpoint of `endpoint`.

    Raises:
        PredictorError: See `region`.
    """
    import boto3
    from botocore.config import Config

    # A bucket name in front of a host such as `localhost` does not resolve.
    style = {"addressing_style": "path"} if endpoint() else {}
    return boto3.client(
        "s3",
        region_name=region(),
        config=Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 4}, s3=style),
    )


def credentials() -> tuple[str, float | None]:
    """The source and remaining lifetime of the credentials that boto3 finds.

    Returns:
        botocore's name of the source (`iam-role`, `env`, …), and the seconds until expiry, None without one. EC2
        renews the keys of an instance role some time before they expire.

    Raises:
        PredictorError: No credentials are found, or their expiry is unknown.
    """
    import botocore.session
    from botocore.credentials import RefreshableCredentials
    from botocore.exceptions import BotoCoreError

    try:
        found = botocore.session.get_session().get_credentials()
        if found is None:
            raise PredictorError("no AWS credentials: neither an instance profile nor the environment provides any")
        found.get_frozen_credentials()
    except BotoCoreError as error:
        raise PredictorError(f"cannot obtain AWS credentials: {' '.join(str(error).split())}") from error
    if not isinstance(found, RefreshableCredentials):
        return str(found.method), None
    # botocore has no public accessor.
    expiry = getattr(found, "_expiry_time", None)
    if expiry is None:
        raise PredictorError(f"botocore does not report when the credentials from {found.method} expire")
    return str(found.method), (expiry - datetime.now(UTC)).total_seconds()


def clock_skew(bucket: str) -> float:
    """How far this machine's clock is ahead of S3's, in seconds, to a resolution of one second.

    Raises:
        PredictorError: S3 cannot be reached, or its answer has no date.
    """
    from botocore.exceptions import ClientError

    client = s3_client()
    before = time.time()
    with bucket_errors("ask S3 for the time"):
        try:
            headers = client.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]
        except ClientError as error:
            # Errors carry the date as well, among them the one that a wrong clock causes.
            headers = error.response["ResponseMetadata"]["HTTPHeaders"]
    here = (before + time.time()) / 2
    if "date" not in headers:
        raise PredictorError("S3's answer has no date")
    # The middle of the second that S3 reports.
    return here - (parsedate_to_datetime(headers["date"]).timestamp() + 0.5)


def read_json(bucket: str, key: str) -> dict[str, Any] | None:
    """Read a JSON object, None if the key does not exist.

    Raises:
        PredictorError: The region is unset, S3 refuses or cannot be reached, or the content is not a JSON object.
    """
    if (body := read_object(s3_client(), bucket, key)) is None:
        return None
    try:
        document = json.loads(body)
    except ValueError as error:
        raise BucketError(f"s3://{bucket}/{key} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BucketError(f"s3://{bucket}/{key}: expected a JSON object, got {type(document).__name__}")
    return document


def read_object(client: Any, bucket: str, key: str) -> bytes | None:
    """An object's content, None if the key does not exist.

    Raises:
        BucketError: S3 refuses or cannot be reached.
    """
    with bucket_errors(f"read s3://{bucket}/{key}"):
        answer = get_object(client, bucket, key)
        return None if answer is None else bytes(answer["Body"].read())


def get_object(client: Any, bucket: str, key: str) -> dict[str, Any] | None:
    """S3's answer, with an object's content as the stream `Body`; None if the key does not exist.

    Raises:
        ClientError: Any other error; see `bucket_errors`.
    """
    from botocore.exceptions import ClientError

    try:
        answer: dict[str, Any] = client.get_object(Bucket=bucket, Key=key)
        return answer
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "NoSuchKey":
            return None
        raise


def list_keys(client: Any, bucket: str, prefix: str) -> list[str]:
    """Every key under a prefix.

    Raises:
        BucketError: S3 refuses or cannot be reached.
    """
    with bucket_errors(f"list s3://{bucket}/{prefix}"):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]


@contextmanager
def bucket_errors(doing: str) -> Iterator[None]:
    """Turn boto3's errors into one line.

    Args:
        doing: The operation, for the message: "write s3://bucket/key".

    Raises:
        BucketError: Any error of boto3 in the block.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        detail = error.response.get("Error", {})
        raise BucketError(f"cannot {doing}: {detail.get('Code', '?')} {detail.get('Message', '')}".rstrip()) from error
    except (BotoCoreError, Boto3Error) as error:
        raise BucketError(f"cannot {doing}: {' '.join(str(error).split())}") from error
