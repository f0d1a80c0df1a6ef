"""A controller, an account and a run: the whole playbook against an embedded AWS of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local_aws.state import reserve

ROOT = Path(__file__).resolve().parents[2]
RUN_SECONDS = 900
NO_LEAKS = {"instances": 0, "spot_requests": 0, "volumes": 0, "transport_keys": 0}
DATA_BUCKET = "spot-train-data"


@dataclass
class Run:
    """One finished run of the playbook."""

    code: int
    output: str
    folder: Path | None

    @property
    def receipt(self) -> dict[str, Any]:
        """The receipt; fails the test where there is none."""
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


@dataclass
class Account:
    """An embedded AWS in a folder of its own, and a controller that uses it."""

    folder: Path
    project: Path = ROOT
    binaries: Path = ROOT / ".venv" / "bin"
    prefix: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        """The environment of every command here."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))}
        return {
            **kept,
            "PATH": f"{self.binaries}:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(self.binaries.parent),
            "LOCAL_AWS_HOME": str(self.folder / "aws"),
            "LOCAL_AWS_CACHE": str(ROOT / ".cache" / "packages"),
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "1000",
            **self.environment,
        }

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command in the project's folder."""
        answer = subprocess.run(
            [*self.prefix, *arguments],
            cwd=self.project,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        assert not check or answer.returncode == 0, f"{arguments}: {answer.stdout}{answer.stderr}"
        return answer

    def local_aws(self, *arguments: str) -> str:
        """Run ``python -m local_aws`` and return what it printed."""
        return self.command(str(self.binaries / "python"), "-m", "local_aws", *arguments).stdout

    def status(self) -> dict[str, Any]:
        """What ``status --json`` prints."""
        status: dict[str, Any] = json.loads(self.local_aws("status", "--json"))
        return status

    def ledger(self, *filters: str) -> list[dict[str, Any]]:
        """Entries of the ledger."""
        return [json.loads(line) for line in self.local_aws("log", "--json", *filters).splitlines()]

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

    def client(self, service: str) -> Any:
        """A boto3 client as the account's owner."""
        import boto3

        reservation = reserve(self.folder / "aws")
        return boto3.client(
            service,
            endpoint_url=reservation.endpoint,
            region_name=reservation.region,
            aws_access_key_id=reservation.operator.access_key_id,
            aws_secret_access_key=reservation.operator.secret_access_key,
        )

    def assert_nothing_left(self) -> None:
        """No live instance, no volume, no open request, no session, no launch template, no file in transport."""
        status = self.status()
        assert [i for i in status["instances"] if i["state"] != "terminated"] == []
        assert status["volumes"] == []
        assert [r for r in status["spot_requests"] if r["state"] in ("open", "active")] == []
        assert status["sessions"] == []

    def processes(self) -> list[str]:
        """Command lines of the processes on this host that belong to this folder."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it has ended meanwhile
            if str(self.folder) in line:
                found.append(line)
        return found


def project_copy(folder: Path) -> Path:
    """A copy of the default training project, to be spoilt."""
    shutil.copytree(ROOT / "files" / "predictor", folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return folder


def source_options(folder: Path, command: str) -> list[str]:
    """The options that have the playbook take the training project from a folder."""
    training = {
        "path": str(folder),
        "lock": "requirements.lock",
        "config": "config/default.yaml",
        "preflight_command": [command, "preflight"],
        "train_command": ["predictor", "train"],
    }
    return ["-e", json.dumps({"training_source": training})]


def keys(account: Account) -> dict[str, str]:
    """Keys of the data bucket outside ArcticDB, with their ETags."""
    pages = account.client("s3").get_paginator("list_objects_v2").paginate(Bucket=DATA_BUCKET)
    found = {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", [])}
    return {key: tag for key, tag in found.items() if not key.startswith("arcticdb/")}


def start(account: Account) -> None:
    """Start the embedded AWS of ``account`` and load the account and the prices into it."""
    account.local_aws("start", "--boot-delay", "0.5", "--seed", str(account.project / "inventory/local/account.yml"))


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """The account that the end-to-end tests share; stopped, and nothing of it left, at the end."""
    account = Account(tmp_path_factory.mktemp("e2e"))
    start(account)
    yield account
    account.local_aws("stop")
    assert account.processes() == []
