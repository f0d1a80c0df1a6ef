"""Writing to the data bucket, in an order in which every moment is safe to be killed at.

First the dated archive, its files and then its manifest. Then the records: diagnostics, summary, triple barrier,
health, data manifest. Then, only if the gates let it, the set under a version of its own that is never overwritten; and
last of all the live manifest, by a conditional write (`predictor.manifest`). Until that one request is done the old set
serves, afterwards the new one, whole. A bucket in which nothing was ever put live gets a manifest that names no file,
so that a reader can tell "nothing yet" from "not there".
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

JSON, PARQUET = "application/json", "application/vnd.apache.parquet"


@dataclass(frozen=True)
class Records:
    """What every training that is no dry run writes.

    Attributes:
        run_date: The day in the keys, `YYYY-MM-DD`.
        stamp: Time of the run, `YYYYmmddTHHMMSSZ`.
        summary: Training summary.
        triple_barrier: The observation.
        health: That the training ran, and how it ended.
        data_manifest: What data it used.
    """

    run_date: str
    stamp: str
    summary: Mapping[str, Any]
    triple_barrier: Mapping[str, Any]
    health: Mapping[str, Any]
    data_manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Promotion:
    """A set that was put live.

    Attributes:
        version: Its name.
        prefix: Key prefix of its files.
        manifest_etag: ETag of the live manifest that names it.
        replaced: `{version, run_id}` of the set that was live before, None if none was.
    """

    version: str
    prefix: str
    manifest_etag: str
    replaced: dict[str, str] | None


class Writer:
    """Puts objects into one bucket and remembers their keys."""

    def __init__(self, client: Any, bucket: str, written: list[str]) -> None:
        """Write nothing yet.

        Args:
            client: boto3 S3 client.
            bucket: Data bucket.
            written: Gets each key once it is there, so that it is true even after a failure.
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
            self._put(s3_keys.out_of_sample(name), models.out_of_sample, PARQUET)
        for name in (day, "latest"):
            self._json(s3_keys.summary(name), records.summary)
        for name in (records.stamp, "latest"):
            self._json(s3_keys.triple_barrier(name), records.triple_barrier)
        self._json(s3_keys.HEALTH, records.health)
        self._json(s3_keys.data_manifest(day), records.data_manifest)

    def live(self, models: ModelSet, etag: str | None, before: Manifest | None) -> Promotion:
        """Put a set live, its manifest last.

        Args:
            models: The set.
            etag: ETag of the live manifest that was read before the training; None if there was none.
            before: The manifest of the set that was live then; None if none was. A set that is live already, because
                an earlier try of its run was cut off right after, is left as it is.

        Returns:
            What was done.

        Raises:
            ManifestError: The version is there with other content; the set before is still live.
            LostRace: Another set was put live since `etag` was read; nothing of this one is live.
            BucketError: S3 refused; the set before is still live.
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
            raise LostRace(f"{error}: nothing of run {models.run_id} is live, only its archive and records") from error
        self._written.append(s3_keys.LIVE_MANIFEST)
        return Promotion(models.version, prefix, made, replaced)

    def nothing_live(self, models: ModelSet) -> None:
        """Where there is no live manifest, say that no set was put live; one that is there is left as it is.

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
