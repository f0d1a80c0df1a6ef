"""Changes of the data since the preflight of the same run, and since the last training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from predictor import aws, s3_keys
from predictor.errors import PredictorError, TrainingError

NAMED = 10
"""Maximum number of symbols in a note."""


def since_preflight(path: Path, library: str, versions: Mapping[str, int]) -> dict[str, Any]:
    """Compare the versions read with those that the preflight of the same run read.

    Args:
        path: The preflight's report.
        library: Name of the universe's library.
        versions: ArcticDB version that was read, by symbol.

    Returns:
        `changed`: `{symbol, library, preflight, training}` of every symbol whose versions differ; the version of an
        absent symbol is None.

    Raises:
        TrainingError: The report cannot be read or has no versions.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        before = {str(symbol): int(version) for symbol, version in report["versions"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        detail = "it has no versions" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise TrainingError(f"cannot read the data's versions from the preflight's report {path}: {detail}") from error
    changed = [
        {"symbol": symbol, "library": library, "preflight": before.get(symbol), "training": versions.get(symbol)}
        for symbol in sorted({*before, *versions})
        if before.get(symbol) != versions.get(symbol)
    ]
    return {"changed": changed}


def preflight_note(found: Mapping[str, Any]) -> str | None:
    """A note on the changes that `since_preflight` found, None without any."""
    changed = found["changed"]
    if not changed:
        return None
    shown = [f"{one['symbol']} ({_shown(one['preflight'])} to {_shown(one['training'])})" for one in changed[:NAMED]]
    more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
    return f"{len(changed)} symbols changed between preflight and training: {', '.join(shown)}{more}"


def last_manifest(client: Any, bucket: str, run_date: str, run_id: str) -> dict[str, Any] | None:
    """The newest data manifest for this day or an earlier one, None without one.

    Args:
        client: boto3 S3 client.
        bucket: Data bucket.
        run_date: Day of this training, `YYYY-MM-DD`.
        run_id: Its run, whose earlier attempts are skipped.

    Raises:
        PredictorError: S3 refused, or the object is not a data manifest.
    """
    keys = aws.list_keys(client, bucket, s3_keys.DATA_MANIFESTS)
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
        `run_date` and `run_id` of the earlier one, the symbols `added` and `removed`, and `revised`: `{symbol, from,
        to, bars_from, bars_to, last_from, last_to}` of each symbol whose version differs.
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
    if (body := aws.read_object(client, bucket, key)) is None:
        return None  # deleted since it was listed
    try:
        document = json.loads(body)
        for named in document["symbols"].values():
            _ = named["version"], named["bars"], named["last"]
        _ = document["run_id"], document["run_date"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PredictorError(f"s3://{bucket}/{key} is not a data manifest") from error
    return dict(document)


def _shown(version: int | None) -> str:
    return "absent" if version is None else str(version)
