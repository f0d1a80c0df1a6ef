"""playbooks/terminate.yml and playbooks/reap.yml as a person or a schedule runs them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.termination.conftest import tags_of_run
from tests.support.cloud import Cloud, Inventory

pytestmark = pytest.mark.slow

LAUNCHED = {"id": "i-gone", "type": "c5.large", "az": "us-east-1a", "subnet": "s", "market": "spot",
            "requested_at": "2026-01-05T09:00:00Z", "price_usd_hour": 0.03, "on_demand_usd_hour": 0.085}  # fmt: skip


def playbook(cloud: Cloud, name: str, **variables: Any) -> tuple[int, str]:
    """Run a playbook on the project's own inventory; its exit code and output."""
    answer = cloud.account.command(
        "ansible-playbook", f"playbooks/{name}.yml", "-e", json.dumps(variables), check=False
    )
    return answer.returncode, answer.stdout + answer.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run that was killed in its preflight, in the middle of a line of its record."""
    folder = tmp_path / "killed"
    folder.mkdir()
    run = {"run_id": "killed", "run_dir": "/elsewhere/killed", "mode": "preflight", "preflight_only": True,
           "started_at": "2026-01-05T09:00:00Z", "region": "us-east-1", "data_bucket": "spot-train-data"}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run))
    event = {"time": "2026-01-05T09:01:00.000Z", "event": "task_started", "task": "Check", "step": "preflight"}
    (folder / "events.jsonl").write_text(json.dumps(event) + "\n" + '{"time": "2026-01-05T09:01:')
    attempt = {"number": 1, "instance": LAUNCHED, "cells": [], "ended_by": None, "interruption": None,
               "resumed_folds": None}  # fmt: skip
    (folder / "attempts.json").write_text(json.dumps([attempt]))
    return folder


def test_killed_run_is_terminated_and_reported_once(cloud: Cloud, folder: Path) -> None:
    instance = cloud.launch(tags_of_run("killed"))

    code, output = playbook(cloud, "terminate", run_id="killed", runs_dir=str(folder.parent))

    assert code == 0, output
    assert cloud.state(instance) == "terminated"
    receipt = json.loads((folder / "receipt.json").read_text())
    assert receipt["outcome"] == "interrupted"
    assert receipt["error"].startswith(
        "ansible-playbook ended in the step preflight: the run was terminated by playbooks/terminate.yml"
    )
    assert receipt["instance"]["id"] == "i-gone"
    assert [attempt["number"] for attempt in receipt["attempts"]] == [1]
    assert not any(receipt["leaks"].values())
    assert (folder / "report.html").exists()
    # The callback went on recording, in the folder as it is and not as it was called once.
    assert "terminate" in (folder / "events.jsonl").read_text()

    (folder / "receipt.json").write_text("its own\n")
    code, output = playbook(cloud, "terminate", run_id="killed", runs_dir=str(folder.parent))
    assert code == 0, output
    assert "changed=0" in output
    assert (folder / "receipt.json").read_text() == "its own\n"


def test_leftovers_are_reported_and_fail_the_playbook(cloud: Cloud, folder: Path) -> None:
    instance = cloud.launch(tags_of_run("killed"), DisableApiTermination=True)

    code, output = playbook(cloud, "terminate", run_id="killed", runs_dir=str(folder.parent))
    cloud.ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": False})
    cloud.ec2.terminate_instances(InstanceIds=[instance])

    assert code != 0
    assert "Resources of run killed are left over, bounded by their lease" in output
    receipt = json.loads((folder / "receipt.json").read_text())
    assert receipt["leaks"]["instances"] == 1
    assert f"terminate {instance} (5 tries): OperationNotPermitted" in json.dumps(receipt)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, 'got "". Nothing was changed'),
        ({"run_id": ""}, "run_id: expected the id of a run"),
        ({"run_id": "*"}, "run_id: expected the id of a run"),
        ({"run_id": "../runs/a"}, "run_id: expected the id of a run"),
        ({"run_id": "a", "run_idd": "b"}, "unknown input 'run_idd' (did you mean 'run_id')"),
        ({"run_id": "a", "preflight_only": True}, "unknown input 'preflight_only'"),
        ({"run_id": "a", "spot_instance_end_at_most": "many"}, "expected a whole number, got 'many'"),
    ],
)
def test_wrong_input_is_one_clear_line_and_changes_nothing(
    cloud: Cloud, bystanders: Inventory, variables: dict[str, Any], words: str
) -> None:
    code, output = playbook(cloud, "terminate", **variables)

    assert code != 0
    assert words in output
    assert cloud.inventory() == bystanders


def test_reap_lists_what_it_removes(cloud: Cloud, bystanders: Inventory) -> None:
    past = tags_of_run("past", lease_seconds=-1)
    instance, volume = cloud.launch(past), cloud.volume(past)

    code, output = playbook(cloud, "reap")

    assert code == 0, output
    assert f"removed instance {instance}" in output and f"removed volume {volume}" in output
    assert "no run id: left alone" in output
    assert cloud.inventory() == bystanders
    code, output = playbook(cloud, "reap", project="spot-train-3")
    assert (code, "changed=0" in output, "no lease has expired" in output) == (0, True, True), output


def test_concurrent_reaps_and_their_limit(cloud: Cloud, bystanders: Inventory) -> None:
    for number in range(2):
        cloud.launch(tags_of_run(f"past-{number}", lease_seconds=-1))

    code, output = playbook(cloud, "reap", spot_instance_end_at_most=1)
    assert code != 0
    assert "2 instances are in scope, more than spot_instance_end_at_most=1" in output

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: playbook(cloud, "reap"), range(2)))
    assert [code for code, _ in answers] == [0, 0], answers
    assert cloud.inventory() == bystanders


def test_reap_takes_no_run_id(cloud: Cloud) -> None:
    code, output = playbook(cloud, "reap", run_id="a")

    assert code != 0
    assert "unknown input 'run_id'" in output
