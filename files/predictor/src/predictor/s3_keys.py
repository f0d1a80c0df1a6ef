"""Every key this package writes in the data bucket, in one place."""

from __future__ import annotations

import re

STATE_PREFIX = re.compile(r"runs(/[A-Za-z0-9][A-Za-z0-9._-]*)+")
"""What a prefix for saved folds must match, whole: nothing that is live is below `runs/`."""

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What the id of a run must match, whole: it becomes a part of keys."""

WEIGHTS = "predictor/weights/meta"
"""All sets of weights, and the manifest that says which of them is live."""

VOLATILITY = "volatility_model.txt"
RESEARCH = "research_calibrator.json"
META = "meta_model.pkl"
ISOTONIC = "isotonic_calibrator.pkl"
FEATURES = "feature_list.json"
MANIFEST = "manifest.json"

MODEL_FILES = (VOLATILITY, RESEARCH, META, ISOTONIC, FEATURES)
"""What inference needs of a set. The `.pkl` names are the origin's; the content is JSON, as the `.meta.json` beside
each says: a pickle runs code when it is read."""

OUT_OF_SAMPLE = "oos_rows.parquet"
"""What a set holds beside them: the next training compares itself with these rows."""

FORMATS = {VOLATILITY: "lightgbm-text", OUT_OF_SAMPLE: "parquet"}
"""Format of each file of a set; the others are JSON."""

CONTENT_TYPES = {"lightgbm-text": "text/plain; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
"""Content type of each format but JSON."""

LIVE_MANIFEST = f"{WEIGHTS}/{MANIFEST}"
"""Which set is live. The only key of all sets that is ever overwritten; readers begin here."""

ARCHIVES = f"{WEIGHTS}/archive/"
"""Prefix of the sets by the day they were trained for."""


def content_type(file: str) -> str:
    """Content type of a file of a set."""
    return CONTENT_TYPES.get(FORMATS.get(file, "json"), "application/json")


def version(run_date: str, run_id: str) -> str:
    """Name of a set that was put live."""
    return f"{run_date}-{run_id}"


def versioned(version: str, file: str) -> str:
    """Key of a file of a set that was put live; never overwritten."""
    return f"{WEIGHTS}/versions/{version}/{file}"


def description(key: str) -> str:
    """Key of the description beside a file of a set that was put live."""
    return f"{key}.meta.json"


def archive(run_date: str, file: str) -> str:
    """Key of a file of the set last trained for a day, promoted or not."""
    return f"{ARCHIVES}{run_date}/{file}"


def out_of_sample(name: str) -> str:
    """Key of the out-of-sample rows; `name` is a day or `latest`."""
    return f"predictor/diagnostics/oos_rows/{name}.parquet"


def summary(name: str) -> str:
    """Key of the training summary; `name` is a day or `latest`."""
    return f"predictor/metrics/training_summary_{name}.json"


def triple_barrier(name: str) -> str:
    """Key of the triple-barrier observation; `name` is a time stamp or `latest`."""
    return f"predictor/variant_gates/triple_barrier/{name}.json"


HEALTH = "health/predictor_training.json"

DATA_MANIFESTS = "data_manifest/predictor_training/"
"""Prefix of `data_manifest`."""


def data_manifest(run_date: str) -> str:
    """Key of the record of what data a training used."""
    return f"{DATA_MANIFESTS}{run_date}.json"


def saved_folds(prefix: str, fingerprint: str) -> str:
    """Key prefix of the folds saved by trainings with a fingerprint.

    Args:
        prefix: See `STATE_PREFIX`. One for all runs: folds are told apart by the fingerprint alone.
        fingerprint: See `training.fingerprint`.

    Raises:
        ValueError: The prefix is none for state.
    """
    if not STATE_PREFIX.fullmatch(prefix):
        raise ValueError(f"{prefix!r} is no prefix below runs/")
    return f"{prefix}/{fingerprint}/"


def saved_fold(folder: str, number: int) -> str:
    """Key of one of them; `folder` is from `saved_folds`."""
    return f"{folder}{number}.npz"
