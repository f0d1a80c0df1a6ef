"""What the report's tests share: made-up runs, and Ansible projects that really run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles" / "run_report"
START = datetime(2026, 5, 23, 9, 0, 0, tzinfo=UTC)

Event = dict[str, Any]


@dataclass
class Clock:
    """Makes events, each a given number of seconds after the last one."""

    seconds: float = 0.0

    def at(self, seconds: float) -> str:
        return (START + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def event(self, kind: str, step: str | None = None, after: float = 0.0, **more: Any) -> Event:
        self.seconds += after
        return {"time": self.at(self.seconds), "event": kind, "step": step, "task": f"Do {step}", **more}

    def step(self, name: str, seconds: float, end: str = "task_ok", **more: Any) -> list[Event]:
        host = {"host": "localhost", **more}
        return [self.event("task_started", name), self.event(end, name, after=seconds, **host)]


def check(
    name: str,
    group: str,
    status: str,
    detail: str,
    remedy: str = "",
    seconds: float = 0.1,
    tier: str = "instance",
) -> dict[str, Any]:
    """Make the record of one check."""
    return {
        "name": name,
        "tier": tier,
        "group": group,
        "status": status,
        "detail": detail,
        "remedy": remedy,
        "seconds": seconds,
    }


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
    """Two attempts: EC2 took the first instance back after three minutes, the run ended the second."""
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
    """The preflight of a receipt: both tiers as one."""
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
    """Two digests of the data bucket that are equal."""
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


@dataclass
class Project:
    """An Ansible project in a temporary folder that uses this repository's callback and the report's module."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8")

    def play(
        self, *arguments: str, playbook: str = "play.yml", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``ansible-playbook`` to its end."""
        return subprocess.run(
            self.command(playbook, *arguments),
            env={**self.environment(), **(environment or {})},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def command(self, playbook: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", playbook, *arguments]

    def environment(self) -> dict[str, str]:
        """Return this process's environment without settings that a user may have for Ansible."""
        return {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}

    def events(self, run_id: str = "r1") -> list[Event]:
        lines = (self.runs / run_id / "events.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def log(self, step: str, run_id: str = "r1") -> str:
        return (self.runs / run_id / "logs" / f"{step}.log").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """Make a project whose role ``run_report`` has the repository's module but tasks that a test writes."""

    def make() -> Project:
        project = Project(tmp_path_factory.mktemp("project"))
        role = project.folder / "roles" / "run_report"
        role.mkdir(parents=True)
        (role / "templates").symlink_to(ROLE / "templates")
        project.write(
            "ansible.cfg",
            f"""
[defaults]
collections_path = {ROOT / "collections"}
callbacks_enabled = spot_train.core.run_events
roles_path = {project.folder / "roles"}
nocolor = true
localhost_warning = false
interpreter_python = {sys.executable}
""",
        )
        project.write(
            "roles/run_open/tasks/main.yml",
            """
- name: Name the run
  ansible.builtin.set_fact:
    run:
      run_id: r1
      run_dir: "{{ playbook_dir }}/runs/r1"
      mode: preflight
      started_at: "2026-05-23T09:00:00Z"
""",
        )
        return project

    return make


@pytest.fixture
def project(make_project: Callable[[], Project]) -> Project:
    return make_project()
