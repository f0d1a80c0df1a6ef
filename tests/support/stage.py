"""The stage of drills: an embedded AWS with bystanders, and a count of what a run left."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.account import EmbeddedAccount, practice_source
from tests.support.cloud import LIVE, Cloud, Instance, Inventory
from tests.support.playbook import Playbook, Stuck
from tests.support.waiting import happens

KINDS = ("instances", "volumes", "spot_requests", "launch_templates", "schedules", "transport_keys")
PAST = "2026-01-01T00:00:00Z"
LONG_PAST_RUN = "20260101T000000Z-abcdef"


class Stage:
    """An embedded AWS with others' resources (bystanders), for one drill at a time."""

    def __init__(self, folder: Path) -> None:
        """Prepare it; `folder` receives all files."""
        self.account = EmbeddedAccount(folder)
        self.folder = folder
        self._bystanders: Inventory = {}
        self.memory: dict[str, Any] = {}
        self._runs: list[Playbook] = []
        self._plays = 0

    @contextmanager
    def running(self) -> Iterator[Stage]:
        """Start it and create the bystanders; stop it at the end."""
        try:
            self.account.start()
            self.cloud = Cloud(self.account)
            self._make_bystanders()
            yield self
        finally:
            self.account.local_aws("stop")

    # Actions of drills.

    def play(
        self,
        *arguments: str,
        settings: dict[str, Any],
        prefix: tuple[str, ...] = (),
        runs: Path | None = None,
    ) -> Playbook:
        """Start `train.yml` on the practice project.

        Args:
            arguments: Options of `ansible-playbook`.
            settings: Of the practice project; if empty, train what `arguments` name, or the default project.
            prefix: Put before the command.
            runs: Folder for this run's folder.
        """
        self._plays += 1
        practice = self.folder / f"practice-{self._plays}"
        source = ["-e", json.dumps({"training_source": practice_source(practice, settings)})] if settings else []
        runs = runs or self.folder / f"runs-{self._plays}"
        # Outside of the runs' folder, whose disk a drill may fill.
        log = self.folder / f"output-{self._plays}.txt"
        self._runs.append(Playbook(self.account, runs, log, *source, *arguments, prefix=prefix))
        return self._runs[-1]

    def playbook(self, name: str, *arguments: str, prefix: tuple[str, ...] = ()) -> tuple[int, str]:
        """Run another playbook to its end; return exit code and output."""
        answer = self.account.command(*prefix, "ansible-playbook", f"playbooks/{name}.yml", *arguments, check=False)
        return answer.returncode, answer.stdout + answer.stderr

    def fault(self, *arguments: str) -> None:
        """Inject a fault: see packages/local_aws/README.md."""
        self.account.local_aws("fault", *arguments)

    def wait_for_instance(self, run: Playbook, states: tuple[str, ...] = ("running",)) -> Instance:
        """Wait until a run has an instance, and return it.

        Raises:
            Stuck: It did not get one in time.
        """
        found: list[Instance] = []

        def there() -> bool:
            found[:] = [i for i in self.instances(states) if i.tags.get("run_id") == run.run_id]
            return bool(run.run_id and found)

        run.wait_for("an instance of the run", there)
        return found[0]

    # The account's contents.

    def instances(self, states: tuple[str, ...] = LIVE) -> list[Instance]:
        """Every instance in one of these states except the bystanders."""
        others = self._bystanders.get("instances", {})
        return [i for i in self.cloud.instances(states) if i.id not in others]

    def left(self) -> dict[str, int]:
        """The number of resources by kind, without bystanders."""
        now = self.cloud.inventory()
        return {kind: len(set(now[kind]) - set(self._bystanders[kind])) for kind in KINDS}

    def touched(self) -> list[str]:
        """The changes of bystanders, one text each."""
        now = self.cloud.inventory()
        return [
            f"{kind[:-1].replace('_', ' ')} {name} was {before} and is {now[kind].get(name, 'gone')}"
            for kind in KINDS
            for name, before in self._bystanders[kind].items()
            if now[kind].get(name) != before
        ]

    def wait_until(self, happened: Callable[[], bool], seconds: float) -> bool:
        """Wait until something has happened; return whether it did in time."""
        return happens(happened, within=seconds)

    def clear(self) -> None:
        """Clear all faults and what a failed drill left, for the next drill."""
        self.fault("clear")
        for run in self._runs:
            if run.code is None:
                run.kill(signal.SIGKILL)
                run.wait(60)
            run.end_workers()
        self._runs.clear()
        if left := [instance.id for instance in self.instances()]:
            self.cloud.ec2.terminate_instances(InstanceIds=left)
            if not self.wait_until(lambda: not self.instances(), 90):
                raise Stuck(f"the embedded AWS did not terminate {', '.join(left)}")

    def _make_bystanders(self) -> None:
        """Create others' resources, similar to a run's."""
        cloud, other = self.cloud, {"project": "spot-train-2", "lease_expires": PAST}
        made = [
            cloud.launch({}),
            cloud.launch({"Name": f"spot-train-preflight-{LONG_PAST_RUN}"}),
            cloud.launch({**other, "run_id": LONG_PAST_RUN}, request_tags={}),
            cloud.launch({"project": "spot-train"}),
            cloud.launch({"project": "spot-train", "run_id": "", "lease_expires": "tomorrow"}),
        ]
        for tags in ({}, other):
            cloud.volume(tags)
        cloud.template(f"spot-train-2-{LONG_PAST_RUN}", {})
        cloud.schedule(f"spot-train-2-{LONG_PAST_RUN}")
        for key in (f"{made[0]}/other", "i-0123456789abcdef0/other", "other"):
            cloud.key(key)
        if not self.wait_until(lambda: len(cloud.instances(("running",))) == len(made), 60):
            raise Stuck("the bystanders did not start")
        self._bystanders = cloud.inventory()
