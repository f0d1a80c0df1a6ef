"""The launch is refused or gets a wrong response."""

from __future__ import annotations

import functools

from tests.support.stage import Stage
from tools.drills.catalogue.signals import PREFLIGHT
from tools.drills.drill import Drill, Expected, Seen


def _with(faults: tuple[tuple[str, ...], ...], refused: int, stage: Stage) -> Seen:
    """Run with faults; the receipt must record `refused` refused offers."""
    for fault in faults:
        stage.fault(*fault)
    run = stage.play(*PREFLIGHT, settings={"folds": 1})
    run.wait()
    seen = Seen(run)
    offers = [offer for attempt in run.receipt().get("attempts", []) for offer in attempt["cells"]]
    errors = [offer["error"] for offer in offers if offer["error"]]
    seen.check(len(errors) == refused, f"{len(errors)} refusals recorded, expected {refused}")
    since = str(run.receipt().get("started_at"))
    asked = stage.account.ledger("--action", "RunInstances", "--writes", "--since", since)
    launched = [entry for entry in asked if entry["status"] == 200]
    seen.check(len(launched) <= 1, f"{len(launched)} launches")
    return seen


_CAPACITY = "InsufficientInstanceCapacity"

DRILLS = [
    Drill("no-capacity-in-two-cells", "no capacity for the first two offers", "request",
          Expected("passed", (0,), attempts=1),
          functools.partial(_with, (("capacity", f"code={_CAPACITY}", "count=2"),), 2)),
    Drill("no-capacity", "no capacity anywhere", "request",
          Expected("no_capacity", (64,), says=_CAPACITY, attempts=0),
          functools.partial(_with, (("capacity", f"code={_CAPACITY}"),), 6)),
    Drill("capacity-after-launch", "the launch is refused but succeeds", "request",
          Expected("passed", (0,), attempts=1),
          functools.partial(_with, (("error", "service=ec2", "action=RunInstances", f"code={_CAPACITY}", "status=400",
                                     "late=true", "count=1"),), 1), fast=True),
    Drill("no-instance-id", "the launch returns no instance id", "request",
          Expected("passed", (0,), attempts=1), functools.partial(_with, (("no_instance_id", "count=1"),), 0)),
    Drill("throttling", "every second call to EC2 is throttled", "the whole run",
          Expected("passed", (0,), attempts=1), functools.partial(_with, (("throttle", "service=ec2", "every=2"),), 0)),
]  # fmt: skip
