"""Whole runs are slow; `make test` leaves all but QUICK to `make test-all`."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
QUICK = {FOLDER / "runs" / "test_runs.py", FOLDER / "runs" / "test_training_run.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests below this folder."""
    for item in items:
        if item.path.is_relative_to(FOLDER) and item.path not in QUICK:
            item.add_marker("slow")
