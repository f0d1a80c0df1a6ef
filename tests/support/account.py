"""An embedded AWS in its own folder, and a control node that uses it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from local_aws.state import reserve

from tests.support.waiting import happens

ROOT = Path(__file__).resolve().parents[2]
PRACTICE = ROOT / "examples" / "practice"
LONGEST_COMMAND_SECONDS = 1800
DATA_BUCKET = "spot-train-data"
TRANSPORT_BUCKET = "spot-train-transport"


def training_source(folder: Path, program: str = "predictor", **parts: Any) -> dict[str, Any]:
    """The default training source with another folder.

    Args:
        folder: Folder of the project.
        program: Program that starts preflight and training.
        parts: Other changed parts.
    """
    default = yaml.safe_load((ROOT / "group_vars" / "all.yml").read_text())["training_source"]
    commands = {name: [program, *default[name][1:]] for name in ("preflight_command", "train_command")}
    return {**default, **commands, "path": str(folder), **parts}


def project_copy(folder: Path, changes: dict[str, str] | None = None) -> Path:
    """Copy the default training project and change its configuration.

    Args:
        folder: Target folder.
        changes: Text in the default configuration -> its replacement.

    Raises:
        AssertionError: The configuration lacks a text.
    """
    shutil.copytree(ROOT / "files" / "predictor", folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    config = folder / "config" / "default.yaml"
    text = config.read_text()
    for default, instead in (changes or {}).items():
        assert default in text, f"not found in the configuration: {default!r}"
        text = text.replace(default, instead)
    config.write_text(text)
    return folder


def practice_source(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Copy the practice project, which needs no libraries and only waits, and return it as a training source.

    Args:
        folder: Target folder.
        settings: Changed settings of its configuration.
    """
    shutil.copytree(PRACTICE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    config = folder / "config" / "default.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **settings}))
    return training_source(folder, config="config/default.json", program="practice", imports=["practice"])


@dataclass
class EmbeddedAccount:
    """An embedded AWS and the environment of its control node.

    Attributes:
        folder: Folder of all its files.
        project: The project's folder, the working directory of commands.
        binaries: `bin` of the environment with Ansible.
        prefix: Put before every command, for example `setpriv …`.
        environment: Added to every command's environment.
    """

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
        """Run one command in the project's folder.

        Raises:
            AssertionError: It failed and `check` is true.
        """
        answer = subprocess.run(
            [*self.prefix, *arguments],
            cwd=self.project,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_COMMAND_SECONDS,
            check=False,
        )
        assert not check or answer.returncode == 0, f"{arguments}: {answer.stdout}{answer.stderr}"
        return answer

    def local_aws(self, *arguments: str) -> str:
        """Run `python -m local_aws` and return what it printed."""
        return self.command(str(self.binaries / "python"), "-m", "local_aws", *arguments).stdout

    def start(self) -> None:
        """Start it and load the account and the prices."""
        self.local_aws("start", "--boot-delay", "0.5", "--seed", str(self.project / "inventory/local/account.yml"))

    def stop(self) -> None:
        """Stop it and check that all its processes have ended.

        Raises:
            AssertionError: It does not stop, or a process still runs.
        """
        self.local_aws("stop")
        self.assert_ended()

    def assert_ended(self) -> None:
        """Check that all its processes have ended."""
        left = self.lingering()
        assert not left, f"processes still run: {left}"

    def lingering(self) -> list[str]:
        """Its processes that still run after a minute: killed processes need processor time to end."""
        happens(lambda: not self.processes(), within=60)
        return self.processes()

    def status(self) -> dict[str, Any]:
        """The output of `status --json`."""
        status: dict[str, Any] = json.loads(self.local_aws("status", "--json"))
        return status

    def ledger(self, *filters: str) -> list[dict[str, Any]]:
        """Entries of the ledger."""
        return [json.loads(line) for line in self.local_aws("log", "--json", *filters).splitlines()]

    def client(self, service: str, control_node: bool = False) -> Any:
        """A boto3 client with the keys of the account's owner or of the control node."""
        import boto3

        reservation = reserve(self.folder / "aws")
        key = reservation.control_node if control_node else reservation.operator
        return boto3.client(
            service,
            endpoint_url=reservation.endpoint,
            region_name=reservation.region,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
        )

    def processes(self) -> list[str]:
        """Command lines of this host's processes that contain the folder."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # already ended
            if str(self.folder) in line:
                found.append(line)
        return found
