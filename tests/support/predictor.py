"""Fixtures of the predictor's unit and integration tests: synthetic prices and a small configuration."""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

# ArcticDB and LightGBM read these on import, which may precede the package's own import here.
os.environ["ARCTICDB_VersionStore_NumIOThreads_int"] = "16"  # noqa: SIM112  # ArcticDB spells it so
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import numpy as np
import pandas as pd
import pytest
import yaml
from numpy.typing import NDArray
from predictor import manifest, s3_keys, weight_sets
from predictor.config import Config, parse
from predictor.exchange import calendar
from predictor.training import features, labels, rows
from predictor.training.artefacts import ModelSet
from predictor.training.rows import Rows
from predictor.training.writer import Promotion, Records, Writer

__all__ = ["config", "config_file", "default_settings", "environment", "frames", "settings", "walks"]

ROOT = Path(__file__).resolve().parents[2]
PREDICTOR = ROOT / "files" / "predictor"
RUN_DATE = "2022-12-29"
END = date(2022, 12, 28)
"""The last session before the run date."""
HORIZON = 21

Closes = NDArray[np.float64]


def terminate() -> None:
    """Send SIGTERM to this process."""
    os.kill(os.getpid(), signal.SIGTERM)


def build_rows(closes: Closes, together: Sequence[Sequence[str]] = ()) -> Rows:
    """The rows of all features and of the labels of the shipped configuration."""
    return rows.build(features.compute(closes), labels.compute(closes, HORIZON, 0.25), together)


def models(run_id: str, day: str = RUN_DATE) -> ModelSet:
    """A set whose files name their run."""
    files = {name: f"{name} of {run_id}".encode() for name in s3_keys.MODEL_FILES}
    source = {"predictor_version": "1", "config_sha256": "c", "code": {"revision": None, "digest": "d"}}
    record = {"trained_at": f"{day}T00:00:00+00:00", "gates": []}
    return ModelSet(run_id, day, files, f"rows of {run_id}".encode(), source, record)


def promote(client: Any, bucket: str, made: ModelSet, live: manifest.Live | None = None) -> Promotion:
    """Write what a promoting training writes; `live` is what it has read before, by default the current state."""
    before = live or manifest.read_live(client, bucket)
    writer = Writer(client, bucket, [])
    writer.records(made, Records(made.run_date, f"stamp-{made.run_id}", {}, {}, {}, {}), promoted=True)
    return writer.live(made, before.etag, before.manifest())


def live_run(bucket: Any) -> str:
    """The run of the live set, which must be intact."""
    found = manifest.parse(bucket.body(s3_keys.LIVE_MANIFEST))
    assert weight_sets.findings(bucket.client, bucket.name, found) == []
    for name, entry in found.files.items():
        assert bucket.body(entry.key) == f"{name} of {found.run_id}".encode()
    return found.run_id


def sessions(end: date, count: int) -> pd.DatetimeIndex:
    """The last sessions of XNYS up to a day."""
    start = end - timedelta(days=30 + count * 3 // 2)
    return pd.DatetimeIndex(calendar("XNYS", start, end).sessions[-count:], name="date")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the credentials, profile and home of the user who runs the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_METADATA_SERVICE_TIMEOUT", "10")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture(scope="session")
def frames() -> Callable[[Closes, date], dict[str, pd.DataFrame]]:
    """Make series `S00`, `S01`, … with a column `close` from a wide array that ends on a day."""

    def make(closes: Closes, end: date) -> dict[str, pd.DataFrame]:
        index = sessions(end, len(closes))
        return {
            f"S{place:02}": pd.DataFrame({"close": closes[:, place]}, index=index) for place in range(closes.shape[1])
        }

    return make


@pytest.fixture(scope="session")
def walks() -> Callable[..., Closes]:
    """Random walks, shape (days, symbols); with a `drift` above 0, the past predicts the future."""

    def make(days: int, symbols: int, seed: int = 1, drift: float = 0.0) -> Closes:
        random = np.random.default_rng(seed)
        own = np.zeros((days, symbols))
        own[0] = random.normal(0, drift, symbols) if drift else 0
        for day in range(1, days):
            own[day] = 0.995 * own[day - 1] + random.normal(0, drift * 0.1, symbols) if drift else 0
        closes: Closes = 100 * np.exp(np.cumsum(own + random.normal(0, 0.015, (days, symbols)), axis=0))
        return closes

    return make


@pytest.fixture(scope="session")
def default_settings() -> dict[str, Any]:
    """The shipped configuration as parsed YAML."""
    settings: dict[str, Any] = yaml.safe_load((PREDICTOR / "config" / "default.yaml").read_text())
    return settings


@pytest.fixture
def settings(default_settings: dict[str, Any]) -> dict[str, Any]:
    """The shipped configuration with small windows and trees, which a test may change."""
    quick = copy.deepcopy(default_settings)
    quick["walk_forward"].update(min_train_days=120, test_days=60, min_train_rows=500, min_test_rows=100)
    quick["lightgbm"].update(trees=10, min_rows_in_leaf=50)
    quick["data"]["macro"] = {"SPX": "fresh"}
    return quick


@pytest.fixture
def config(settings: dict[str, Any]) -> Config:
    return parse(settings)


@pytest.fixture
def config_file(settings: dict[str, Any], tmp_path: Path) -> Callable[[], Path]:
    """Write the current `settings` to a file."""

    def write() -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(settings))
        return path

    return write
