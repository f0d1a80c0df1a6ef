"""Receipts of recorded runs: the folder of a run gives the recorded receipt, and `make runs` lists it.

`reference_runs` holds two runs of commit ca34913, with shortened lists and without machine data.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.report.index import read_runs
from ansible_collections.spot_train.core.plugins.module_utils.report.receipt import build_receipt
from ansible_collections.spot_train.core.plugins.module_utils.report.text import UNKNOWN
from ansible_collections.spot_train.core.plugins.modules.run_report import argument_spec, gather

from tools import runs

REFERENCE = Path(__file__).with_name("reference_runs")


def load(mode: str, name: str) -> Any:
    return json.loads((REFERENCE / mode / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("mode", ["preflight", "both"])
def test_recorded_run_gives_the_recorded_receipt(mode: str) -> None:
    recorded, attempt = load(mode, "receipt.json"), load(mode, "attempts.json")[-1]
    prices = ("market_price_usd_hour", "on_demand_price_usd_hour")
    parameters = {
        **dict.fromkeys(argument_spec()),
        "run_dir": str(REFERENCE / mode),
        # What only the playbook knows: versions, counted requests, leaks.
        "run": {**load(mode, "run.json"), **recorded["run"]},
        "instance": {**attempt["instance"], "attempts": attempt["cells"]},
        "cost": {name: recorded["cost"][name] for name in prices},
        **{name: recorded[name] for name in ("leaks", "writes", "api_calls")},
    }
    built = json.loads(json.dumps(build_receipt(gather(parameters, check_mode=False))))
    assert built == recorded


def test_receipt_of_an_older_version_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for mode in ("preflight", "both"):
        folder = tmp_path / load(mode, "receipt.json")["run_id"]
        folder.mkdir()
        shutil.copy(REFERENCE / mode / "receipt.json", folder)
    assert runs.main(["--runs-dir", str(tmp_path)]) == 0
    _, preflight, both, summary = capsys.readouterr().out.splitlines()
    assert preflight.split() == [
        *(
            "2026-11-30",
            "04:57",
            "preflight",
            "passed",
            UNKNOWN,
            UNKNOWN,
            "$0.0005",
            "59",
            "s",
            "0",
            "20261130T045734Z-8712be",
        ),
    ]
    assert both.split()[2:8] == ["both", "passed", "+0.0172", "not", "promoted", "$0.0009"]
    assert summary.startswith("2 runs: 2 passed")
    (_, entry) = read_runs(tmp_path)
    assert (entry.threshold, entry.left_over, entry.run_date) == (0.02, 0, "2022-12-29")
