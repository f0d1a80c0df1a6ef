"""The training from end to end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import predictor
from predictor import aws, config, interrupt, lock, resources, s3_keys, store
from predictor.config import Config
from predictor.errors import PredictorError, TrainingError, one_line
from predictor.training import (
    artefacts,
    data_changes,
    dataset,
    diagnostics,
    fingerprint,
    gates,
    heartbeat,
    ic,
    incumbent,
    panel,
    report,
    research,
    triple_barrier,
)
from predictor.training.folds import Fold
from predictor.training.incumbent import Incumbent
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
    lock_path: Path | None = None
    revision: str | None = None
    preflight_path: Path | None = None


@dataclass(frozen=True)
class _Trained:
    """The outcome of all folds and the final models."""

    panel: Panel
    research: Research
    rows: Rows
    result: WalkForwardResult
    barriers: triple_barrier.Observation
    gates: list[gates.Gate]
    files: dict[str, bytes]
    source: dict[str, Any]
    data_manifest: dict[str, Any]


def train(job: Job, result: dict[str, Any]) -> None:
    """Train, apply the gates, and write unless it is a dry run.

    Args:
        job: What to train.
        result: From `report.empty`; filled in step by step, so that it is correct after a failure.

    Raises:
        PredictorError: The reason, in one line.
    """
    started = time.monotonic()
    with Progress(job.progress_path) as progress:
        result["stages"] = progress.stages
        try:
            # The order of sums over several BLAS threads depends on the machine. LightGBM does not use BLAS.
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
        live = incumbent.read(client, job.data_bucket)
        source = _source(job, settings)
    trained = _fit(job, settings, client, live, source, result, progress)
    result["resources"] = {
        "peak_memory_mb": resources.peak_memory_mb(),
        "disk_mb": round(max(0.0, free_before - resources.free_disk_mb(folder)), 1),
    }
    result["gates"] = [asdict(gate) for gate in trained.gates]
    promoted = gates.promoted(trained.gates)
    if not job.dry_run:
        with progress.stage("write"):
            _write(job, trained, live, Writer(client, job.data_bucket, result["written"]), promoted, result)
    result["promoted"] = promoted
    if not job.dry_run:
        # The training has succeeded; SIGTERM no longer interrupts it.
        interrupt.disarm()
        with progress.stage("heartbeat"):
            result["heartbeat"] = heartbeat.send(settings.heartbeat, result["notes"])


def _source(job: Job, settings: Config) -> dict[str, Any]:
    """The provenance of a set, except its data.

    Raises:
        PredictorError: The lock file cannot be read.
    """
    return {
        "predictor_version": predictor.__version__,
        "config_sha256": artefacts.config_digest(settings.as_dict()),
        "code": {"revision": job.revision, "digest": fingerprint.package_digest()},
        "lock_sha256": None if job.lock_path is None else lock.digest(job.lock_path),
    }


def _fit(
    job: Job,
    settings: Config,
    client: Any,
    live: Incumbent,
    source: dict[str, Any],
    result: dict[str, Any],
    progress: Progress,
) -> _Trained:
    with progress.stage("read"):
        uri = store.arctic_uri(job.data_bucket, aws.region(), job.arctic_prefix, aws.endpoint())
        arctic = store.ReadOnlyStore(uri)
        prices = panel.load(arctic.library(settings.data.universe_library), job.run_date, settings)
        _compare_with_preflight(job, settings, prices, result)
        result["left_out"], result["symbols"] = prices.left_out, len(prices.symbols)
        dataset.split(prices, settings)  # fails early if the history is too short
        studies = research.read(arctic, prices, job.run_date, settings)
        about = artefacts.description(job.run_id, job.run_date.isoformat(), source)
        data_manifest = artefacts.data_manifest(prices, studies.versions, about)
        _compare_with_last_run(job, client, data_manifest, result)
    result["research"] = f"skipped: {studies.skipped}" if studies.skipped else f"{len(studies.columns)} columns"
    made = dataset.build(prices, studies, settings, progress.stage)
    data, plan = made.rows, made.plan
    result["left_out"] = [*prices.left_out, *made.left_out]
    result["rows"] = len(data)
    mark = fingerprint.compute(settings, prices, studies, source["lock_sha256"])
    studies = replace(studies, columns={})  # the rows have them now
    walk = WalkForward(data, made.research_columns, settings)
    with progress.stage("walk_forward"):
        saved = None
        if job.state_prefix is not None:
            saved = SavedFolds(client, job.data_bucket, job.state_prefix, mark, result["notes"])
        done = walk.run(plan, _fold_reporter(progress, len(plan), result), saved)
    _record_folds(prices, plan, done, result)
    with progress.stage("final_models"):
        layer1, meta = walk.fit_final(done)
        files = artefacts.model_files(layer1, meta, walk.input_names, studies.skipped)
    with progress.stage("gates"):
        barriers = triple_barrier.observe(prices.close, data, done, settings)
        comparison = incumbent.compare(live, prices, data, done)
        result["incumbent"] = None if comparison is None else comparison.as_document()
        own_version = s3_keys.version(job.run_date.isoformat(), job.run_id)
        evidence = gates.Evidence(data, done, barriers, comparison, own_version)
        verdicts = gates.evaluate(evidence, settings.gates)
    with progress.stage("diagnostics"):
        result["diagnostics"] = diagnostics.compute(prices, data, done, settings.labels.horizon)
    return _Trained(prices, studies, data, done, barriers, verdicts, files, source, data_manifest)


def _compare_with_preflight(job: Job, settings: Config, prices: Panel, result: dict[str, Any]) -> None:
    """Record the changes since the run's preflight, if its report is given.

    Raises:
        TrainingError: The configuration says to fail on a change, and the data changed or cannot be compared.
    """
    if job.preflight_path is None:
        return
    fails = settings.data.changed_since_preflight == "fail"
    try:
        found = data_changes.since_preflight(job.preflight_path, settings.data.universe_library, prices.versions)
    except TrainingError as error:
        if fails:
            raise
        result["notes"].append(str(error))
        return
    result["data_changes"]["since_preflight"] = found
    if (note := data_changes.preflight_note(found)) is None:
        return
    if fails:
        raise TrainingError(f"{note}; nothing was trained, since data.changed_since_preflight is fail")
    result["notes"].append(note)


def _compare_with_last_run(job: Job, client: Any, now: dict[str, Any], result: dict[str, Any]) -> None:
    """Record the changes since the last training; an error becomes a note."""
    try:
        before = data_changes.last_manifest(client, job.data_bucket, job.run_date.isoformat(), job.run_id)
    except PredictorError as error:
        result["notes"].append(f"the data was not compared with the last training's: {one_line(error)}")
        return
    result["data_changes"]["since_last_run"] = None if before is None else data_changes.since_last_run(before, now)


def _fold_reporter(progress: Progress, total: int, result: dict[str, Any]) -> Callable[[FoldDone], None]:
    """A callback that reports a fold to `progress` and `result`, with an estimate of the remaining time."""
    started = time.monotonic()
    computed = 0

    def report_fold(done: FoldDone) -> None:
        nonlocal computed
        result["resumed_folds"] += done.resumed
        # A fold's cost is about proportional to its training rows, which grow linearly with its number.
        computed += 0 if done.resumed else done.fold.number + 2
        left = sum(number + 2 for number in range(done.fold.number + 1, total))
        spent = time.monotonic() - started
        progress.fold(done, total, spent * left / computed if computed else None)

    return report_fold


def _record_folds(prices: Panel, plan: list[Fold], done: WalkForwardResult, result: dict[str, Any]) -> None:
    """Put the folds into the result.

    Raises:
        TrainingError: No fold has an IC.
    """
    result["skipped_folds"] = [report.name_skipped(prices, plan[s["fold"]], s["reason"]) for s in done.skipped]
    if not done.folds:
        reasons = "; ".join(f"fold {skipped['fold']}: {skipped['reason']}" for skipped in done.skipped)
        raise TrainingError(f"all {len(plan)} folds were skipped: {reasons}")
    result["fold_ics"] = [report.name_days(prices, fold) for fold in done.folds]
    result["folds"] = len(done.folds)
    result["median_ic"] = float(np.median(done.ics()))
    result["median_ic_interval"] = ic.median_interval(done.ics())


def _write(
    job: Job, trained: _Trained, live: Incumbent, writer: Writer, promoted: bool, result: dict[str, Any]
) -> None:
    """Write the records and, if promoted, the live weights."""
    now = datetime.now(UTC)
    run_date = job.run_date.isoformat()
    trained_at = now.isoformat(timespec="seconds")
    about = {**artefacts.description(job.run_id, run_date, trained.source), "trained_at": trained_at}
    verdict = {"promoted": promoted, "median_ic": result["median_ic"], "gates": result["gates"]}
    data = {"digest": trained.data_manifest["digest"], "versions": trained.panel.versions}
    models = artefacts.ModelSet(
        job.run_id,
        run_date,
        trained.files,
        artefacts.out_of_sample(trained.panel, trained.rows, trained.result),
        trained.source,
        {"trained_at": trained_at, "data": data, "gates": result["gates"]},
    )
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
        "median_ic_interval",
        "left_out",
        "incumbent",
        "data_changes",
        "diagnostics",
    )
    records = Records(
        run_date=run_date,
        stamp=now.strftime("%Y%m%dT%H%M%SZ"),
        summary={**about, **verdict, **{key: result[key] for key in shown}},
        triple_barrier={**about, **asdict(trained.barriers)},
        health={**about, "status": "ok", **verdict},
        data_manifest={**trained.data_manifest, "trained_at": trained_at},
    )
    writer.records(models, records, promoted)
    if promoted:
        result["promotion"] = asdict(writer.live(models, live.etag, live.manifest))
    elif live.etag is None:
        writer.nothing_live(models)
