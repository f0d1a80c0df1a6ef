"""Artificial runs for the tests of the report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.account import ROOT
from tests.support.runs import check

__all__ = ["ROOT", "check"]

ROLE = ROOT / "roles" / "run_report"
START = datetime(2026, 5, 23, 9, 0, 0, tzinfo=UTC)

Event = dict[str, Any]


@dataclass
class Clock:
    """Creates events, each a number of seconds after the previous one."""

    seconds: float = 0.0

    def at(self, seconds: float) -> str:
        return (START + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def event(self, kind: str, step: str | None = None, after: float = 0.0, **more: Any) -> Event:
        self.seconds += after
        return {"time": self.at(self.seconds), "event": kind, "step": step, "task": f"Do {step}", **more}

    def step(self, name: str, seconds: float, end: str = "task_ok", **more: Any) -> list[Event]:
        host = {"host": "localhost", **more}
        return [self.event("task_started", name), self.event(end, name, after=seconds, **host)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def template() -> Path:
    return ROLE / "templates" / "report.html.j2"


@pytest.fixture
def run() -> dict[str, Any]:
    return {
        "run_id": "20260523T090000Z-7f3a",
        "mode": "preflight",
        "started_at": Clock().at(0),
        "run_date": "2022-12-29",
        "region": "us-east-1",
        "data_bucket": "spot-train-data",
    }


@pytest.fixture
def instance() -> dict[str, Any]:
    clock = Clock()
    return {
        "id": "i-0f3a91c2d45e6b789",
        "type": "r5.large",
        "az": "us-east-1c",
        "market": "spot",
        "requested_at": clock.at(4),
        "online_at": clock.at(25),
        "terminated_at": clock.at(304.2),
        "attempts": [
            {"market": "spot", "type": "c5.large", "subnet": "subnet-0a1", "error": "InsufficientInstanceCapacity"},
            {"market": "spot", "type": "r5.large", "subnet": "subnet-0c3", "error": None},
        ],
    }


@pytest.fixture
def attempts(instance: dict[str, Any]) -> list[dict[str, Any]]:
    """Two attempts: EC2 reclaimed the first instance after three minutes, the run terminated the second."""
    clock = Clock()
    cells = instance.pop("attempts")
    prices = {"price_usd_hour": 0.036, "on_demand_usd_hour": 0.126}
    first = {
        **instance,
        **prices,
        "id": "i-0aaaaaaaaaaaaaaaa",
        "requested_at": clock.at(-400),
        "online_at": clock.at(-380),
        "terminated_at": clock.at(-220),
    }
    notice = {"kind": "spot", "noticed_at": clock.at(-340), "reclaim_at": clock.at(-220), "confirmed_by": "EC2"}
    return [
        {
            "number": 1,
            "instance": first,
            "cells": [{**cells[1], "az": "us-east-1c", "price_usd_hour": 0.036}],
            "ended_by": "reclaim",
            "interruption": notice,
            "resumed_folds": None,
        },
        {
            "number": 2,
            "instance": {**instance, **prices},
            "cells": cells,
            "ended_by": "run",
            "interruption": None,
            "resumed_folds": 7,
        },
    ]


@pytest.fixture
def no_leaks() -> dict[str, int]:
    return {
        "instances": 0,
        "volumes": 0,
        "spot_requests": 0,
        "launch_templates": 0,
        "schedules": 0,
        "transport_keys": 0,
    }


@pytest.fixture
def preflight() -> dict[str, Any]:
    """The preflight of a receipt with both tiers."""
    return {
        "checks": [
            check("identity", "account", "pass", "the controller's role", seconds=0.2, tier="controller"),
            check("imports", "software", "pass", "14 modules import", seconds=1.9),
            check("macro", "data", "warn", "VIX ends in 2019", "Bring VIX up to date.", 0.1),
            check("freshness", "data", "pass", "all fresh", seconds=0.4),
        ],
        "symbols": 3,
        "stale": [],
        "unreadable": {},
        "newest": "2022-12-28",
        "oldest": "2022-12-28",
        "ages": {"AAPL": 0, "MSFT": 0, "XOM": 1},
        "limit": 3,
        "missing": [],
        "new": [],
        "seconds": 3.2,
        "controller_seconds": 0.3,
    }


@pytest.fixture
def digest() -> dict[str, Any]:
    """Two equal digests of the data bucket."""
    half = {"sha256": "3f" * 32, "objects": 1234, "bytes": 56_700_123}
    return {
        "before": {**half, "seconds": 1.0},
        "after": {**half, "seconds": 1.1},
        "equal": True,
        "prefixes": ["arctic/", "predictor/"],
        "changed": [],
        "changed_count": 0,
    }


@pytest.fixture
def training() -> dict[str, Any]:
    ics = [0.05, -0.01, 0.03, 0.024]
    folds = [
        {"fold": index + 1, "test_start": f"{1993 + index}-01-04", "test_end": f"{1993 + index}-07-02", "ic": ic}
        for index, ic in enumerate(ics)
    ]
    return {
        "folds": 4,
        "median_ic": 0.027,
        "promoted": True,
        "gates": [
            {"name": "median_ic", "value": 0.027, "threshold": 0.02, "passed": True, "blocking": True},
            {"name": "triple_barrier", "value": 1.02, "threshold": 1.15, "passed": False, "blocking": False},
        ],
        "seconds": 38.0,
        "dry_run": False,
        "fold_ics": folds,
        "skipped_folds": [],
        "written": ["predictor/weights/meta/manifest.json"],
        "symbols": 3,
        "rows": 24939,
        "stages": {"read": 1.0},
        "metrics": {},
    }
