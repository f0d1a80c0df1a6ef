"""The incumbent: the live set's out-of-sample scores, compared with the candidate's on the same days.

Each promoted set carries the out-of-sample rows of its own walk-forward. They are joined with the candidate's by day
and symbol, and both are evaluated with the candidate's labels. Running the incumbent's final models over the folds
would be unfair: they were fitted on all rows up to their training, so the test windows are in-sample for them.
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
from predictor.aws import read_object
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
    """The N scores of an earlier training.

    Attributes:
        day: Shape (N,), `datetime64[D]`.
        names: The distinct symbols.
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
        etag: ETag of the live manifest, None without one.
        manifest: The manifest, None without a live set.
        rows: The set's out-of-sample rows, None without a live set.
    """

    etag: str | None
    manifest: Manifest | None
    rows: OutOfSample | None


@dataclass(frozen=True)
class Comparison:
    """The candidate against the incumbent.

    Attributes:
        manifest: The incumbent's.
        folds: `{fold, ic, incumbent_ic, days}` of each of the candidate's folds with common days: the means of both
            daily ICs over common rows. `ic` differs from the fold's own IC if only some rows are common.
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
    """Read the live set, and verify the digest of its out-of-sample rows and the sizes of its models.

    Raises:
        TrainingError: The live set is damaged; the text says how, and what to do.
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
    body = read_object(client, bucket, key)
    if body is None:
        wrong.append(f"{key} is missing")
    elif sha256(body) != manifest.out_of_sample.sha256:
        wrong.append(f"{key} differs from its manifest's SHA-256")
    if wrong or body is None:
        raise TrainingError(f"the live set (version {manifest.version}) is damaged: {'; '.join(wrong)}; {REPAIR}")
    try:
        return Incumbent(there.etag, manifest, decode(body))
    except (pa.ArrowException, KeyError, ValueError) as error:
        detail = " ".join(str(error).split())
        raise TrainingError(f"cannot read the out-of-sample rows s3://{bucket}/{key}: {detail}; {REPAIR}") from error


def decode(body: bytes) -> OutOfSample:
    """Read the Parquet file that `artefacts.out_of_sample` made.

    Raises:
        Exception: `pyarrow.ArrowException`, `KeyError` or `ValueError`: it is another file.
    """
    table = pq.read_table(io.BytesIO(body), columns=["date", "symbol", "score"])
    # Symbols repeat every day: as indices they take a tenth of the memory.
    symbols = table.column("symbol").combine_chunks().dictionary_encode()
    return OutOfSample(
        table.column("date").to_numpy().astype("datetime64[D]"),
        [str(name) for name in symbols.dictionary.to_pylist()],
        symbols.indices.to_numpy().astype(np.int64),
        table.column("score").to_numpy().astype(np.float64),
    )


def compare(incumbent: Incumbent, panel: Panel, rows: Rows, result: WalkForwardResult) -> Comparison | None:
    """Compare the candidate with the incumbent.

    Args:
        incumbent: What is live.
        panel: The candidate's days and symbols.
        rows: The candidate's rows, with the labels for both.
        result: The candidate's walk-forward.

    Returns:
        The comparison, None without a live set.
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
    """The incumbent's scores in the shape (T, S) of the candidate's panel, NaN where unknown."""
    wide = np.full((len(panel.days), len(panel.symbols)), np.nan)
    places = {name: place for place, name in enumerate(panel.symbols)}
    symbol = np.array([places.get(name, -1) for name in rows.names], dtype=np.int64)[rows.symbol]
    day = np.searchsorted(panel.days, rows.day)
    known = symbol >= 0
    known &= panel.days[np.minimum(day, len(panel.days) - 1)] == rows.day
    wide[day[known], symbol[known]] = rows.score[known]
    return wide


def _compare_fold(part: FoldRows, rows: Rows, scores: Vector) -> dict[str, Any] | None:
    """Both ICs on the common rows and days of one fold; None without any."""
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
