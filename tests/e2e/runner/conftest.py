"""Jobs as AWX runs them, in an embedded AWS with bystanders."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from local_aws.state import reserve

from tests.support.account import DATA_BUCKET, ROOT, TRANSPORT_BUCKET, EmbeddedAccount, practice_source
from tests.support.stage import Stage
from tools.awx_check.jobs import Job, Result, run_job

#: What group_vars/local.yml says where the inventory is local, and a template has to say where it is not. The endpoint
#: of the transport bucket is put next to it.
AS_ON_AWS = {
    "data_bucket": DATA_BUCKET,
    "transport_bucket": TRANSPORT_BUCKET,
    "run_date": "2022-12-29",
    "spot_instance_subnet_filters": {"default-for-az": "true"},
    "bootstrap_python": str(Path(sys.executable).resolve()),
    "ansible_aws_ssm_plugin": str(Path(sys.executable).parent / "session-manager-plugin"),
    "ansible_aws_ssm_s3_addressing_style": "path",
}


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
            contained: See `run_job`. Then the account is one on AWS to it: from a container none is started or stopped.
            parts: Further parts of the job.
        """
        self._started += 1
        source = practice_source(self.stage.folder / f"practice-{self._started}", settings or {})
        template = {"training_source": source, "runs_dir": str(self.runs)}
        return self.run("train.yml", survey, cancel, contained, template_vars=template, **parts)

    def run(
        self,
        playbook: str,
        extra_vars: dict[str, Any],
        cancel: Callable[[], bool] | None = None,
        contained: bool = False,
        template_vars: dict[str, Any] | None = None,
        **parts: Any,
    ) -> Result:
        """Run the job of a playbook."""
        self.events.clear()
        credential, template = self.credential(), dict(template_vars or {})
        if contained:
            endpoint = {"ansible_aws_ssm_bucket_endpoint_url": credential["AWS_ENDPOINT_URL"]}
            template = {**AS_ON_AWS, **endpoint, **template}
        inventory = "inventory/aws" if contained else "inventory/local"
        job = Job(playbook, inventory, extra_vars, environment=credential, template_vars=template, **parts)
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
