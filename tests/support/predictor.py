"""Fixtures of both layers of the predictor's tests: synthetic prices and a small configuration."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

# ArcticDB and LightGBM read these on import, which may happen here before the package sets them.
os.environ["ARCTICDB_VersionStore_NumIOThreads_int"] = "16"  # noqa: SIM112  # ArcticDB's spelling
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import numpy as np
import pandas as pd
import pytest
import yaml
from numpy.typing import NDArray
from predictor.config import Config, parse

ROOT = Path(__file__).resolve().parents[2]
PREDICTOR = ROOT / "files" / "predictor"

Closes = NDArray[np.float64]


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
    """Make series `S00`, `S01`, … with a column `close` from a wide array; the last bar is on the given day."""

    def make(closes: Closes, end: date) -> dict[str, pd.DataFrame]:
        index = pd.bdate_range(end=pd.Timestamp(end), periods=len(closes), name="date")
        return {
            f"S{place:02}": pd.DataFrame({"close": closes[:, place]}, index=index) for place in range(closes.shape[1])
        }

    return make


@pytest.fixture(scope="session")
def walks() -> Callable[..., Closes]:
    """Random walks, shape (days, symbols).

    `drift` is the daily spread of the symbols' slowly changing drifts; above 0 the future is slightly predictable.
    """

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
    """The default configuration, parsed from YAML."""
    settings: dict[str, Any] = yaml.safe_load((PREDICTOR / "config" / "default.yaml").read_text())
    return settings


@pytest.fixture
def settings(default_settings: dict[str, Any]) -> dict[str, Any]:
    """The default configuration with small windows and trees; a test may change its copy."""
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
    """Write `settings`, with the test's changes, to a file."""

    def write() -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(settings))
        return path

    return write
