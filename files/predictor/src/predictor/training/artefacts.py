"""The output of a training as bytes: the models and their records."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from predictor import manifest, s3_keys
from predictor.output import to_json
from predictor.training import boosting, features
from predictor.training.layer1 import RESEARCH, Layer1
from predictor.training.meta import MetaModel
from predictor.training.panel import Panel
from predictor.training.rows import Rows
from predictor.training.walk_forward import WalkForwardResult


@dataclass(frozen=True)
class ModelSet:
    """One set of weights.

    Attributes:
        run_id: The run that trained it.
        run_date: The day it was trained for.
        files: Model files by name (`s3_keys.MODEL_FILES`).
        out_of_sample: The out-of-sample rows, Parquet.
        source: Code, lock file and configuration. Equal in every attempt of a run.
        record: Other fields of its manifest: time, data and gates.
    """

    run_id: str
    run_date: str
    files: dict[str, bytes]
    out_of_sample: bytes
    source: dict[str, Any]
    record: dict[str, Any]

    @property
    def version(self) -> str:
        """Its name once it is live."""
        return s3_keys.version(self.run_date, self.run_id)

    def objects(self) -> dict[str, bytes]:
        """Content of every object by file name."""
        return {**self.files, s3_keys.OUT_OF_SAMPLE: self.out_of_sample}

    def identity(self) -> tuple[str, dict[str, str]]:
        """Its version and the SHA-256 of each object by file name."""
        return self.version, {name: manifest.sha256(body) for name, body in self.objects().items()}

    def live_key(self, name: str) -> str:
        """Key of a file once the set is live."""
        return s3_keys.versioned(self.version, name)

    def archive_key(self, name: str) -> str:
        """Key of a file in the archive."""
        return s3_keys.archive(self.run_date, name)

    def manifest(self, promoted: bool, key_of: Callable[[str], str]) -> dict[str, Any]:
        """The set's manifest.

        Args:
            promoted: Whether it passed its gates.
            key_of: `live_key` or `archive_key`.

        Returns:
            A document that `predictor.manifest.parse` reads.
        """
        entries = {name: manifest.entry(key_of(name), body) for name, body in self.objects().items()}
        rows = entries.pop(s3_keys.OUT_OF_SAMPLE)
        return {**self._head(), "promoted": promoted, **self.record, "files": entries, "out_of_sample": rows}

    def nothing(self) -> dict[str, Any]:
        """The live manifest of a bucket in which no set has been promoted yet."""
        return {**self._head(), "promoted": False, **self.record, "files": {}, "out_of_sample": None}

    def meta(self, name: str) -> dict[str, Any]:
        """The description of a live file; equal in every attempt of a run."""
        return manifest.describe(name, manifest.entry(self.live_key(name), self.objects()[name]), self._head())

    def _head(self) -> dict[str, Any]:
        return {"version": self.version, "run_id": self.run_id, "run_date": self.run_date, **self.source}


def model_files(layer1: Layer1, meta: MetaModel, input_names: list[str], research_skipped: str) -> dict[str, bytes]:
    """Encode the fitted models.

    Args:
        layer1: Layer 1, fitted on all rows.
        meta: Layer 2, fitted on all out-of-sample rows.
        input_names: Layer 2's inputs, in order.
        research_skipped: Why the research model is absent, if it is.

    Returns:
        Content by name of `s3_keys.MODEL_FILES`. Equal models give equal bytes.
    """
    feature_list = {
        "momentum_score": list(features.MOMENTUM),
        "volatility_model": list(features.VOLATILITY),
        "research_model": layer1.research_columns,
        "meta_model": input_names,
        "meta_model_inputs_are": "centred ranks within the day, -0.5 to 0.5, 0 where unknown",
    }
    return {
        s3_keys.VOLATILITY: boosting.to_text(layer1.volatility).encode(),
        s3_keys.RESEARCH: to_json(layer1.research_document(research_skipped)),
        s3_keys.META: to_json(meta.ridge_document(input_names)),
        s3_keys.ISOTONIC: to_json(meta.isotonic_document()),
        s3_keys.FEATURES: to_json(feature_list),
    }


def out_of_sample(panel: Panel, rows: Rows, result: WalkForwardResult) -> bytes:
    """The out-of-sample rows as Parquet.

    Args:
        panel: Days and symbols.
        rows: All rows.
        result: The walk-forward.

    Returns:
        Columns `date`, `symbol`, `fold`, layer 1's outputs, `score` and `forecast` of layer 2 (null in folds that
        trained layer 1 only), `relative_return` and `forward_return`, the clipped labels.
    """
    place = result.rows()
    fold = np.concatenate([np.full(part.stop - part.start, part.fold.number, np.int32) for part in result.parts])
    outputs = {name: np.concatenate([part.outputs[name] for part in result.parts]) for name in result.parts[0].outputs}
    outputs.setdefault(RESEARCH, np.full(len(place), np.nan))
    columns = {
        "date": panel.days[rows.day[place]],
        "symbol": np.array(panel.symbols, dtype=object)[rows.symbol[place]],
        "fold": fold,
        **outputs,
        "score": np.concatenate([part.score for part in result.parts]),
        "forecast": np.concatenate([part.calibrated for part in result.parts]),
        "relative_return": rows.relative[place],
        "forward_return": rows.forward[place],
    }
    table = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def data_manifest(panel: Panel, research_versions: dict[str, int], description: dict[str, Any]) -> dict[str, Any]:
    """The record of the data used, which suffices to read and verify it again."""
    spans = {
        symbol: {
            "version": panel.versions[symbol],
            "bars": len(closes.days),
            "first": str(closes.days[0]),
            "last": str(closes.days[-1]),
        }
        for symbol, closes in panel.bars.items()
    }
    return {**description, "digest": panel.digest(), "symbols": spans, "research_versions": research_versions}


def description(run_id: str, run_date: str, source: dict[str, Any]) -> dict[str, Any]:
    """The first fields of every record of a run; for `source` see `ModelSet`."""
    return {"run_id": run_id, "run_date": run_date, **source}


def config_digest(config: dict[str, Any]) -> str:
    """SHA-256 of a configuration, in hexadecimal."""
    return manifest.sha256(to_json(config))
