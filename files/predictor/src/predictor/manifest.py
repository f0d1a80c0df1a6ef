"""Manifests of sets of weights, and the atomic replacement of the live one.

The live manifest is the only key of a set that is ever overwritten, and only by a conditional write: with `If-Match`
and the ETag of the manifest read before, or with `If-None-Match: *` for the first one (Amazon S3 User Guide,
"Conditional writes"). Of two writers that replace the same manifest, one fails with `LostRace`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from predictor import s3_keys
from predictor.aws import bucket_errors, get_object
from predictor.errors import BucketError, PredictorError

TRIES = 3
"""Attempts to write a manifest when S3 reports a conflict, after which its User Guide asks to retry."""

REFUSED = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")
"""Error codes of a conditional write: the ETag differs, another write is in progress, the manifest was deleted."""

DESCRIBED = ("run_id", "run_date", "predictor_version", "config_sha256", "code", "lock_sha256")
"""Manifest fields that each file's description repeats: those that are equal in every attempt of a run."""


class ManifestError(PredictorError):
    """A manifest or a set is invalid."""


class LostRace(PredictorError):
    """Another run replaced the live manifest first."""


@dataclass(frozen=True)
class Entry:
    """One object of a set."""

    key: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """A valid manifest.

    Attributes:
        version: Name of the set; empty in a manifest without files.
        run_id: The run that trained it.
        run_date: The day it was trained for.
        promoted: Whether it passed its gates.
        files: Model files by name.
        out_of_sample: The set's out-of-sample rows; None in a manifest without files.
        document: The whole manifest.
    """

    version: str
    run_id: str
    run_date: str
    promoted: bool
    files: dict[str, Entry]
    out_of_sample: Entry | None
    document: dict[str, Any]

    def objects(self) -> dict[str, Entry]:
        """Every object of the set by file name: model files and out-of-sample rows."""
        rows = {} if self.out_of_sample is None else {s3_keys.OUT_OF_SAMPLE: self.out_of_sample}
        return {**self.files, **rows}

    def digests(self) -> dict[str, str]:
        """SHA-256 of every object by file name; independent of where the set is stored."""
        return {name: entry.sha256 for name, entry in self.objects().items()}


@dataclass(frozen=True)
class Live:
    """The object at the key of the live manifest; `etag` is None and `body` empty if it does not exist."""

    etag: str | None
    body: bytes

    def manifest(self) -> Manifest | None:
        """The manifest, None if no set has been promoted yet.

        Raises:
            ManifestError: It is malformed.
        """
        if self.etag is None:
            return None
        found = parse(self.body)
        if found.promoted != bool(found.files):
            raise ManifestError(
                f"promoted: expected {bool(found.files)} with {len(found.files)} files, got {found.promoted}"
            )
        return found if found.files else None


def sha256(body: bytes) -> str:
    """Digest in hexadecimal."""
    return hashlib.sha256(body).hexdigest()


def entry(key: str, body: bytes) -> dict[str, Any]:
    """A manifest's entry for an object."""
    return {"key": key, "sha256": sha256(body), "bytes": len(body)}


def describe(file: str, described: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """The content of the `.meta.json` of a promoted file, from its entry and its manifest."""
    about = {name: document[name] for name in ("version", *DESCRIBED) if name in document}
    return {"file": file, "format": s3_keys.FORMATS.get(file, "json"), **described, **about}


def parse(body: bytes) -> Manifest:
    """Parse a manifest.

    Raises:
        ManifestError: It is malformed; the text does not name its key.
    """
    try:
        document = json.loads(body)
    except ValueError as error:
        raise ManifestError(f"it is not JSON ({' '.join(str(error).split())})") from error
    if not isinstance(document, dict):
        raise ManifestError(f"expected a JSON object, got {type(document).__name__}")
    promoted, files = _of_type(document, "promoted", bool), _of_type(document, "files", dict)
    entries = {name: _entry(f"files.{name}", described) for name, described in files.items()}
    if entries and (missing := sorted(set(s3_keys.MODEL_FILES) - set(entries))):
        raise ManifestError(f"files: missing {', '.join(missing)}")
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
        found = type(value).__name__ if name in document else "nothing"
        raise ManifestError(f"{name}: expected {kind.__name__}, got {found}")
    return value


def _entry(name: str, described: object) -> Entry:
    kinds = {"key": str, "sha256": str, "bytes": int}
    if not isinstance(described, dict) or any(not isinstance(described.get(k), kind) for k, kind in kinds.items()):
        raise ManifestError(f"{name}: expected an object with key, sha256 and bytes")
    return Entry(described["key"], described["sha256"], described["bytes"])


def read_live(client: Any, bucket: str) -> Live:
    """Read the live manifest, without parsing it.

    Raises:
        BucketError: S3 refused or could not be reached.
    """
    with bucket_errors(f"read s3://{bucket}/{s3_keys.LIVE_MANIFEST}"):
        return _read_live(client, bucket)


def _read_live(client: Any, bucket: str) -> Live:
    answer = get_object(client, bucket, s3_keys.LIVE_MANIFEST)
    return Live(None, b"") if answer is None else Live(answer["ETag"], answer["Body"].read())


def replace_live(client: Any, bucket: str, body: bytes, etag: str | None) -> str:
    """Replace the live manifest, provided that it is still the one read before.

    A write whose answer is lost is retried by botocore and then refused because the first one succeeded; a write that
    ends in an error may have succeeded too. So after any error, the current manifest decides.

    Args:
        client: boto3 S3 client.
        bucket: Data bucket.
        body: The new manifest, different from any other.
        etag: ETag of the manifest read before, None without one.

    Returns:
        The new manifest's ETag.

    Raises:
        LostRace: Another manifest is live; the text names its run.
        BucketError: S3 refused or could not be reached, and this manifest is not live.
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
    raise BucketError(f"cannot write s3://{bucket}/{key}: S3 reported a concurrent write {TRIES} times")


def put_new(client: Any, bucket: str, key: str, body: bytes, content_type: str) -> bool:
    """Write an object that is never overwritten.

    Returns:
        False if it existed with the same content.

    Raises:
        ManifestError: It exists with other content, which is kept.
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
    raise ManifestError(f"s3://{bucket}/{key} exists with other content; versions are never overwritten")


def _whose(live: Live) -> str:
    """Who replaced the manifest, for a message: the run that trained the live set, or the one that restored it."""
    try:
        found = live.manifest()
    except ManifestError as error:
        return f"the live manifest was replaced meanwhile by an invalid one: {error}"
    if found is None:
        return "the live manifest was replaced meanwhile and now names no set"
    restored = found.document.get("restored")
    run = restored["by"] if isinstance(restored, dict) and "by" in restored else found.run_id
    return f"run {run} put its set live meanwhile (version {found.version})"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
