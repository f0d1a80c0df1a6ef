"""One preflight, whose result many tests check. The only other whole run in `make test`: test_training_run.py."""

from __future__ import annotations

import pytest

from tests.e2e.runs.conftest import NO_LEAKS, Account, Run
from tests.support.account import DATA_BUCKET, ROOT


@pytest.fixture(scope="module")
def preflight(account: Account) -> Run:
    """One preflight, looked at by several tests."""
    return account.train("-e", "preflight_only=true")


def test_preflight_passes(preflight: Run, account: Account) -> None:
    assert preflight.code == 0, preflight.output
    receipt = preflight.receipt
    assert (receipt["mode"], receipt["outcome"], receipt["training"]) == ("preflight", "passed", None)
    assert receipt["preflight"]["symbols"] == 20
    assert receipt["preflight"]["stale"] == []
    assert {check["status"] for check in receipt["preflight"]["checks"]} == {"pass"}
    assert receipt["leaks"] == NO_LEAKS
    assert receipt["instance"]["market"] == "spot"
    assert receipt["cost"]["billed_seconds"] >= 60
    (attempt,) = receipt["attempts"]
    assert (attempt["ended_by"], attempt["instance"]["id"]) == ("run", receipt["instance"]["id"])
    assert attempt["instance"]["terminated_at"] == receipt["instance"]["terminated_at"]
    assert receipt["cost"]["attempts"][0]["usd"] == receipt["cost"]["usd"] > 0
    assert "run_id" in receipt
    assert receipt["run_id"] in preflight.page
    account.assert_nothing_left()


def test_preflight_writes_nothing(preflight: Run, account: Account) -> None:
    receipt = preflight.receipt
    since = ["--since", receipt["started_at"], "--until", receipt["finished_at"]]

    assert receipt["writes"]["data_bucket"] == 0
    assert account.ledger(*since, "--bucket", DATA_BUCKET, "--writes", "--without-operator") == []
    assert account.ledger(*since, "--source", "instance", "--writes") == []
    # The ledger did see the instance: it is no empty proof.
    assert account.ledger(*since, "--source", receipt["instance"]["id"], "--bucket", DATA_BUCKET) != []


def test_each_resource_is_described_once(preflight: Run, account: Account) -> None:
    since = ["--since", preflight.receipt["started_at"], "--until", preflight.receipt["finished_at"]]

    for action in ("DescribeImages", "DescribeSubnets", "DescribeSecurityGroups", "GetInstanceProfile"):
        assert len(account.ledger(*since, "--action", action)) == 1, action


def test_preflight_runs_no_training_task(preflight: Run) -> None:
    assert "training :" not in preflight.output
    assert all(
        step["name"] not in ("smoke", "full") or step["status"] == "skipped" for step in preflight.receipt["steps"]
    )


def test_run_folder_holds_the_logs(preflight: Run) -> None:
    assert preflight.folder is not None
    logs = {path.stem for path in (preflight.folder / "logs").glob("*.log")}
    assert {"open", "request", "bootstrap", "deps", "preflight", "terminate"} <= logs
    latest = preflight.folder.parent / "latest"
    assert latest.resolve() == preflight.folder


def test_terminating_twice_changes_nothing(account: Account, preflight: Run) -> None:
    command = ["ansible-playbook", "playbooks/terminate.yml", "-e", f"run_id={preflight.receipt['run_id']}"]
    for _ in range(2):
        answer = account.command(*command)
        assert "changed=0" in answer.stdout


def test_terminate_requires_a_run_id(account: Account) -> None:
    answer = account.command("ansible-playbook", "playbooks/terminate.yml", check=False)

    assert answer.returncode != 0
    assert "run_id: expected the id of a run" in answer.stdout


def test_project_folder_is_found_from_the_playbook(account: Account) -> None:
    answer = account.command("ansible-playbook", "playbooks/train.yml", "--check")

    assert answer.returncode == 0
    assert not (ROOT / "playbooks" / "runs").exists()
