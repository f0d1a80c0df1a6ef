"""Writing to the data bucket, in an order that is safe against being killed at any point.

First the dated archive, its manifest last. Then the records: diagnostics, summary, triple barrier, health, data
manifest. Then, if the gates pass, the set under a new version that is never overwritten; and finally the live manifest,
by a conditional write (`predictor.manifest`). Until that request completes, readers get the old set, afterwards the new
one. A bucket without a promoted set gets a manifest without files, which distinguishes "nothing yet" from "missing".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from predictor import manifest, s3_keys
from predictor.aws import bucket_errors
from predictor.manifest import LostRace, Manifest
from predictor.output import to_json
from predictor.training.artefacts import ModelSet

JSON = "application/json"


@dataclass(frozen=True)
class Records:
    """The records of every training that is not a dry run.

    Attributes:
        run_date: The day in the keys, `YYYY-MM-DD`.
        stamp: Time of the run, `YYYYmmddTHHMMSSZ`.
        summary: Training summary.
        triple_barrier: The observation.
        health: The training's outcome.
        data_manifest: The data used.
    """

    run_date: str
    stamp: str
    summary: Mapping[str, Any]
    triple_barrier: Mapping[str, Any]
    health: Mapping[str, Any]
    data_manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Promotion:
    """A promoted set.

    Attributes:
        version: Its name.
        prefix: Key prefix of its files.
        manifest_etag: ETag of the live manifest that names it.
        replaced: `{version, run_id}` of the set that was live before, None for the first one.
    """

    version: str
    prefix: str
    manifest_etag: str
    replaced: dict[str, str] | None


class Writer:
    """Puts objects into one bucket and remembers their keys."""

    def __init__(self, client: Any, bucket: str, written: list[str]) -> None:
        """Write to a bucket.

        Args:
            client: boto3 S3 client.
            bucket: Data bucket.
            written: Receives each key once it is written, so that it is correct after a failure.
        """
        self._client = client
        self._bucket = bucket
        self._written = written

    def records(self, models: ModelSet, records: Records, promoted: bool) -> None:
        """Write the dated archive and the records.

        Raises:
            BucketError: S3 refused; the live set is untouched.
        """
        day = records.run_date
        for name, body in models.objects().items():
            self._put(models.archive_key(name), body, s3_keys.content_type(name))
        self._json(models.archive_key(s3_keys.MANIFEST), models.manifest(promoted, models.archive_key))
        for name in (day, "latest"):
            self._put(s3_keys.out_of_sample(name), models.out_of_sample, s3_keys.content_type(s3_keys.OUT_OF_SAMPLE))
        for name in (day, "latest"):
            self._json(s3_keys.summary(name), records.summary)
        for name in (records.stamp, "latest"):
            self._json(s3_keys.triple_barrier(name), records.triple_barrier)
        self._json(s3_keys.HEALTH, records.health)
        self._json(s3_keys.data_manifest(day), records.data_manifest)

    def live(self, models: ModelSet, etag: str | None, before: Manifest | None) -> Promotion:
        """Put a set live, its manifest last.

        A set that an interrupted attempt of its run has already put live is left alone.

        Args:
            models: The set.
            etag: ETag of the live manifest read before the training, None without one.
            before: The manifest of the set that was live then, None without one.

        Raises:
            ManifestError: The version exists with other content; the previous set stays live.
            LostRace: Another set went live since `etag` was read; this one did not.
            BucketError: S3 refused; the previous set stays live.
        """
        prefix = models.live_key("")
        if before is not None and etag is not None and (before.version, before.digests()) == models.identity():
            return Promotion(models.version, prefix, etag, before.document.get("replaced"))
        for name, body in models.objects().items():
            key = models.live_key(name)
            self._put_new(key, body, s3_keys.content_type(name))
            self._put_new(s3_keys.description(key), to_json(models.meta(name)), JSON)
        replaced = None if before is None else {"version": before.version, "run_id": before.run_id}
        document = {**models.manifest(True, models.live_key), "replaced": replaced}
        try:
            made = manifest.replace_live(self._client, self._bucket, to_json(document), etag)
        except LostRace as error:
            message = f"{error}; run {models.run_id} wrote its archive and records, but was not promoted"
            raise LostRace(message) from error
        self._written.append(s3_keys.LIVE_MANIFEST)
        return Promotion(models.version, prefix, made, replaced)

    def nothing_live(self, models: ModelSet) -> None:
        """Write a live manifest without files, unless a live manifest exists.

        Raises:
            BucketError: S3 refused.
        """
        try:
            manifest.replace_live(self._client, self._bucket, to_json(models.nothing()), None)
        except LostRace:
            return
        self._written.append(s3_keys.LIVE_MANIFEST)

    def _json(self, key: str, document: Mapping[str, Any]) -> None:
        self._put(key, to_json(document), JSON)

    def _put(self, key: str, body: bytes, content_type: str) -> None:
        with bucket_errors(f"write s3://{self._bucket}/{key}"):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type)
        self._written.append(key)

    def _put_new(self, key: str, body: bytes, content_type: str) -> None:
        manifest.put_new(self._client, self._bucket, key, body, content_type)
        self._written.append(key)
