"""`icecream-fit`: fit, judge, and publish what is good enough: the model first, the manifest last."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from botocore.exceptions import ClientError
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score

from . import sales

MANIFEST = "icecream/manifest.json"
LEAST_R2 = 0.5


def main() -> int:
    """Run; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--bucket", "--name", "--commit", "--report", "--steps"):
        parser.add_argument(name, required=True)
    parser.add_argument("--rehearsal", action="store_true")
    options = parser.parse_args()
    s3 = boto3.client("s3")
    with open(options.steps, "w", encoding="utf-8") as steps:
        print(json.dumps({"stage": "fitting"}), file=steps, flush=True)
        _, features, sold = sales.read(s3, options.bucket)
        cut = len(sold) * 3 // 4
        model = Ridge().fit(features[:cut], sold[:cut])
        forecast = model.predict(features[cut:])
    r2 = float(r2_score(sold[cut:], forecast))
    good = r2 >= LEAST_R2
    result: dict[str, Any] = {
        "metrics": {"r2": r2, "mean_absolute_error": float(mean_absolute_error(sold[cut:], forecast))},
        "gates": [{"name": "r2", "value": r2, "threshold": LEAST_R2, "passed": good, "blocking": True}],
        "dry_run": options.rehearsal,
        "promoted": good,
        "written": [],
    }
    if good and not options.rehearsal:
        document = {"coefficients": np.round(model.coef_, 6).tolist(), "intercept": round(float(model.intercept_), 6)}
        result["written"] = publish(s3, options.bucket, options.name, options.commit, document)
    Path(options.report).write_text(json.dumps(result), encoding="utf-8")
    print(f"r2 {r2:.3f}")
    return 0


def publish(s3: Any, bucket: str, name: str, commit: str, model: dict[str, Any]) -> list[str]:
    """Write the model, then the manifest that names it; fails if the manifest has changed meanwhile."""
    try:
        condition = {"IfMatch": s3.head_object(Bucket=bucket, Key=MANIFEST)["ETag"]}
    except ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise
        condition = {"IfNoneMatch": "*"}
    key = f"icecream/models/{name}.json"
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(model).encode())
    manifest = json.dumps({"model": key, "commit": commit}).encode()
    s3.put_object(Bucket=bucket, Key=MANIFEST, Body=manifest, **condition)
    return [key, MANIFEST]


if __name__ == "__main__":
    sys.exit(main())
