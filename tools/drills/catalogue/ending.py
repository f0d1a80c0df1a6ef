"""Termination fails."""

from __future__ import annotations

import time

from tests.support.cloud import specification
from tests.support.stage import Stage
from tools.drills.catalogue.layers import WITHOUT_SCHEDULE, WITHOUT_WATCHDOG
from tools.drills.catalogue.signals import PHASES, PREFLIGHT
from tools.drills.drill import FAILED, Drill, Expected, Seen, end_by_hand, finish

REFUSED = ("error", "service=ec2", "action=TerminateInstances", "status=403", "code=UnauthorizedOperation")
LEASE_MINUTES = 2


def _refused_twice(stage: Stage) -> Seen:
    stage.fault(*REFUSED, "count=2")
    run = stage.play(*PREFLIGHT, settings={"folds": 1})
    run.wait_for_task("terminate")
    return finish(run, stage)


def _refused_for_ever(stage: Stage) -> Seen:
    """Only the dead-man switch can end the instance; the rest is swept once termination works again."""
    stage.fault(*REFUSED)
    run = stage.play(
        *PREFLIGHT, *WITHOUT_WATCHDOG, *WITHOUT_SCHEDULE, "-e", f"spot_instance_lease_minutes={LEASE_MINUTES}",
        settings={"folds": 1},
    )  # fmt: skip
    stage.wait_for_instance(run)
    since = time.monotonic()
    run.wait()
    seen = Seen(run)
    seen.check(bool(stage.instances()), "the instance was terminated despite the refusal")
    seen.check(bool(run.receipt().get("leaks", {}).get("instances")), "the receipt reports no leftover instance")
    stage.wait_until(lambda: not stage.instances(), LEASE_MINUTES * 60 + 30)
    seen.gone_after = round(time.monotonic() - since, 1)
    stage.fault("clear")
    end_by_hand(run, stage, seen)
    return seen


def _already_gone(stage: Stage) -> Seen:
    run = PHASES["termination"].start(stage)
    for instance in stage.instances():
        stage.account.client("ec2").terminate_instances(InstanceIds=[instance.id])
    run.wait()
    return Seen(run)


def _open_request(stage: Stage) -> Seen:
    """End a run that has a spot request which EC2 has not fulfilled."""
    run = PHASES["preflight"].start(stage)
    ours = stage.wait_for_instance(run)
    stage.fault("capacity", "code=InsufficientInstanceCapacity")
    stage.account.client("ec2").request_spot_instances(
        InstanceCount=1,
        LaunchSpecification={"ImageId": stage.cloud.image, "InstanceType": "c5.large"},
        TagSpecifications=[specification("spot-instances-request", ours.tags)],
    )
    seen = Seen(run)
    seen.check(stage.left()["spot_requests"] == 2, "the request is not open")
    since = time.monotonic()
    end_by_hand(run, stage, seen, runs=stage.folder / "none")
    seen.gone_after = round(time.monotonic() - since, 1)
    seen.check(not stage.instances(), "the instance still runs")
    # With capacity, EC2 would fulfil an open request now.
    stage.fault("clear")
    run.wait()
    return seen


DRILLS = [
    Drill("terminate-refused-twice", "TerminateInstances is refused twice, then works", "termination",
          Expected("passed", (0,), gone_within=60), _refused_twice),
    Drill("terminate-refused-for-ever", "TerminateInstances is always refused", "termination",
          Expected("failed", FAILED, says="UnauthorizedOperation", gone_within=LEASE_MINUTES * 60 + 20),
          _refused_for_ever, layer="dead-man switch"),
    Drill("already-gone", "another user has terminated the instance", "termination", Expected("passed", (0,)),
          _already_gone),
    Drill("open-request", "a spot request is still open; terminate.yml during the run", "preflight",
          Expected("failed", FAILED, gone_within=60), _open_request),
]  # fmt: skip
