"""The two commands of a training project: `practice preflight` and `practice train`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = 75
KEY = "predictor/practice.json"


def main() -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args()
    settings = json.loads(options.config.read_text(encoding="utf-8"))
    code: int = options.command(options, settings)
    return code


def _preflight(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    sys.stdin.read()  # the expected symbols
    with options.output.with_suffix(".starts").open("a", encoding="utf-8") as starts:
        starts.write("started\n")
    time.sleep(settings["preflight_seconds"])
    check = {"name": "practice", "tier": "instance", "group": "software", "status": "pass", "detail": "it runs",
             "remedy": "", "seconds": settings["preflight_seconds"]}  # fmt: skip
    _write(options.output, {"checks": [check], "symbols": 1, "ages": {"PRACTICE": 0}, "limit": 3, "seconds": 0.0})
    return 0


def _train(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    signal.signal(signal.SIGTERM, _stop)
    folds = settings["folds"]
    with options.progress.open("w", encoding="utf-8") as progress:
        for fold in range(folds):
            progress.write(json.dumps({"stage": "walk_forward", "fold": fold, "folds": folds}) + "\n")
            progress.flush()
            time.sleep(settings["fold_seconds"])
    written = [] if options.dry_run or not settings["write"] else [_publish(options.data_bucket)]
    gate = {"name": "practice", "value": 1.0, "threshold": 0.0, "passed": True, "blocking": True}
    _write(options.output, {"dry_run": options.dry_run, "folds": folds, "median_ic": 0.0, "promoted": False,
                            "gates": [gate], "seconds": folds * settings["fold_seconds"], "fold_ics": [],
                            "skipped_folds": [], "written": written})  # fmt: skip
    return 0


def _publish(bucket: str) -> str:
    """Write one object and return its key; needs boto3 in the lock file."""
    import boto3

    boto3.client("s3").put_object(Bucket=bucket, Key=KEY, Body=b"{}")
    return KEY


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(INTERRUPTED)


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="practice", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True)
    preflight = commands.add_parser("preflight", allow_abbrev=False)
    preflight.set_defaults(command=_preflight)
    train = commands.add_parser("train", allow_abbrev=False)
    train.set_defaults(command=_train)
    for command in (preflight, train):
        for name in ("--data-bucket", "--run-date", "--arctic-prefix"):
            command.add_argument(name, required=True)
        for name in ("--config", "--output"):
            command.add_argument(name, type=Path, required=True)
    preflight.add_argument("--lock", type=Path, required=True)
    for name in ("--training-seconds", "--expected-symbols", "--work-dir"):
        preflight.add_argument(name)
    train.add_argument("--run-id", required=True)
    train.add_argument("--progress", type=Path, required=True)
    train.add_argument("--dry-run", action="store_true")
    for name in ("--state-prefix", "--lock", "--revision", "--preflight"):
        train.add_argument(name)
    return parser
