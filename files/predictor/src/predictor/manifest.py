"""Manifests of sets of weights: what one says, and how the live one is replaced without a moment in between.

The live manifest is the only key of all sets that is ever overwritten, and only by a conditional write: with `If-Match`
and the ETag of the manifest that was read before, or with `If-None-Match: *` where there was none (Amazon S3 User
Guide, "Conditional writes"). Of two that replace the same manifest one wins and the other is told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from predictor import s3_keys
from predictor.aws import bucket_errors
from predictor.errors import BucketError, PredictorError

TRIES = 3
"""So often a manifest is written that S3 answers with a conflict: its User Guide asks to try again then."""

REFUSED = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")
"""Error codes of a conditional write: another ETag is there, somebody is writing, there is no manifest any more."""


DESCRIBED = ("run_id", "run_date", "predictor_version", "config_sha256", "code", "lock_sha256")
"""What the description beside each file repeats of its manifest: what is the same in every try of one run."""


class ManifestError(PredictorError):
    """A manifest, or a set, is not what it should be."""


class LostRace(PredictorError):
    """Somebody else replaced the manifest in the meantime."""


@dataclass(frozen=True)
class Entry:
    """One object of a set, as its manifest describes it."""

    key: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """A manifest that has the shape of one.

    Attributes:
        version: Name of the set; empty in a manifest that names no file.
        run_id: The run that trained it.
        run_date: The day it was trained for.
        promoted: Whether it passed its gates.
        files: Model files by name.
        out_of_sample: The set's own out-of-sample rows; None in a manifest that names no file.
        document: All of it.
    """

    version: str
    run_id: str
    run_date: str
    promoted: bool
    files: dict[str, Entry]
    out_of_sample: Entry | None
    document: dict[str, Any]

    def objects(self) -> dict[str, Entry]:
        """Every object of the set by its file's name: model files and out-of-sample rows."""
        rows = {} if self.out_of_sample is None else {s3_keys.OUT_OF_SAMPLE: self.out_of_sample}
        return {**self.files, **rows}

    def digests(self) -> dict[str, str]:
        """SHA-256 of every object by its file's name: equal for equal sets, wherever they lie."""
        return {name: entry.sha256 for name, entry in self.objects().items()}


@dataclass(frozen=True)
class Live:
    """What is at the key of the live manifest.

    Attributes:
        etag: Its ETag, None if nothing is there.
        body: Its bytes; empty if nothing is there.
    """

    etag: str | None
    body: bytes

    def manifest(self) -> Manifest | None:
        """The manifest, None where no set was ever put live.

        Raises:
            ManifestError: It is no manifest; the text says why.
        """
        if self.etag is None:
            return None
        found = parse(self.body)
        if found.promoted != bool(found.files):
            raise ManifestError(f"it says promoted {found.promoted} and names {len(found.files)} files")
        return found if found.files else None


def sha256(body: bytes) -> str:
    """Digest in hexadecimal."""
    return hashlib.sha256(body).hexdigest()


def entry(key: str, body: bytes) -> dict[str, Any]:
    """What a manifest says of an object."""
    return {"key": key, "sha256": sha256(body), "bytes": len(body)}


