"""Jobs as AWX runs them, in an embedded AWS with bystanders."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from awx_check.jobs import Job, Result, run_job
from drills.account import ROOT, EmbeddedAccount, practice_source
from drills.stage import Stage
from local_aws.state import reserve


@dataclass
class Jobs:
    """What a controller with one credential starts: each job has a folder and a training project of its own."""

    stage: Stage
    events: list[dict[str, Any]] = field(default_factory=list)
    _started: int = 0

    @property
    def account(self) -> EmbeddedAccount:
        """The embedded account."""
        return self.stage.account

    @property
    def runs(self) -> Path:
        """What an execution environment would have mounted for the folders of the runs."""
        return self.stage.folder / f"runs-{self._started}"

    def credential(self) -> dict[str, str]:
        """What AWX's credential puts into the environment: the endpoint and the controller's keys."""
        home = self.account.folder / "aws"
        return {
            **reserve(home).client_environment(),
            "LOCAL_AWS_HOME": str(home),
            "LOCAL_AWS_CACHE": str(ROOT / ".cache" / "packages"),
        }

    def train(
        self,
        survey: dict[str, Any],
        settings: dict[str, Any] | None = None,
        cancel: Callable[[], bool] | None = None,
        contained: bool = False,
        **parts: Any,
    ) -> Result:
        """Run the job of `train.yml` on the practice project.

        Args:
            survey: What was answered.
            settings: Of the practice project.
            cancel: See `run_job`.
            contained: See `run_job`.
            parts: Of the job, beside playbook, inventory and credential.
        """
        self._started += 1
        source = practice_source(self.stage.folder / f"practice-{self._started}", settings or {})
        template = {"training_source": source, "runs_dir": str(self.runs)}
        return self.run("train.yml", {**template, **survey}, cancel, contained, **parts)

    def run(
        self,
        playbook: str,
        extra_vars: dict[str, Any],
        cancel: Callable[[], bool] | None = None,
        contained: bool = False,
        **parts: Any,
    ) -> Result:
        """Run the job of a playbook."""
        self.events.clear()
        job = Job(playbook, "inventory/local", extra_vars, environment=self.credential(), **parts)
        folder = self.stage.folder / f"job-{self._started}-{Path(playbook).stem}"
        return run_job(job, folder, ROOT, cancel, contained=contained, on_event=self.events.append)

    def in_training(self) -> bool:
        """Whether the newest job has shown a fold of its training."""
        return any(event["stdout"].lstrip().startswith("fold ") for event in self.events if event.get("stdout"))

    def left_folder(self) -> Path:
        """The folder of the newest job's run."""
        (folder,) = self.runs.glob("2*")
        return folder

    def receipt(self) -> dict[str, Any]:
        """The receipt of the newest job's run."""
        receipt: dict[str, Any] = json.loads((self.left_folder() / "receipt.json").read_text())
        return receipt

    def seconds_until_gone(self, since: float, within: float) -> float:
        """Seconds from `since` (monotonic) until no instance lived; fails after `within`."""
        assert self.stage.wait_until(lambda: not self.stage.instances(), since + within - time.monotonic()), (
            f"the instance lives on after {within:.0f} s"
        )
        return time.monotonic() - since


@pytest.fixture(scope="session")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """The account that all jobs share."""
    with Stage(tmp_path_factory.mktemp("runner")).running() as stage:
        yield Jobs(stage)
        assert stage.touched() == []
