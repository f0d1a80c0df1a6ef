"""A synthetic panel for `make bench-train`: prices, and research columns for a total of twenty features.

It is written to a file before the measurement, so that creating it costs no measured time or memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from predictor.training import features
from predictor.training.panel import Panel
from predictor.training.research import PREFIX, Research

FEATURES = 20
"""Number of features: the package's price features and research columns."""

RESEARCH_COLUMNS = FEATURES - len(features.ALL)

RELEASED_SHARE = 0.95
"""Share of research values that are present."""


def write(path: Path, symbols: int, days: int, seed: int = 1) -> None:
    """Create a panel with as many bars as days for each symbol, determined by the seed, and save it as `.npz`."""
    random = np.random.default_rng(seed)
    market = random.normal(0.0003, 0.009, (days, 1))
    # Slowly changing drifts per symbol make the future slightly predictable.
    own = np.zeros((days, symbols))
    for day in range(1, days):
        own[day] = 0.995 * own[day - 1] + random.normal(0, 0.0001, symbols)
    # Calm and volatile years for the volatility model.
    level = 0.018 * np.exp(0.4 * np.sin(np.arange(days) / 120)[:, None] + 0.3 * random.normal(size=(1, symbols)))
    close = 100 * np.exp(np.cumsum(market + own + level * random.normal(size=(days, symbols)), axis=0))
    columns: dict[str, Any] = {}
    for number in range(RESEARCH_COLUMNS):
        # The first columns are slightly predictive, the last ones hardly.
        values = own * 4000 / (number + 1) + random.normal(size=(days, symbols))
        values[random.random((days, symbols)) > RELEASED_SHARE] = np.nan
        columns[f"{PREFIX}view{number}"] = values
    np.savez(path, close=close, **columns)


def read(path: Path) -> tuple[Panel, Research]:
    """Read what `write` saved."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    close = arrays.pop("close")
    days = np.datetime64("2013-01-01", "D") + np.arange(len(close))
    symbols = [f"SYN{place:05}" for place in range(close.shape[1])]
    return Panel.of(days, symbols, close, dict.fromkeys(symbols, 1)), Research(arrays)
