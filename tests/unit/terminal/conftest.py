"""Artificial runs for the tests of lists and pages."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]

#: Start of the first run.
FIRST = datetime(2026, 3, 7, 9, 0, tzinfo=UTC)


def make_run(runs: Path, week: int, **changed: Any) -> Path:
    """Create the folder of a finished run.

    Args:
        runs: The folder of runs.
        week: Start of the run in weeks after `FIRST`.
        changed: Fields of the receipt to replace.
    """
    began = FIRST + timedelta(weeks=week)
    folder = runs / f"{began:%Y%m%dT%H%M%SZ}-{week:06x}"
    folder.mkdir(parents=True)
    median = 0.018 + 0.012 * ((week * 7) % 11 - 5) / 5
    training = {
        "folds": 60,
        "median_ic": median,
        "median_ic_interval": [median - 0.015, median + 0.013],
        "promoted": median >= 0.02,
        "gates": [{"name": "median_ic", "value": median, "threshold": 0.02, "passed": median >= 0.02}],
    }
    receipt = {
        "run_id": folder.name,
        "mode": "full",
        "outcome": "passed",
        "error": None,
        "started_at": began.isoformat(),
        "finished_at": (began + timedelta(seconds=1500 + 40 * (week % 9))).isoformat(),
        "run": {"run_date": f"{began:%Y-%m-%d}"},
        "training": training,
        "cost": {"usd": 0.0131 + 0.0007 * (week % 9)},
        "leaks": {"instances": 0, "volumes": 0},
        **changed,
    }
    (folder / "receipt.json").write_text(json.dumps(receipt))
    (folder / "report.html").write_text("<!doctype html>")
    return folder