def describe(file: str, described: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """The description beside one file of a set that is put live.

    Args:
        file: Its name.
        described: What the manifest says of it.
        document: The manifest.

    Returns:
        The content of its `.meta.json`.
    """
    about = {name: document[name] for name in ("version", *DESCRIBED) if name in document}
    return {"file": file, "format": s3_keys.FORMATS.get(file, "json"), **described, **about}


def parse(body: bytes) -> Manifest:
    """Read a manifest.

    Args:
        body: Its bytes.

    Returns:
        The manifest.

    Raises:
        ManifestError: It has not the shape of one; the text says what is wrong, and not where it was found.
    """
    try:
        document = json.loads(body)
    except ValueError as error:
        raise ManifestError(f"it is no JSON ({' '.join(str(error).split())})") from error
    if not isinstance(document, dict):
        raise ManifestError(f"it holds a {type(document).__name__} where an object belongs")
    promoted, files = _of_type(document, "promoted", bool), _of_type(document, "files", dict)
    entries = {name: _entry(f"files.{name}", described) for name, described in files.items()}
    if entries and (missing := sorted(set(s3_keys.MODEL_FILES) - set(entries))):
        raise ManifestError(f"it names no {', '.join(missing)}")
    rows = _entry("out_of_sample", document.get("out_of_sample")) if entries else None
    return Manifest(
        _of_type(document, "version", str) if entries else "",
        _of_type(document, "run_id", str),
        _of_type(document, "run_date", str),
        promoted,
        entries,
        rows,
        document,
    )


def _of_type(document: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    value = document.get(name)
    if not isinstance(value, kind):
        found = "is missing" if name not in document else f"is a {type(value).__name__}, not a {kind.__name__}"
        raise ManifestError(f"its {name} {found}")
    return value


def _entry(name: str, described: object) -> Entry:
    kinds = {"key": str, "sha256": str, "bytes": int}
    if not isinstance(described, dict) or any(not isinstance(described.get(k), kind) for k, kind in kinds.items()):
        raise ManifestError(f"its {name} does not give key, sha256 and bytes")
    return Entry(described["key"], described["sha256"], described["bytes"])


def read_live(client: Any, bucket: str) -> Live:
    """Read what is at the key of the live manifest.

    Args:
        client: boto3 S3 client.
        bucket: Data bucket.

    Returns:
        Whatever is there.

    Raises:
        BucketError: S3 refused or could not be reached.
    """
    with bucket_errors(f"read s3://{bucket}/{s3_keys.LIVE_MANIFEST}"):
        return _read_live(client, bucket)


def _read_live(client: Any, bucket: str) -> Live:
    try:
        answer = client.get_object(Bucket=bucket, Key=s3_keys.LIVE_MANIFEST)
    except ClientError as error:
        if _code(error) == "NoSuchKey":
            return Live(None, b"")
        raise
    return Live(answer["ETag"], answer["Body"].read())


def replace_live(client: Any, bucket: str, body: bytes, etag: str | None) -> str:
    """Replace the live manifest, if it still is the one that was read before.

    A write whose answer is lost is sent again by botocore, and then refused because of itself; one that ends in an
    error may have been done all the same. So after anything but success what is there now decides.

    Args:
        client: boto3 S3 client.
        bucket: Data bucket.
        body: The new manifest, unlike any other.
        etag: ETag of the manifest that was read before, None if there was none.

    Returns:
        The new manifest's ETag.

    Raises:
        LostRace: Another manifest is there; the text says whose.
        BucketError: S3 refused or could not be reached, and this manifest is not there.
    """
    key = s3_keys.LIVE_MANIFEST
    condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
    with bucket_errors(f"write s3://{bucket}/{key}"):
        for _ in range(TRIES):
            try:
                answer = client.put_object(
                    Bucket=bucket, Key=key, Body=body, ContentType="application/json", **condition
                )
                return str(answer["ETag"])
            except (ClientError, BotoCoreError) as error:
                now = _read_live(client, bucket)
                if now.etag is not None and now.body == body:
                    return now.etag
                if not isinstance(error, ClientError) or _code(error) not in REFUSED:
                    raise
                if now.etag != etag:
                    raise LostRace(_whose(now)) from error
    raise BucketError(f"cannot write s3://{bucket}/{key}: S3 answers that somebody else is writing it, {TRIES} times")


def put_new(client: Any, bucket: str, key: str, body: bytes, content_type: str) -> bool:
    """Write an object that is never overwritten.

    Args:
        client: boto3 S3 client.
        bucket: Data bucket.
        key: Its key.
        body: Its content.
        content_type: Its type.

    Returns:
        False if the same bytes were there already.

    Raises:
        ManifestError: Other bytes are there; they are left as they are.
        BucketError: S3 refused or could not be reached.
    """
    with bucket_errors(f"write s3://{bucket}/{key}"):
        try:
            client.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type, IfNoneMatch="*")
            return True
        except ClientError as error:
            if _code(error) not in REFUSED:
                raise
            if client.get_object(Bucket=bucket, Key=key)["Body"].read() == body:
                return False
    raise ManifestError(f"s3://{bucket}/{key} is there with other content, and no version is ever overwritten")


def _whose(live: Live) -> str:
    """Who replaced the manifest, for a message."""
    try:
        found = live.manifest() if live.etag is not None else None
    except ManifestError as error:
        return f"the live manifest was replaced meanwhile by something else: {error}"
    if found is None:
        return "the live manifest was replaced meanwhile, and names no set now"
    return f"run {who(found)} put its set live meanwhile (version {found.version})"


def who(manifest: Manifest) -> str:
    """The run that put a set live: the one that trained it, or the one that restored it."""
    restored = manifest.document.get("restored")
    return str(restored["by"]) if isinstance(restored, dict) and "by" in restored else manifest.run_id


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
