"""A controller, an account and a run: the whole playbook against an embedded AWS of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from local_aws.state import reserve

from tests.support.account import DATA_BUCKET, EmbeddedAccount, practice_source, training_source

NO_LEAKS = {
    "instances": 0,
    "volumes": 0,
    "spot_requests": 0,
    "launch_templates": 0,
    "schedules": 0,
    "transport_keys": 0,
}


@dataclass
class Run:
    """One finished run of the playbook."""

    code: int
    output: str
    folder: Path | None

    @property
    def receipt(self) -> dict[str, Any]:
        """The receipt; fails the test without one."""
        assert self.folder is not None, f"the run left no folder:\n{self.output[-3000:]}"
        receipt: dict[str, Any] = json.loads((self.folder / "receipt.json").read_text())
        return receipt

    def check(self, name: str) -> dict[str, Any]:
        """One check of the preflight in the receipt."""
        found: dict[str, Any] = next(entry for entry in self.receipt["preflight"]["checks"] if entry["name"] == name)
        return found

    @property
    def page(self) -> str:
        """The report page."""
        assert self.folder is not None
        return (self.folder / "report.html").read_text()

    @property
    def errors(self) -> list[str]:
        """What Ansible printed as errors, one text each."""
        return [line for line in self.output.splitlines() if line.startswith("[ERROR]") or "msg: " in line]


class Account(EmbeddedAccount):
    """An embedded AWS, and whole runs of the playbook in it."""

    def launches(self) -> int:
        """How many launches were asked for so far; a dry run is none."""
        return len(self.ledger("--action", "RunInstances", "--writes"))

    def train(self, *arguments: str) -> Run:
        """Run ``ansible-playbook train.yml`` with ``arguments``; its folder is found by what is new."""
        runs = self.folder / "runs"
        before = set(runs.glob("2*"))
        answer = self.command("ansible-playbook", "train.yml", "-e", f"runs_dir={runs}", *arguments, check=False)
        new = sorted(set(runs.glob("2*")) - before)
        return Run(answer.returncode, answer.stdout + answer.stderr, new[-1] if new else None)

    def assert_nothing_left(self) -> None:
        """No live instance, no volume, no open request, no session, no launch template, no file in transport."""
        status = self.status()
        assert [i for i in status["instances"] if i["state"] != "terminated"] == []
        assert status["volumes"] == []
        assert [r for r in status["spot_requests"] if r["state"] in ("open", "active")] == []
        assert status["sessions"] == []


class Bucket:
    """The data bucket, as the account's owner."""

    def __init__(self, account: Account) -> None:
        self.reservation = reserve(account.folder / "aws")
        self.s3 = account.client("s3")

    def arctic(self, prefix: str) -> Any:
        """ArcticDB under a prefix."""
        import arcticdb

        key = self.reservation.operator
        return arcticdb.Arctic(
            f"s3://127.0.0.1:{DATA_BUCKET}?port={self.reservation.port}&region=us-east-1&access={key.access_key_id}"
            f"&secret={key.secret_access_key}&use_virtual_addressing=false&path_prefix={prefix}"
        )

    def keys(self, prefix: str) -> list[str]:
        """Keys under a prefix."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=DATA_BUCKET, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]


def source_options(folder: Path, command: str) -> list[str]:
    """The options that have the playbook take the training project from a folder, its preflight from a command."""
    source = training_source(folder, command)
    return ["-e", json.dumps({"training_source": source})]


def practice_options(folder: Path) -> list[str]:
    """The options that have the playbook take the practice project: for tests of what is around the training."""
    return ["-e", json.dumps({"training_source": practice_source(folder, {})})]


def keys(account: Account) -> dict[str, str]:
    """Keys of the data bucket outside ArcticDB, with their ETags."""
    pages = account.client("s3").get_paginator("list_objects_v2").paginate(Bucket=DATA_BUCKET)
    found = {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", [])}
    return {key: tag for key, tag in found.items() if not key.startswith("arcticdb/")}


def start(account: Account) -> None:
    """Start the embedded AWS of ``account`` and load the account and the prices into it."""
    account.start()


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """The account that the end-to-end tests share; stopped, and nothing of it left, at the end."""
    account = Account(tmp_path_factory.mktemp("e2e"))
    start(account)
    yield account
    account.stop()
