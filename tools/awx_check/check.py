"""`make awx-check`: apply the data twice, then run what the schedules start as AWX runs it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tests.support.account import EmbeddedAccount
from tools.awx_check import account as awx_account
from tools.awx_check.apply import EXAMPLE, Ansible, Applied, apply
from tools.awx_check.jobs import Job, Result, describe, run_job
from tools.awx_check.launch import Ended, Launcher, LaunchError, walk
from tools.awx_check.server import Controller

#: Inventory source of the project -> its replacement in the check.
INVENTORIES = {"inventory/aws/hosts.yml": "inventory/local/local_aws.yml"}
#: The schedules of workflows. The reaper's schedule is left out: Saturday's workflow ends with the same job.
SCHEDULES = ("Friday preflight", "Saturday training")
Say = Callable[[str], None]


class CheckFailed(Exception):
    """The check failed; the text says why."""


@dataclass
class Checked:
    """Result of a check that passed: both applications, template and result of each job, and the runs' receipts."""

    first: Applied
    second: Applied
    results: list[tuple[str, Result]]
    receipts: list[dict[str, Any]]


class Check:
    """One check in its own folder."""

    def __init__(self, project: Path, folder: Path, say: Say = print) -> None:
        """Prepare a check of a project; `folder`, empty or missing, receives all files, and `say` a line a step."""
        self._project, self._folder, self._say = project, folder, say
        # The embedded machines use the Python that starts the account: it must be the jobs' Python.
        binaries = Path(sys.executable).parent
        self._account = EmbeddedAccount(folder / "account", project=project, binaries=binaries)
        self._runs = folder / "runs"
        self._ran: dict[str, Ended] = {}
        self._results: list[tuple[str, Result]] = []

    def run(
        self, variables: Mapping[str, Any] | None = None, jobs: bool = True, again: Ansible | None = None
    ) -> Checked:
        """Run the check.

        Args:
            variables: More inputs of the runs, for `awx_variables`.
            jobs: Whether to run what the schedules start.
            again: The Ansible of the second application; by default this Python's.

        Raises:
            CheckFailed: The check failed.
        """
        self._runs.mkdir(parents=True)
        with Controller(self._project) as controller:
            if not jobs:
                first, second = self._apply_twice(controller, dict(EXAMPLE), again)
                return Checked(first, second, [], [])
            self._account.folder.mkdir()
            self._account.start()
            try:
                identity = awx_account.prepare(self._account)
                given = self._given(identity, variables or {})
                first, second = self._apply_twice(controller, given, again)
                self._run_schedules(Launcher(controller), identity)
                self._nothing_left()
            finally:
                self._account.local_aws("stop")
        if left := self._account.lingering():
            raise CheckFailed(f"processes still run: {left}")
        return Checked(first, second, self._results, self._receipts())

    def _given(self, identity: awx_account.AwxIdentity, variables: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **EXAMPLE,
            "awx_role_arn": identity.role_arn,
            "awx_access_key_id": identity.access_key_id,
            "awx_secret_access_key": identity.secret_access_key,
            "awx_variables": {**EXAMPLE["awx_variables"], "runs_dir": str(self._runs), **variables},
        }

    def _apply_twice(
        self, controller: Controller, given: Mapping[str, Any], again: Ansible | None
    ) -> tuple[Applied, Applied]:
        first = apply(self._project, controller.url, controller.token, given)
        refused = [one for one in controller.requests if one.status >= 400]
        if first.code or refused or not first.changed:
            raise CheckFailed(f"applying failed ({first.code}), refused: {refused}\n{first.output}")
        writes = len(controller.writes)
        self._say(f"applied        {first.changed} tasks changed something, {writes} requests wrote")
        second = apply(self._project, controller.url, controller.token, given, ansible=again)
        more = controller.writes[writes:]
        if second.code or second.changed or more:
            raise CheckFailed(f"applying again changed {second.changed} ({second.code}), wrote {more}\n{second.output}")
        self._say("applied again  0 tasks changed something, 0 requests wrote")
        return first, second

    def _run_schedules(self, launcher: Launcher, identity: awx_account.AwxIdentity) -> None:
        for name in SCHEDULES:
            workflow = launcher.scheduled(name)
            self._say(f"{name}: {workflow['name']}")

            def run(template: Mapping[str, Any], node: Mapping[str, Any], published: Mapping[str, Any]) -> Ended:
                return self._run_node(launcher.job(template, node, published), str(template["name"]), identity)

            for step in walk(launcher, workflow, run):
                if not step.passed:
                    raise CheckFailed(f"{workflow['name']}: {step.identifier} did not pass")

    def _run_node(self, job: Job, template: str, identity: awx_account.AwxIdentity) -> Ended:
        """Run a job, unless an identical one has already run."""
        key = json.dumps({**asdict(job), "id": None}, sort_keys=True)
        if key in self._ran:
            self._say(f"  {template:15} the same job as above")
            return self._ran[key]
        if job.inventory not in INVENTORIES:
            raise LaunchError(f"no replacement for the inventory {job.inventory}: add it to INVENTORIES")
        number = len(self._results) + 1
        here = replace(
            job,
            id=number,
            inventory=INVENTORIES[job.inventory],
            environment={**job.environment, **identity.environment},
        )
        started = time.monotonic()
        result = run_job(here, self._folder / "jobs" / f"{number}-{template}", self._project)
        self._results.append((template, result))
        end = self._ran[key] = Ended(result.status == "successful" and result.rc == 0, result.stats)
        self._say(f"  {template:15} {result.status}, {time.monotonic() - started:.0f} s{self._outcome(template)}")
        if not end.passed:
            self._say(f"{describe(result)}\n{result.stdout[-4000:]}")
        return end

    def _outcome(self, template: str) -> str:
        """Summary of the newest receipt, for jobs that write one."""
        receipts = self._receipts() if template in ("spot-train", "spot-preflight") else []
        if not receipts:
            return ""
        receipt = receipts[-1]
        training = receipt.get("training")
        live = f", {'promoted' if training['promoted'] else 'not promoted'}" if training else ""
        left = sum(receipt["leaks"].values())
        return f": {receipt['mode']} {receipt['outcome']}{live}, {left} resources left"

    def _receipts(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(self._runs.glob("2*/receipt.json"))]

    def _nothing_left(self) -> None:
        status = self._account.status()
        left = {
            "instances": [one for one in status["instances"] if one["state"] != "terminated"],
            "volumes": status["volumes"],
            "spot_requests": [one for one in status["spot_requests"] if one["state"] in ("open", "active")],
            "sessions": status["sessions"],
        }
        if any(left.values()):
            raise CheckFailed(f"resources are left in the account: {left}")
        for receipt in self._receipts():
            if receipt["outcome"] != "passed" or any(receipt["leaks"].values()):
                raise CheckFailed(f"{receipt['run_id']}: {receipt['outcome']}, left: {receipt['leaks']}")
        self._say("left over      nothing")
