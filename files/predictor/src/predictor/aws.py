"""What this package needs to know of AWS: the region guard, the S3 client and its errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
