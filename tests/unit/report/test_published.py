"""The part of a receipt that is published to workflows."""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.spot_train.core.plugins.module_utils.report.published import published
from ansible_collections.spot_train.core.plugins.module_utils.report.receipt import Inputs, build_receipt

from tests.support.account import ROOT

TRAINING = {"folds": 57, "median_ic": 0.031, "promoted": True, "fold_ics": [{"fold": n, "ic": 0.03} for n in range(57)]}
LARGEST_BYTES = 4000


def test_training_publishes_the_inputs_of_later_jobs(run: Any, instance: Any, no_leaks: Any) -> None:
    inputs = Inputs(run={**run, "mode": "full"}, instance=instance, full=TRAINING, leaks=no_leaks)
    fields = published(build_receipt(inputs), "r/receipt.json", "r/report.html")

    assert (fields["run_id"], fields["mode"], fields["promoted"]) == (run["run_id"], "full", True)
    assert (fields["median_ic"], fields["folds"]) == (0.031, 57)
    assert (fields["instance_type"], fields["market"]) == (instance["type"], "spot")
    assert not any(fields["leaks"].values())
    assert len(json.dumps(fields)) < LARGEST_BYTES


def test_run_without_instance_publishes_the_known_fields(run: Any) -> None:
    fields = published(build_receipt(Inputs(run=run, outcome="no_capacity")), "r/receipt.json", "r/report.html")

    assert fields["outcome"] == "no_capacity"
    assert "no capacity" in fields["error"]
    assert (fields["median_ic"], fields["promoted"], fields["instance_type"]) == (None, None, None)


def test_published_variables_pass_the_input_checks() -> None:
    gate = (ROOT / "plugins" / "module_utils" / "inputs" / "gate.py").read_text(encoding="utf-8")
    passed = set(re.findall(r'"(\w+)"', gate.partition("PUBLISHED = ")[2].partition("\n")[0]))
    tasks = [path for folder in ("roles", "playbooks") for path in (ROOT / folder).rglob("*.yml")]
    stats = [task.split("set_stats:", 1)[1] for path in tasks for task in path.read_text().split("- name: ")
             if "set_stats:" in task]  # fmt: skip
    names = {name for text in stats for name in re.findall(r"^ +data:\n +(\w+):", text, re.MULTILINE)}

    assert names == passed
    page = (ROOT / "docs" / "receipt.md").read_text(encoding="utf-8").partition("## What is published")[2]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_every_published_field_is_documented(run: Any) -> None:
    fields = published(build_receipt(Inputs(run=run)), "r/receipt.json", "r/report.html")
    section = (ROOT / "docs" / "receipt.md").read_text(encoding="utf-8").partition("## What is published")[2]
    table = section.partition("| field of `spot_train_run`")[2].partition("\n\n")[0]

    listed = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(listed) == sorted(fields)
