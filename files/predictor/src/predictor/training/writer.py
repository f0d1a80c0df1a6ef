"""Writing to the data bucket, in an order in which every moment is safe to stop at.

Records first: archive, diagnostics, summary, triple barrier, health, data manifest. Then, only if the gates let them,
the live weights, what lies beside them, and last of all the manifest that names them. A bucket in which nothing was
ever promoted gets a manifest that names no file, so that a reader can tell "nothing yet" from "not there".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from predictor import s3_keys
from predictor.aws import bucket_errors
from predictor.output import to_json
from predictor.training.artefacts import ModelSet

JSON, PARQUET, TEXT = "application/json", "application/vnd.apache.parquet", "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Records:
    """What every training that is no dry run writes.

    Attributes:
        run_date: The day in the keys, `YYYY-MM-DD`.
        stamp: Time of the run, `YYYYmmddTHHMMSSZ`.
        out_of_sample: Parquet.
        summary: Training summary.
        triple_barrier: The observation.
        health: That the training ran, and how it ended.
        data_manifest: What data it used.
    """

    run_date: str
    stamp: str
    out_of_sample: bytes
    summary: Mapping[str, Any]
    triple_barrier: Mapping[str, Any]
    health: Mapping[str, Any]
    data_manifest: Mapping[str, Any]


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
        for name, body in models.files.items():
            self._put(s3_keys.archive(day, name), body, _content_type(name))
        self._json(s3_keys.archive(day, s3_keys.MANIFEST), models.manifest(promoted))
        for name in (day, "latest"):
            self._put(s3_keys.out_of_sample(name), records.out_of_sample, PARQUET)
        for name in (day, "latest"):
            self._json(s3_keys.summary(name), records.summary)
        for name in (records.stamp, "latest"):
            self._json(s3_keys.triple_barrier(name), records.triple_barrier)
        self._json(s3_keys.HEALTH, records.health)
        self._json(s3_keys.data_manifest(day), records.data_manifest)

    def live(self, models: ModelSet) -> None:
        """Put a set live, its manifest last.

        Raises:
            BucketError: S3 refused; the manifest then still names the set before, and does not match.
        """
        for name, body in models.files.items():
            self._put(s3_keys.live(name), body, _content_type(name))
            self._json(s3_keys.live_meta(name), models.meta(name))
        self._json(s3_keys.live(s3_keys.MANIFEST), models.manifest(promoted=True))

    def nothing_live(self, models: ModelSet) -> None:
        """Where no set was ever promoted, say so in the manifest; a manifest that is there is left as it is.

        Raises:
            BucketError: S3 refused.
        """
        key = s3_keys.live(s3_keys.MANIFEST)
        document = {**models.manifest(promoted=False), "files": {}}
        with bucket_errors(f"write s3://{self._bucket}/{key}"):
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=to_json(document), ContentType=JSON, IfNoneMatch="*"
                )
            except ClientError as error:
                if error.response["Error"]["Code"] == "PreconditionFailed":
                    return
                raise
        self._written.append(key)

    def _json(self, key: str, document: Mapping[str, Any]) -> None:
        self._put(key, to_json(document), JSON)

    def _put(self, key: str, body: bytes, content_type: str) -> None:
        with bucket_errors(f"write s3://{self._bucket}/{key}"):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type)
        self._written.append(key)


def _content_type(name: str) -> str:
    return TEXT if name == s3_keys.VOLATILITY else JSON
