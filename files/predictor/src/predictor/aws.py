"""What this package needs to know of AWS: the region guard, the S3 client and its errors."""

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
"""Where another S3 than AWS's is named, first match wins (the order is boto3's)."""


def region() -> str:
    """The region, from AWS_REGION alone.

    Returns:
        For example `us-east-1`.

    Raises:
        PredictorError: It is not set, or empty. A missing AWS_REGION once broke a Saturday's training an hour in;
            falling back on another variable would only move that hour.
    """
    value = os.environ.get("AWS_REGION", "")
    if not value:
        raise PredictorError("AWS_REGION is " + ("empty" if "AWS_REGION" in os.environ else "not set"))
    return value


def endpoint() -> str | None:
    """The S3 endpoint named in the environment, None for AWS itself."""
    return next((value for name in ENDPOINT_VARIABLES if (value := os.environ.get(name))), None)


def s3_client() -> Any:
    """A boto3 S3 client for the region of `region` and the endpoint of `endpoint`.

    Raises:
        PredictorError: See `region`.
    """
    import boto3
    from botocore.config import Config

    # A bucket name in front of a host such as `localhost` resolves nowhere.
    style = {"addressing_style": "path"} if endpoint() else {}
    return boto3.client(
        "s3",
        region_name=region(),
        config=Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 4}, s3=style),
    )


def credentials() -> tuple[str, float | None]:
    """Where boto3 finds credentials, and how long they last.

    Returns:
        botocore's name of the source (`iam-role`, `env`, …), and the seconds until they end; None where they have no
        end. Instance roles get new keys from EC2 some time before the old ones end.

    Raises:
        PredictorError: There are none, or their end cannot be had.
    """
    import botocore.session
    from botocore.credentials import RefreshableCredentials
    from botocore.exceptions import BotoCoreError

    try:
        found = botocore.session.get_session().get_credentials()
        if found is None:
            raise PredictorError("no AWS credentials: the instance has no profile, and the environment names none")
        found.get_frozen_credentials()
    except BotoCoreError as error:
        raise PredictorError(f"AWS credentials cannot be had: {' '.join(str(error).split())}") from error
    if not isinstance(found, RefreshableCredentials):
        return str(found.method), None
    # botocore has no public way to ask for it.
    expiry = getattr(found, "_expiry_time", None)
    if expiry is None:
        raise PredictorError(f"botocore does not tell when the credentials from {found.method} end")
    return str(found.method), (expiry - datetime.now(UTC)).total_seconds()


def clock_skew(bucket: str) -> float:
    """How far this machine's clock is ahead of S3's, in seconds; S3 tells its time to the second.

    Raises:
        PredictorError: S3 cannot be reached, or does not tell.
    """
    from botocore.exceptions import ClientError

    client = s3_client()
    before = time.time()
    with bucket_errors("ask S3 for the time"):
        try:
            headers = client.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]
        except ClientError as error:
            # A refusal tells the time too: of a wrong clock, above all.
            headers = error.response["ResponseMetadata"]["HTTPHeaders"]
    here = (before + time.time()) / 2
    if "date" not in headers:
        raise PredictorError("S3's answer carries no date")
    # The middle of the second that was told.
    return here - (parsedate_to_datetime(headers["date"]).timestamp() + 0.5)


def read_json(bucket: str, key: str) -> dict[str, Any] | None:
    """Read a JSON object.

    Args:
        bucket: Its bucket.
        key: Its key.

    Returns:
        The object, None if there is no such key.

    Raises:
        PredictorError: No region, S3 refuses or cannot be reached, or it is no JSON object.
    """
    from botocore.exceptions import ClientError

    client = s3_client()
    with bucket_errors(f"read s3://{bucket}/{key}"):
        try:
            body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                return None
            raise
    try:
        document = json.loads(body)
    except ValueError as error:
        raise BucketError(f"s3://{bucket}/{key} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise BucketError(f"s3://{bucket}/{key} holds a {type(document).__name__} where an object belongs")
    return document


@contextmanager
def bucket_errors(doing: str) -> Iterator[None]:
    """Turn boto3's errors into one line.

    Args:
        doing: What is being done, for the message: "write s3://bucket/key".

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
