"""Every key this package writes in the data bucket, in one place."""

from __future__ import annotations

import re

STATE_PREFIX = re.compile(r"runs(/[A-Za-z0-9][A-Za-z0-9._-]*)+")
"""What a prefix for the state of a run must match, whole: nothing that is live is below `runs/`."""

WEIGHTS = "predictor/weights/meta"
"""The live set: what inference reads."""

VOLATILITY = "volatility_model.txt"
RESEARCH = "research_calibrator.json"
META = "meta_model.pkl"
ISOTONIC = "isotonic_calibrator.pkl"
FEATURES = "feature_list.json"
MANIFEST = "manifest.json"

MODEL_FILES = (VOLATILITY, RESEARCH, META, ISOTONIC, FEATURES)
"""What a set holds beside its manifest. The `.pkl` names are the origin's; the content is JSON, as the `.meta.json`
beside each says: a pickle runs code when it is read."""


def live(file: str) -> str:
    """Key of a file of the live set."""
    return f"{WEIGHTS}/{file}"


def live_meta(file: str) -> str:
    """Key of the description beside a file of the live set."""
    return f"{WEIGHTS}/{file}.meta.json"


def archive(run_date: str, file: str) -> str:
    """Key of a file of the set trained for a day, promoted or not."""
    return f"{WEIGHTS}/archive/{run_date}/{file}"


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


def data_manifest(run_date: str) -> str:
    """Key of the record of what data a training used."""
    return f"data_manifest/predictor_training/{run_date}.json"


def saved_folds(prefix: str, fingerprint: str) -> str:
    """Key prefix of the folds saved by trainings with a fingerprint.

    Args:
        prefix: See `STATE_PREFIX`.
        fingerprint: See `training.fingerprint`.

    Raises:
        ValueError: The prefix is none for state.
    """
    if not STATE_PREFIX.fullmatch(prefix):
        raise ValueError(f"{prefix!r} is no prefix below runs/")
    return f"{prefix}/folds/{fingerprint}/"


def saved_fold(folder: str, number: int) -> str:
    """Key of one of them; `folder` is from `saved_folds`."""
    return f"{folder}{number}.npz"
