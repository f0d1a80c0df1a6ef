"""The training from end to end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from predictor import aws, config, resources, store
from predictor.config import Config
from predictor.errors import TrainingError
from predictor.training import (
    artefacts,
    features,
    fingerprint,
    folds,
    gates,
    labels,
    panel,
    report,
    research,
    rows,
    triple_barrier,
)
from predictor.training.folds import Fold
from predictor.training.panel import Panel
from predictor.training.progress import Progress
from predictor.training.research import Research
from predictor.training.rows import Rows
from predictor.training.saved_folds import SavedFolds
from predictor.training.walk_forward import FoldDone, WalkForward, WalkForwardResult
from predictor.training.writer import Records, Writer


@dataclass(frozen=True)
class Job:
    """What to train: see `predictor train --help`."""

    data_bucket: str
    run_date: date
    config_path: Path
    run_id: str
    arctic_prefix: str
    dry_run: bool
    progress_path: Path
    state_prefix: str | None


@dataclass(frozen=True)
class _Trained:
    """What is known once all folds are run and the final models fitted."""

    panel: Panel
    research: Research
    rows: Rows
    result: WalkForwardResult
    barriers: triple_barrier.Observation
    gates: list[gates.Gate]
    files: dict[str, bytes]


def train(job: Job, result: dict[str, Any]) -> None:
    """Train, judge, and unless it is a dry run write.

    Args:
        job: What to train.
        result: From `report.empty`; filled in as things become known, so that it is true even after a failure.

    Raises:
        PredictorError: With the reason, in one line.
    """
    started = time.monotonic()
    with Progress(job.progress_path) as progress:
        result["stages"] = progress.stages
        try:
            # Sums over several BLAS threads come out in another order on another machine. LightGBM is not BLAS.
            with threadpool_limits(1, user_api="blas"):
                _train(job, result, progress)
        finally:
            result["seconds"] = round(time.monotonic() - started, 3)


def _train(job: Job, result: dict[str, Any], progress: Progress) -> None:
    folder = job.progress_path.parent
    free_before = resources.free_disk_mb(folder)
    with progress.stage("check"):
        settings = config.load(job.config_path)
        client = aws.s3_client()
        with aws.bucket_errors(f"reach bucket {job.data_bucket}"):
            client.head_bucket(Bucket=job.data_bucket)
    trained = _fit(job, settings, client, result, progress)
    result["resources"] = {
        "peak_memory_mb": resources.peak_memory_mb(),
        "disk_mb": round(max(0.0, free_before - resources.free_disk_mb(folder)), 1),
    }
    result["gates"] = gates.as_documents(trained.gates)
    promoted = gates.promoted(trained.gates)
    if not job.dry_run:
        with progress.stage("write"):
            _write(job, settings, trained, Writer(client, job.data_bucket, result["written"]), promoted, result)
    result["promoted"] = promoted


def _fit(job: Job, settings: Config, client: Any, result: dict[str, Any], progress: Progress) -> _Trained:
    with progress.stage("read"):
        uri = store.arctic_uri(job.data_bucket, aws.region(), job.arctic_prefix, aws.endpoint())
        arctic = store.ReadOnlyStore(uri)
        prices = panel.read(arctic.library(settings.data.universe_library), job.run_date)
        studies = research.read(arctic, prices, job.run_date, settings)
    result["symbols"] = len(prices.symbols)
    result["research"] = f"skipped: {studies.skipped}" if studies.skipped else f"{len(studies.columns)} columns"
    with progress.stage("features"):
        computed = {**features.compute(prices.close), **studies.columns}
    with progress.stage("labels"):
        targets = labels.compute(prices.close, settings.labels.horizon, settings.labels.clip)
        data = rows.build(computed, targets)
        del computed
    result["rows"] = len(data)
    plan = folds.split(len(prices.days) - settings.labels.horizon, settings.walk_forward)
    walk = WalkForward(data, list(studies.columns), settings)
    with progress.stage("walk_forward"):
        saved = None
        if job.state_prefix is not None:
            mark = fingerprint.compute(settings, prices, studies)
            saved = SavedFolds(client, job.data_bucket, job.state_prefix, mark, result["notes"])
        done = walk.run(plan, _fold_reporter(progress, len(plan), result), saved)
    _note_folds(prices, plan, done, result)
    with progress.stage("final_models"):
        layer1, meta = walk.fit_final(done)
        files = artefacts.model_files(layer1, meta, walk.input_names, studies.skipped)
    with progress.stage("gates"):
        barriers = triple_barrier.observe(prices.close, data, done, settings)
        verdicts = gates.judge(data, done, barriers, settings.gates)
    return _Trained(prices, studies, data, done, barriers, verdicts, files)


def _fold_reporter(progress: Progress, total: int, result: dict[str, Any]) -> Callable[[FoldDone], None]:
    """A callback that tells `progress` and `result` of a fold and guesses what is left."""
    started = time.monotonic()
    computed = 0

    def report_fold(done: FoldDone) -> None:
        nonlocal computed
        result["resumed_folds"] += done.resumed
        # A fold costs about what its training rows cost, and those grow linearly with its number.
        computed += 0 if done.resumed else done.fold.number + 2
        left = sum(number + 2 for number in range(done.fold.number + 1, total))
        spent = time.monotonic() - started
        progress.fold(done, total, spent * left / computed if computed else None)

    return report_fold


def _note_folds(prices: Panel, plan: list[Fold], done: WalkForwardResult, result: dict[str, Any]) -> None:
    """Put the folds into the result.

    Raises:
        TrainingError: Not one fold has an IC.
    """
    result["skipped_folds"] = [report.name_skipped(prices, plan[s["fold"]], s["reason"]) for s in done.skipped]
    if not done.folds:
        reasons = "; ".join(f"fold {skipped['fold']}: {skipped['reason']}" for skipped in done.skipped)
        raise TrainingError(f"no fold is left of {len(plan)}: {reasons}")
    result["fold_ics"] = [report.name_days(prices, fold) for fold in done.folds]
    result["folds"] = len(done.folds)
    result["median_ic"] = float(np.median(done.ics()))


def _write(
    job: Job, settings: Config, trained: _Trained, writer: Writer, promoted: bool, result: dict[str, Any]
) -> None:
    """Write records and, if the gates let them, live weights."""
    now = datetime.now(UTC)
    run_date = job.run_date.isoformat()
    about = artefacts.description(job.run_id, run_date, now.isoformat(timespec="seconds"), settings.as_dict())
    verdict = {"promoted": promoted, "median_ic": result["median_ic"], "gates": result["gates"]}
    models = artefacts.ModelSet(trained.files, {**about, "gates": result["gates"]})
    shown = (
        "folds",
        "fold_ics",
        "skipped_folds",
        "symbols",
        "rows",
        "research",
        "stages",
        "resources",
        "resumed_folds",
    )
    records = Records(
        run_date=run_date,
        stamp=now.strftime("%Y%m%dT%H%M%SZ"),
        out_of_sample=artefacts.out_of_sample(trained.panel, trained.rows, trained.result),
        summary={**about, **verdict, **{key: result[key] for key in shown}},
        triple_barrier={**about, **trained.barriers.as_document()},
        health={**about, "status": "ok", **verdict},
        data_manifest=artefacts.data_manifest(trained.panel, trained.research.versions, about),
    )
    writer.records(models, records, promoted)
    if promoted:
        writer.live(models)
    else:
        writer.nothing_live(models)
