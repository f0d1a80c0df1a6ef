"""The same playbook under ansible-core 2.21 on the newest Python that is here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.runs.conftest import NO_LEAKS, Account, keys, source_options, start
from tests.support.account import ROOT, project_copy

#: What the default configuration says, and what it says here: a third of the folds, half the trees.
SMALLER = {"test_days: 126": "test_days: 378", "trees: 60": "trees: 30"}


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """A controller with ansible-core 2.21, where a Python for it is present."""
    binaries = ROOT / ".venv-2.21" / "bin"
    if not (binaries / "ansible-playbook").exists():
        pytest.skip("no environment with ansible-core 2.21: it takes Python 3.12 or 3.13, and neither is here")
    account = Account(tmp_path_factory.mktemp("e2e-newest"), binaries=binaries)
    start(account)
    yield account
    account.stop()


def test_it_is_that_ansible(newest: Account) -> None:
    assert "core 2.21" in newest.command("ansible-playbook", "--version").stdout


def test_a_smoke_training_checks_trains_and_writes_nothing(newest: Account, tmp_path: Path) -> None:
    before = keys(newest)
    folder = project_copy(tmp_path / "predictor", SMALLER)

    run = newest.train("-e", "training_mode=smoke", *source_options(folder, "predictor"))

    assert run.code == 0, run.output
    assert (run.receipt["mode"], run.receipt["outcome"]) == ("smoke", "passed")
    assert run.receipt["smoke"]["folds"] >= 10
    assert {check["status"] for check in run.receipt["preflight"]["checks"]} == {"pass"}
    assert run.receipt["writes"]["data_bucket"] == 0
    assert run.receipt["writes"]["digest"]["equal"] is True
    assert run.receipt["leaks"] == NO_LEAKS
    # What it was done with, not what the other environment has.
    assert re.match(r"2\.21\.\d", run.receipt["run"]["ansible_version"])
    manifest = next(newest.binaries.parent.glob("lib/*/site-packages/ansible_collections/amazon/aws/MANIFEST.json"))
    version = json.loads(manifest.read_text())["collection_info"]["version"]
    assert run.receipt["run"]["amazon_aws_version"] == version
    assert keys(newest) == before
    newest.assert_nothing_left()


def test_bad_input_is_one_clear_line(newest: Account) -> None:
    before = newest.launches()

    run = newest.train("-e", "preflight_onyl=true")

    assert run.code != 0
    assert any("did you mean 'preflight_only'" in line for line in run.errors), run.output
    assert newest.launches() == before
