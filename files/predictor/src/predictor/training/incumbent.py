"""The live set as the one to beat: what it said out of sample, held against the candidate on the same days.

Each promoted set carries the out-of-sample rows of its own walk-forward. They are joined with the candidate's by day
and symbol, and both are judged with the candidate's labels. The incumbent's final models are not simply run over the
folds: they were fitted on all rows up to their own training, so the candidate's test windows are in-sample to them, and
no honest candidate could beat them there.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from predictor import weight_sets
from predictor.aws import bucket_errors
from predictor.errors import TrainingError
from predictor.manifest import Manifest, ManifestError, read_live, sha256
from predictor.training import ic
from predictor.training.panel import Panel
from predictor.training.rows import Rows
from predictor.training.walk_forward import FoldRows, WalkForwardResult

Vector = NDArray[np.float64]

REPAIR = "nothing was changed; playbooks/rollback.yml -e to=<date> restores an archived set"


@dataclass(frozen=True)
class OutOfSample:
    """Scores of an earlier training, one a row; N rows.

    Attributes:
        day: Shape (N,), `datetime64[D]`.
        names: Every symbol, once.
        symbol: Shape (N,): index into `names`.
        score: Shape (N,), NaN in folds that trained layer 1 only.
    """

    day: NDArray[np.datetime64]
    names: list[str]
    symbol: NDArray[np.int64]
    score: Vector


@dataclass(frozen=True)
class Incumbent:
    """What is live before a training.

    Attributes:
        etag: ETag of the live manifest, None if there is none.
        manifest: The manifest, None where no set was ever put live.
        rows: The set's own out-of-sample rows, None where there is no set.
    """

    etag: str | None
    manifest: Manifest | None
    rows: OutOfSample | None


@dataclass(frozen=True)
class Comparison:
    """The candidate beside the incumbent.

    Attributes:
        manifest: The incumbent's.
        folds: `{fold, ic, incumbent_ic, days}` of each of the candidate's folds with common days: the means of both
            daily ICs over the same days and rows. They differ from the fold's own IC where only some rows are common.
        detail: One line.
    """

    manifest: Manifest
    folds: list[dict[str, Any]]
    detail: str

    @property
    def days(self) -> int:
        """Common days, over all folds."""
        return sum(fold["days"] for fold in self.folds)

    @property
    def median_difference(self) -> float | None:
        """Median over the folds of the candidate's IC minus the incumbent's; None without a common day."""
        differences = [fold["ic"] - fold["incumbent_ic"] for fold in self.folds]
        return float(np.median(differences)) if differences else None

    def as_document(self) -> dict[str, Any]:
        """The comparison as JSON."""
        return {
            "run_id": self.manifest.run_id,
            "run_date": self.manifest.run_date,
            "version": self.manifest.version,
            "folds": self.folds,
            "median_difference": self.median_difference,
            "detail": self.detail,
        }


def read(client: Any, bucket: str) -> Incumbent:
    """Read what is live, and make sure that it is whole: digest of the out-of-sample rows, sizes of the models.

    Args:
        client: boto3 S3 client.
        bucket: Data bucket.

    Returns:
        What is live.

    Raises:
        TrainingError: The live set is damaged; one line says how, and what to do.
        BucketError: S3 refused or could not be reached.
    """
    there = read_live(client, bucket)
    try:
        manifest = weight_sets.live(bucket, there)
    except ManifestError as error:
        raise TrainingError(f"{error}; {REPAIR}") from error
    if manifest is None or manifest.out_of_sample is None:
        return Incumbent(there.etag, None, None)
    wrong = weight_sets.quick_findings(client, bucket, manifest)
    key = manifest.out_of_sample.key
    body = _body(client, bucket, key)
    if body is None:
        wrong.append(f"{key} is missing")
    elif sha256(body) != manifest.out_of_sample.sha256:
        wrong.append(f"{key} has another SHA-256 than its manifest says")
    if wrong or body is None:
        raise TrainingError(f"the live set (version {manifest.version}) is damaged: {'; '.join(wrong)}; {REPAIR}")
    try:
        return Incumbent(there.etag, manifest, decode(body))
    except (pa.ArrowException, KeyError, ValueError) as error:
        detail = " ".join(str(error).split())
        raise TrainingError(f"s3://{bucket}/{key} holds no out-of-sample rows: {detail}; {REPAIR}") from error


def decode(body: bytes) -> OutOfSample:
    """Read the rows that `artefacts.out_of_sample` wrote.

    Args:
        body: Parquet.

    Returns:
        Its days, symbols and scores.

    Raises:
        Exception: `pyarrow.ArrowException`, `KeyError` or `ValueError`: it is something else.
    """
    table = pq.read_table(io.BytesIO(body), columns=["date", "symbol", "score"])
    # Symbols repeat on every day: as numbers they take a tenth of the memory.
    symbols = table.column("symbol").combine_chunks().dictionary_encode()
    return OutOfSample(
        table.column("date").to_numpy().astype("datetime64[D]"),
        [str(name) for name in symbols.dictionary.to_pylist()],
        symbols.indices.to_numpy().astype(np.int64),
        table.column("score").to_numpy().astype(np.float64),
    )


def compare(incumbent: Incumbent, panel: Panel, rows: Rows, result: WalkForwardResult) -> Comparison | None:
    """Hold the candidate against the incumbent.

    Args:
        incumbent: What is live.
        panel: Names the candidate's days and symbols.
        rows: The candidate's rows, with the labels that both are judged by.
        result: The candidate's walk-forward.

    Returns:
        The comparison, None where no set was ever put live.
    """
    if incumbent.manifest is None or incumbent.rows is None:
        return None
    scores = _on_panel(incumbent.rows, panel)
    scored = {fold["fold"] for fold in result.folds}
    folds = [
        found
        for part in result.parts
        if part.fold.number in scored and (found := _compare_fold(part, rows, scores)) is not None
    ]
    days = sum(fold["days"] for fold in folds)
    detail = f"against run {incumbent.manifest.run_id} of {incumbent.manifest.run_date}: "
    detail += f"{days} common days in {len(folds)} of {len(result.folds)} folds"
    return Comparison(incumbent.manifest, folds, detail)


def _on_panel(rows: OutOfSample, panel: Panel) -> Vector:
    """The incumbent's scores, shape (T, S) of the candidate's panel, NaN where it said nothing."""
    wide = np.full((len(panel.days), len(panel.symbols)), np.nan)
    places = {name: place for place, name in enumerate(panel.symbols)}
    symbol = np.array([places.get(name, -1) for name in rows.names], dtype=np.int64)[rows.symbol]
    day = np.searchsorted(panel.days, rows.day)
    known = symbol >= 0
    known &= panel.days[np.minimum(day, len(panel.days) - 1)] == rows.day
    wide[day[known], symbol[known]] = rows.score[known]
    return wide


def _compare_fold(part: FoldRows, rows: Rows, scores: Vector) -> dict[str, Any] | None:
    """Both ICs on the rows and days of one fold that the two have in common; None without one."""
    place = slice(part.start, part.stop)
    theirs = scores[rows.day[place], rows.symbol[place]]
    common = np.isfinite(part.score) & np.isfinite(theirs)
    labels, days = rows.relative[place][common], rows.day[place][common]
    our_days, ours = ic.by_day(part.score[common], labels, days)
    their_days, their = ic.by_day(theirs[common], labels, days)
    both, at_ours, at_theirs = np.intersect1d(our_days, their_days, assume_unique=True, return_indices=True)
    if not len(both):
        return None
    return {
        "fold": part.fold.number,
        "ic": float(ours[at_ours].mean()),
        "incumbent_ic": float(their[at_theirs].mean()),
        "days": len(both),
    }


def _body(client: Any, bucket: str, key: str) -> bytes | None:
    """An object's content, None if there is none."""
    with bucket_errors(f"read s3://{bucket}/{key}"):
        stream = weight_sets.open_object(client, bucket, key)
        return None if stream is None else bytes(stream.read())
