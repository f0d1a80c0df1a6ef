"""Sets of weights in the bucket, compared with their manifests."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from botocore.exceptions import ClientError

from predictor import s3_keys
from predictor.aws import bucket_errors, get_object, list_keys, read_object
from predictor.manifest import Entry, Live, Manifest, ManifestError, parse

CHUNK_BYTES = 1 << 20


def findings(client: Any, bucket: str, manifest: Manifest) -> list[str]:
    """Compare every object of a set with its manifest.

    Returns:
        One line for each object that is missing or differs in size or SHA-256. Below `versions/` also one for each
        `.meta.json` that is missing or disagrees. Empty for a complete set.

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
    """How an object differs from its manifest; None if it does not.

    Raises:
        BucketError: S3 refused or could not be reached.
    """
    whole, size = hashlib.sha256(), 0
    with bucket_errors(f"read s3://{bucket}/{entry.key}"):
        answer = get_object(client, bucket, entry.key)
        if answer is None:
            return f"{entry.key} is missing"
        for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
            whole.update(chunk)
            size += len(chunk)
    if size != entry.bytes:
        return f"{entry.key}: expected {entry.bytes} bytes, got {size}"
    if whole.hexdigest() != entry.sha256:
        return f"{entry.key} differs from its manifest's SHA-256"
    return None


def quick_findings(client: Any, bucket: str, manifest: Manifest) -> list[str]:
    """Like `findings`, but only the sizes of the model files: one HEAD request each.

    Raises:
        BucketError: S3 refused or could not be reached.
    """
    found = []
    for entry in manifest.files.values():
        with bucket_errors(f"head s3://{bucket}/{entry.key}"):
            try:
                size = client.head_object(Bucket=bucket, Key=entry.key)["ContentLength"]
            except ClientError as error:
                # HEAD answers without a body, so the status is the only error code.
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                    raise
                found.append(f"{entry.key} is missing")
                continue
        if size != entry.bytes:
            found.append(f"{entry.key}: expected {entry.bytes} bytes, got {size}")
    return found


def live(bucket: str, there: Live) -> Manifest | None:
    """The manifest of the live set, None if no set has been promoted yet.

    Raises:
        ManifestError: The live manifest is malformed; the text names its key and the reason.
    """
    try:
        return there.manifest()
    except ManifestError as error:
        raise ManifestError(f"s3://{bucket}/{s3_keys.LIVE_MANIFEST} is not a manifest: {error}") from error


def archived(client: Any, bucket: str, run_date: str) -> Manifest:
    """The manifest of the set archived for a day.

    Raises:
        ManifestError: Nothing is archived for that day (the text lists the days that are), or the manifest is
            malformed.
        BucketError: S3 refused or could not be reached.
    """
    key = s3_keys.archive(run_date, s3_keys.MANIFEST)
    if (body := read_object(client, bucket, key)) is None:
        days = ", ".join(_archived_days(client, bucket)) or "none"
        raise ManifestError(f"nothing is archived for {run_date}; archived days: {days}")
    try:
        return parse(body)
    except ManifestError as error:
        raise ManifestError(f"s3://{bucket}/{key} is not a manifest: {error}") from error


def _archived_days(client: Any, bucket: str) -> list[str]:
    """The days whose archive has a manifest, in order."""
    keys = list_keys(client, bucket, s3_keys.ARCHIVES)
    days = (key.removeprefix(s3_keys.ARCHIVES).partition("/") for key in keys)
    return sorted(day for day, _, file in days if file == s3_keys.MANIFEST)


def _description_findings(client: Any, bucket: str, entry: Entry, version: str) -> list[str]:
    key = s3_keys.description(entry.key)
    if (body := read_object(client, bucket, key)) is None:
        return [f"{key} is missing"]
    try:
        document = json.loads(body)
    except ValueError:
        return [f"{key} is not JSON"]
    expected = {"sha256": entry.sha256, "bytes": entry.bytes, "version": version}
    found = document if isinstance(document, dict) else {}
    return [
        f"{key}: {name}: expected {value!r}, got {found.get(name)!r}"
        for name, value in expected.items()
        if found.get(name) != value
    ]
