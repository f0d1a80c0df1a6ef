"""Send the AWS requests of the default training project with its functions but without its libraries.

    errand.py preflight|training|overreach <data bucket> <run date> <run id>

`preflight` reads, `training` writes an archived and a live set, saves a fold and sends the heartbeat, and `overreach`
is a preflight that tries to write. Each prints its result in one line.
"""

from __future__ import annotations

import importlib
import json
import sys
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

aws: Any = importlib.import_module("predictor.aws")
bucket_check: Any = importlib.import_module("predictor.checks.c50_bucket")
config: Any = importlib.import_module("predictor.config")
heartbeat: Any = importlib.import_module("predictor.training.heartbeat")
manifest: Any = importlib.import_module("predictor.manifest")
s3_keys: Any = importlib.import_module("predictor.s3_keys")
to_json: Any = importlib.import_module("predictor.output").to_json

ARCTIC = "arcticdb"
FOLDS = "runs/folds/errand"


def main(kind: str, bucket: str, run_date: str, run_id: str) -> str:
    """Run one errand and return its result in one line."""
    s3 = aws.s3_client()
    finding = bucket_check.run(SimpleNamespace(data_bucket=bucket, arctic_prefix=ARCTIC))
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"{ARCTIC}/", MaxKeys=1)["Contents"]
    s3.get_object(Bucket=bucket, Key=listed[0]["Key"])["Body"].read()
    live = manifest.read_live(s3, bucket)
    if kind == "overreach":
        s3.put_object(Bucket=bucket, Key=s3_keys.HEALTH, Body=b"")
    if kind == "training":
        _write(s3, bucket, run_date, run_id, live)
        notes: list[str] = []
        heartbeat.send(config.Heartbeat("AlphaEngine", "Heartbeat", "predictor-training"), notes)
        if notes:
            return notes[0]
    return str(finding.detail)


def _write(s3: Any, bucket: str, run_date: str, run_id: str, live: Any) -> None:
    """Write what a training with passing gates writes, in the same order."""
    s3.put_object(Bucket=bucket, Key=f"{FOLDS}/{run_id}", Body=b"a fold")
    s3.get_object(Bucket=bucket, Key=f"{FOLDS}/{run_id}")["Body"].read()
    bodies = {name: f"{name} of {run_id}".encode() for name in (*s3_keys.MODEL_FILES, s3_keys.OUT_OF_SAMPLE)}
    files = {}
    for name, body in bodies.items():
        s3.put_object(Bucket=bucket, Key=s3_keys.archive(run_date, name), Body=body)
        files[name] = manifest.entry(s3_keys.archive(run_date, name), body)
    document = {
        "version": s3_keys.version(run_date, run_id),
        "run_id": run_id,
        "run_date": run_date,
        "promoted": True,
        "gates": [{"name": "median_ic", "passed": True, "blocking": True}],
    }
    archived = {**document, "out_of_sample": files.pop(s3_keys.OUT_OF_SAMPLE), "files": files}
    s3.put_object(Bucket=bucket, Key=s3_keys.archive(run_date, s3_keys.MANIFEST), Body=to_json(archived))
    s3.put_object(Bucket=bucket, Key=s3_keys.HEALTH, Body=json.dumps({"run_id": run_id}).encode())
    s3.put_object(Bucket=bucket, Key=s3_keys.data_manifest(run_date), Body=b"{}")
    entries = {}
    for name, body in bodies.items():
        key = s3_keys.versioned(document["version"], name)
        entries[name] = manifest.entry(key, body)
        manifest.put_new(s3, bucket, key, body, "text/plain")
        description = to_json(manifest.describe(name, entries[name], document))
        manifest.put_new(s3, bucket, s3_keys.description(key), description, "application/json")
    now_live = {**document, "out_of_sample": entries.pop(s3_keys.OUT_OF_SAMPLE), "files": entries}
    manifest.replace_live(s3, bucket, to_json(now_live), live.etag)


if __name__ == "__main__":
    try:
        print("errand:", main(*sys.argv[1:]), flush=True)
    except (ClientError, aws.PredictorError) as error:
        print("errand:", " ".join(str(error).split()), flush=True)
