"""One training in both modes. A file of its own, so that it runs in parallel with test_runs.py."""

from __future__ import annotations

import json

from tests.e2e.runs.conftest import NO_LEAKS, Account, keys


def test_training_promotes_only_a_passing_model(account: Account) -> None:
    live = {key: tag for key, tag in keys(account).items() if key.startswith("predictor/weights/meta/")}

    run = account.train()

    assert run.code == 0, run.output
    receipt = run.receipt
    assert (receipt["mode"], receipt["outcome"]) == ("both", "passed")
    # The shipped configuration on the real prices. What the model is worth is not asserted: it is what it is.
    assert receipt["training"]["folds"] == 60
    assert len(receipt["training"]["skipped_folds"]) == 1
    assert receipt["training"]["median_ic"] is not None
    assert {check["status"] for check in receipt["preflight"]["checks"]} == {"pass"}
    seen = receipt["preflight"]
    assert (seen["symbols"], seen["newest"], seen["oldest"]) == (20, "2022-12-28", "2022-12-28")
    assert run.folder is not None
    # The next preflight asks for as much, and some more.
    used = json.loads(next(run.folder.rglob("training-full.json")).read_text())["resources"]
    assert used["peak_memory_mb"] > 50
    assert used["disk_mb"] >= 0
    assert receipt["leaks"] == NO_LEAKS
    blocking = [gate for gate in receipt["training"]["gates"] if gate["blocking"]]
    assert receipt["training"]["promoted"] == all(gate["passed"] for gate in blocking)
    assert "fold " in run.output, "no progress was shown"
    assert receipt["training"]["heartbeat"]["sent"], receipt["training"]["heartbeat"]
    assert receipt["smoke"]["heartbeat"] is None
    beats = account.ledger("--action", "PutMetricData", "--since", receipt["started_at"])
    assert [(beat["source"], beat["status"]) for beat in beats] == [(receipt["instance"]["id"], 200)]
    assert receipt["training"]["diagnostics"]["cumulative_ic"][-1]["date"]
    assert "Calibration: realised against forecast" in run.page
    after = keys(account)
    assert "predictor/weights/meta/manifest.json" in after
    assert "predictor/metrics/training_summary_latest.json" in after
    assert "predictor/weights/meta/archive/2022-12-29/meta_model.pkl" in after
    if not receipt["training"]["promoted"]:
        versions = "predictor/weights/meta/versions/"
        assert [key for key in after if key.startswith(versions)] == [key for key in live if key.startswith(versions)]
    assert {step["name"] for step in receipt["steps"]} >= {"open", "request", "bootstrap", "deps", "preflight", "smoke",
                                                           "full", "terminate"}  # fmt: skip
    account.assert_nothing_left()
