"""What changed in the data: since the preflight of the same run, and since the last training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from predictor import s3_keys
from predictor.aws import bucket_errors
from predictor.errors import PredictorError, TrainingError

NAMED = 10
"""So many symbols a note names."""


def since_preflight(path: Path, library: str, versions: Mapping[str, int]) -> dict[str, Any]:
    """Compare the versions read with those that the preflight of the same run read.

    Args:
        path: The preflight's result.
        library: Name of the universe's library.
        versions: ArcticDB version that was read, by symbol.

    Returns:
        `changed`: `{symbol, library, preflight, training}` of every symbol whose versions differ; a version is None
        where the symbol was not there.

    Raises:
        TrainingError: The file cannot be read, or says nothing of versions.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        before = {str(symbol): int(version) for symbol, version in report["versions"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        detail = "it has no versions" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise TrainingError(f"the preflight's result {path} says nothing of the data's versions: {detail}") from error
    changed = [
        {"symbol": symbol, "library": library, "preflight": before.get(symbol), "training": versions.get(symbol)}
        for symbol in sorted({*before, *versions})
        if before.get(symbol) != versions.get(symbol)
    ]
    return {"changed": changed}


def preflight_note(found: Mapping[str, Any]) -> str | None:
    """A sentence on what `since_preflight` found, None if nothing changed."""
    changed = found["changed"]
    if not changed:
        return None
    shown = [f"{one['symbol']} ({_shown(one['preflight'])} to {_shown(one['training'])})" for one in changed[:NAMED]]
    more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
    return f"{len(changed)} symbols changed between preflight and training: {', '.join(shown)}{more}"


def last_manifest(client: Any, bucket: str, run_date: str, run_id: str) -> dict[str, Any] | None:
    """The data manifest of the last training before this one: the newest for this day or an earlier one.

    Args:
        client: boto3 S3 client.
        bucket: Data bucket.
        run_date: Day of this training, `YYYY-MM-DD`.
        run_id: Its run, whose own earlier tries do not count.

    Returns:
        The document, None if there is none.

    Raises:
        PredictorError: S3 refused, or it is no data manifest.
    """
    with bucket_errors(f"list s3://{bucket}/{s3_keys.DATA_MANIFESTS}"):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=s3_keys.DATA_MANIFESTS)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    for key in sorted((key for key in keys if key <= s3_keys.data_manifest(run_date)), reverse=True):
        document = _read(client, bucket, key)
        if document is not None and document["run_id"] != run_id:
            return document
    return None


def since_last_run(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Compare two data manifests.

    Args:
        before: Of an earlier training.
        now: Of this one (`artefacts.data_manifest`).

    Returns:
        `run_date` and `run_id` of the earlier one, the symbols `added` and `removed`, and those `revised`: `{symbol,
        from, to, bars_from, bars_to, last_from, last_to}` of each whose version differs.
    """
    old, new = before["symbols"], now["symbols"]
    revised = [
        {
            "symbol": symbol,
            "from": old[symbol]["version"],
            "to": new[symbol]["version"],
            "bars_from": old[symbol]["bars"],
            "bars_to": new[symbol]["bars"],
            "last_from": old[symbol]["last"],
            "last_to": new[symbol]["last"],
        }
        for symbol in sorted(old.keys() & new.keys())
        if old[symbol]["version"] != new[symbol]["version"]
    ]
    return {
        "run_date": before["run_date"],
        "run_id": before["run_id"],
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "revised": revised,
    }


def _read(client: Any, bucket: str, key: str) -> dict[str, Any] | None:
    with bucket_errors(f"read s3://{bucket}/{key}"):
        try:
            body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                return None  # removed since it was listed
            raise
    try:
        document = json.loads(body)
        for named in document["symbols"].values():
            _ = named["version"], named["bars"], named["last"]
        _ = document["run_id"], document["run_date"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PredictorError(f"s3://{bucket}/{key} is no data manifest") from error
    return dict(document)


def _shown(version: int | None) -> str:
    return "absent" if version is None else str(version)
