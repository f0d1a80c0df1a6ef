"""Every key that this package writes to the data bucket."""

from __future__ import annotations

import re

STATE_PREFIX = re.compile(r"runs(/[A-Za-z0-9][A-Za-z0-9._-]*)+")
"""Pattern of a complete prefix for saved folds; nothing live is below `runs/`."""

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Pattern of a complete run id, which becomes a part of keys."""

WEIGHTS = "predictor/weights/meta"
"""Prefix of all sets of weights and of the live manifest."""

VOLATILITY = "volatility_model.txt"
RESEARCH = "research_calibrator.json"
META = "meta_model.pkl"
ISOTONIC = "isotonic_calibrator.pkl"
FEATURES = "feature_list.json"
MANIFEST = "manifest.json"

MODEL_FILES = (VOLATILITY, RESEARCH, META, ISOTONIC, FEATURES)
"""The files that inference needs. The `.pkl` names are historical; the content is JSON, since loading a pickle runs
code."""

OUT_OF_SAMPLE = "oos_rows.parquet"
"""A set's out-of-sample rows, which the next training compares its own with."""

FORMATS = {VOLATILITY: "lightgbm-text", OUT_OF_SAMPLE: "parquet"}
"""Format of each file of a set; the others are JSON."""

CONTENT_TYPES = {"lightgbm-text": "text/plain; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
"""Content type of each format but JSON."""

LIVE_MANIFEST = f"{WEIGHTS}/{MANIFEST}"
"""The manifest of the live set, from which readers start; the only key that is ever overwritten."""

ARCHIVES = f"{WEIGHTS}/archive/"
"""Prefix of the sets by run date."""


def content_type(file: str) -> str:
    """Content type of a file of a set."""
    return CONTENT_TYPES.get(FORMATS.get(file, "json"), "application/json")


def version(run_date: str, run_id: str) -> str:
    """Name of a set that goes live."""
    return f"{run_date}-{run_id}"


def versioned(version: str, file: str) -> str:
    """Key of a file of a promoted set; never overwritten."""
    return f"{WEIGHTS}/versions/{version}/{file}"


def description(key: str) -> str:
    """Key of the description of a promoted file."""
    return f"{key}.meta.json"


def archive(run_date: str, file: str) -> str:
    """Key of a file of the latest set trained for a day, promoted or not."""
    return f"{ARCHIVES}{run_date}/{file}"


def out_of_sample(name: str) -> str:
    """Key of the out-of-sample rows; `name` is a day or `latest`."""
    return f"predictor/diagnostics/oos_rows/{name}.parquet"


def summary(name: str) -> str:
    """Key of the training summary; `name` is a day or `latest`."""
    return f"predictor/metrics/training_summary_{name}.json"


def triple_barrier(name: str) -> str:
    """Key of the triple-barrier observation; `name` is a timestamp or `latest`."""
    return f"predictor/variant_gates/triple_barrier/{name}.json"


HEALTH = "health/predictor_training.json"

DATA_MANIFESTS = "data_manifest/predictor_training/"
"""Prefix of `data_manifest`."""


def data_manifest(run_date: str) -> str:
    """Key of the record of a training's data."""
    return f"{DATA_MANIFESTS}{run_date}.json"


def saved_folds(prefix: str, fingerprint: str) -> str:
    """Key prefix of the saved folds of one fingerprint (`training.fingerprint`), whichever run saved them.

    Raises:
        ValueError: The prefix does not match `STATE_PREFIX`.
    """
    if not STATE_PREFIX.fullmatch(prefix):
        raise ValueError(f"expected a prefix below runs/, got {prefix!r}")
    return f"{prefix}/{fingerprint}/"


def saved_fold(folder: str, number: int) -> str:
    """Key of a fold in a folder of `saved_folds`."""
    return f"{folder}{number}.npz"
