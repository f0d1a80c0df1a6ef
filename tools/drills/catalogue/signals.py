"""The playbook's process group gets a signal in each step; the watchdog ends the instance."""

from __future__ import annotations

import functools
import signal
import time
from dataclasses import dataclass, field
from typing import Any

from tests.support.playbook import Playbook
from tests.support.stage import Stage
from tools.drills.drill import Drill, Expected, Seen

#: The promise: the longest time from the death of `ansible-playbook` to the end of the instance.
WATCHDOG_SECONDS = 10.0
#: Delays the launch, so that the playbook dies during it; the watchdog must find the resulting instance.
LAUNCH_MILLISECONDS = 1500
#: After Ctrl-C Ansible exits with 99, 1 or 250, Python with 130; the watchdog causes 137.
CODES = {signal.SIGINT: (99, 130, 1, 250, 137), signal.SIGTERM: (143,), signal.SIGKILL: (137,)}
PREFLIGHT = ("-e", "preflight_only=true")
TRAINING = ("-e", "training_mode=full")


@dataclass(frozen=True)
class Phase:
    """When a run is hit: `pause` seconds after the start of a task in `step` whose name contains `task`."""

    step: str
    task: str = ""
    pause: float = 0.5
    arguments: tuple[str, ...] = PREFLIGHT
    settings: dict[str, Any] = field(default_factory=dict)

    def start(self, stage: Stage, *arguments: str) -> Playbook:
        """Start a run and return in this phase.

        Raises:
            Stuck: The run does not reach the phase.
        """
        if self.step == "request":
            stage.fault("latency", f"milliseconds={LAUNCH_MILLISECONDS}", "service=ec2", "action=RunInstances")
        run = stage.play(*self.arguments, *arguments, settings={"preflight_seconds": 0, **self.settings})
        run.wait_for_task(self.step, self.task)
        time.sleep(self.pause)
        return run


PHASES = {
    "request": Phase("request", "Launch", pause=0.8),
    "bootstrap": Phase("bootstrap"),
    "deps": Phase("deps", "Install", pause=2),
    "preflight": Phase("preflight", "Run the preflight", pause=2, settings={"preflight_seconds": 60}),
    "training": Phase("full", "Follow", pause=2, arguments=TRAINING, settings={"folds": 60, "fold_seconds": 1}),
    "termination": Phase("terminate", pause=0),
}


def _hit(phase: Phase, number: signal.Signals, stage: Stage) -> Seen:
    run = phase.start(stage)
    since = time.monotonic()
    run.kill(number)
    run.wait(60)
    return Seen(run, since)


DRILLS = [
    Drill(
        name=f"{number.name.lower()}-{name}",
        broken=f"{number.name} to the playbook's process group",
        when=name,
        expected=Expected("interrupted", CODES[number], gone_within=WATCHDOG_SECONDS),
        act=functools.partial(_hit, phase, number),
        fast=(number, name) in ((signal.SIGKILL, "request"), (signal.SIGTERM, "training")),
        layer="watchdog",
    )
    for number in CODES
    for name, phase in PHASES.items()
]
