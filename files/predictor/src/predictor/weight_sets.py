"""Sets of weights in the bucket, held against their manifests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from predictor import s3_keys
from predictor.aws import bucket_errors
from predictor.manifest import Entry, Live, Manifest, ManifestError, parse

CHUNK_BYTES = 1 << 20


def findings(client: Any, bucket: str, manifest: Manifest) -> list[str]:
    """Hold every object of a set against its manifest.

    Args:
        client: boto3 S3 client.
        bucket: Data bucket.
        manifest: Of the live set, or of an archived one.

    Returns:
        One line for each object that is missing, or whose size or SHA-256 differs; and in a set below `versions/`, for
        each `.meta.json` beside one that is missing or says something else. Empty for a set that is whole.

    Raises:
        BucketError: S3 refused or could not be reached.
    """
    found = []
    for entry in manifest.objects().values():
        if (why := differs(client, bucket, entry)) is not None:
            found.append(why)
        # The archive has no descriptions.
        if not entry.key.startswith(s3_keys.ARCHIVES):
            found += _description_findings(client, bucket, entry, manifest.version)
    return found


def differs(client: Any, bucket: str, entry: Entry) -> str | None:
    """Why an object is not what its manifest says; None if it is.

    Raises:
        BucketError: S3 refused or could not be reached.
    """
    whole, size = hashlib.sha256(), 0
    with bucket_errors(f"read s3://{bucket}/{entry.key}"):
        body = open_object(client, bucket, entry.key)
        if body is None:
            return f"{entry.key} is missing"
        for chunk in body.iter_chunks(CHUNK_BYTES):
            whole.update(chunk)
            size += len(chunk)
    if size != entry.bytes:
        return f"{entry.key} has {size} bytes, its manifest says {entry.bytes}"
    if (digest := whole.hexdigest()) != entry.sha256:
        return f"{entry.key} has SHA-256 {digest[:12]}…, its manifest says {entry.sha256[:12]}…"
    return None


def quick_findings(client: Any, bucket: str, manifest: Manifest) -> list[str]:
    """The same of the model files by their sizes alone: one request a file, nothing is read.

    Raises:
        BucketError: S3 refused or could not be reached.
    """
    found = []
    for entry in manifest.files.values():
        with bucket_errors(f"look at s3://{bucket}/{entry.key}"):
            try:
                size = client.head_object(Bucket=bucket, Key=entry.key)["ContentLength"]
            except ClientError as error:
                # The answer to HEAD has no body, and so no code but its status.
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                    raise
                found.append(f"{entry.key} is missing")
                continue
        if size != entry.bytes:
            found.append(f"{entry.key} has {size} bytes, its manifest says {entry.bytes}")
    return found


def live(bucket: str, there: Live) -> Manifest | None:
    """The manifest of the live set, None where no set was ever put live.

    Raises:
        ManifestError: It is no manifest; the text says where, and why.
    """
    try:
        return there.manifest()
    except ManifestError as error:
        raise ManifestError(f"s3://{bucket}/{s3_keys.LIVE_MANIFEST} is no manifest: {error}") from error


def archived(client: Any, bucket: str, run_date: str) -> Manifest:
    """The manifest of the set archived for a day.

    Raises:
        ManifestError: There is none, and the text names the days that there are; or it is no manifest.
        BucketError: S3 refused or could not be reached.
    """
    key = s3_keys.archive(run_date, s3_keys.MANIFEST)
    with bucket_errors(f"read s3://{bucket}/{key}"):
        body = open_object(client, bucket, key)
        content = None if body is None else body.read()
    if content is None:
        days = ", ".join(archived_days(client, bucket)) or "none at all"
        raise ManifestError(f"nothing is archived for {run_date}; there is: {days}")
    try:
        return parse(content)
    except ManifestError as error:
        raise ManifestError(f"s3://{bucket}/{key} is no manifest: {error}") from error


def archived_days(client: Any, bucket: str) -> list[str]:
    """The days with an archived set that has a manifest, in order.

    Raises:
        BucketError: S3 refused or could not be reached.
    """
    with bucket_errors(f"list s3://{bucket}/{s3_keys.ARCHIVES}"):
        return sorted(_archived_days(client, bucket))


def open_object(client: Any, bucket: str, key: str) -> Any | None:
    """The content of an object as a stream, None if there is no such key.

    Raises:
        ClientError: Anything else; see `bucket_errors`.
    """
    try:
        return client.get_object(Bucket=bucket, Key=key)["Body"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "NoSuchKey":
            return None
        raise


def _archived_days(client: Any, bucket: str) -> Iterator[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=s3_keys.ARCHIVES)
    for page in pages:
        for item in page.get("Contents", []):
            day, _, file = item["Key"].removeprefix(s3_keys.ARCHIVES).partition("/")
            if file == s3_keys.MANIFEST:
                yield day


def _description_findings(client: Any, bucket: str, entry: Entry, version: str) -> list[str]:
    key = s3_keys.description(entry.key)
    with bucket_errors(f"read s3://{bucket}/{key}"):
        body = open_object(client, bucket, key)
        content = None if body is None else body.read()
    if content is None:
        return [f"{key} is missing"]
    try:
        document = json.loads(content)
    except ValueError:
        return [f"{key} is no JSON"]
    wanted = {"sha256": entry.sha256, "bytes": entry.bytes, "version": version}
    said = document if isinstance(document, dict) else {}
    return [f"{key} says {name} {said.get(name)!r}" for name, value in wanted.items() if said.get(name) != value]
