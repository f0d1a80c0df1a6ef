"""What a training leaves behind, as bytes: the models, and the records of how they came about."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import predictor
from predictor import s3_keys
from predictor.output import to_json
from predictor.training import boosting, features
from predictor.training.layer1 import RESEARCH, Layer1
from predictor.training.meta import MetaModel
from predictor.training.panel import Panel
from predictor.training.rows import Rows
from predictor.training.walk_forward import WalkForwardResult


@dataclass(frozen=True)
class ModelSet:
    """The files of one set of weights.

    Attributes:
        files: Content by file name (`s3_keys.MODEL_FILES`).
        description: What all its files share: run, day, gates; it becomes part of the manifest.
    """

    files: dict[str, bytes]
    description: dict[str, Any]

    def manifest(self, promoted: bool) -> dict[str, Any]:
        """The set's manifest: its description, and digest and size of each file."""
        described = {name: {"sha256": sha256(body), "bytes": len(body)} for name, body in self.files.items()}
        return {**self.description, "promoted": promoted, "files": described}

    def meta(self, name: str) -> dict[str, Any]:
        """The description beside one live file."""
        body = self.files[name]
        kind = "lightgbm-text" if name == s3_keys.VOLATILITY else "json"
        return {"file": name, "format": kind, "sha256": sha256(body), "bytes": len(body), **self.description}


def sha256(body: bytes) -> str:
    """Digest in hexadecimal."""
    return hashlib.sha256(body).hexdigest()


def model_files(layer1: Layer1, meta: MetaModel, input_names: list[str], research_skipped: str) -> dict[str, bytes]:
    """Encode the fitted models.

    Args:
        layer1: Layer 1, fitted on all rows.
        meta: Layer 2, fitted on all out-of-sample rows.
        input_names: Layer 2's inputs, in order.
        research_skipped: Why there is no research model, if there is none.

    Returns:
        Content by file name, for every name of `s3_keys.MODEL_FILES`. The same models give the same bytes.
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
        panel: Names the days and symbols.
        rows: All rows.
        result: The walk-forward.

    Returns:
        Columns `date`, `symbol`, `fold`, layer 1's outputs, `score` and `forecast` of layer 2 (null in folds that
        trained layer 1 only), `relative_return` and `forward_return`, the clipped labels.
    """
    place = np.concatenate([np.arange(part.start, part.stop) for part in result.parts])
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
    """The record of what data was used: enough to read the same again and to see whether it is the same."""
    known = np.isfinite(panel.close)
    spans = {
        symbol: {
            "version": panel.versions[symbol],
            "bars": int(known[:, place].sum()),
            "first": str(panel.days[known[:, place]][0]),
            "last": str(panel.days[known[:, place]][-1]),
        }
        for place, symbol in enumerate(panel.symbols)
        if known[:, place].any()
    }
    return {**description, "digest": panel.digest(), "symbols": spans, "research_versions": research_versions}


def description(run_id: str, run_date: str, trained_at: str, config: dict[str, Any]) -> dict[str, Any]:
    """What every record of a run starts with."""
    return {
        "run_id": run_id,
        "run_date": run_date,
        "trained_at": trained_at,
        "predictor_version": predictor.__version__,
        "config_sha256": sha256(to_json(config)),
    }
