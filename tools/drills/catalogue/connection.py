"""The connection to the instance, or the instance itself, fails."""

from __future__ import annotations

import tarfile
import time

from tests.support.stage import Stage
from tools.drills.catalogue.signals import PHASES, PREFLIGHT
from tools.drills.drill import FAILED, Drill, Expected, Seen, finish

#: By default the connection waits a minute for output, and retries.
IMPATIENT = ("-e", "ansible_aws_ssm_timeout=10", "-e", "ansible_aws_ssm_retries=0")


def _never_online(stage: Stage) -> Seen:
    stage.fault("never_online", "count=1")
    run = stage.play(*PREFLIGHT, "-e", "spot_instance_online_seconds=8", settings={"folds": 1})
    stage.wait_for_instance(run, ("pending", "running"))
    return finish(run, stage)


def _cut(stage: Stage) -> Seen:
    run = stage.play(*PREFLIGHT, settings={"preflight_seconds": 12})
    run.wait_for_task("preflight", "Run the preflight")
    instance = stage.wait_for_instance(run)
    for _ in range(4):
        time.sleep(1.5)
        stage.fault("cut", f"instance={instance.id}")
    run.wait()
    seen = Seen(run)
    seen.check(_starts(run.folder) == 1, f"the command ran {_starts(run.folder)} times")
    return seen


def _starts(folder: object) -> int:
    """How often the practice preflight was started, according to the copied evidence."""
    with tarfile.open(f"{folder}/evidence.tar.gz") as evidence:
        file = evidence.extractfile("results/preflight.starts")
        return len(file.read().splitlines()) if file else 0


def _gone(event: str, stage: Stage, *parameters: str) -> Seen:
    run = PHASES["preflight"].start(stage, *IMPATIENT)
    instance = stage.wait_for_instance(run)
    stage.fault(event, f"instance={instance.id}", *parameters)
    return finish(run, stage)


def _torn(stage: Stage) -> Seen:
    seen = _gone("unreachable", stage, "torn=true")
    assert seen.run is not None and seen.run.folder is not None
    watchdog = (seen.run.folder / "watchdog.log").read_text()
    seen.check("nothing has moved in an SSM session" in watchdog, "the connection did not hang")
    return seen


def _hung(stage: Stage) -> Seen:
    run = stage.play(*PREFLIGHT, "-e", "preflight_seconds=5", settings={"preflight_seconds": 3600})
    run.wait_for_task("preflight", "Run the preflight")
    return finish(run, stage)


def _s3_fails(stage: Stage) -> Seen:
    run = PHASES["deps"].start(stage)
    stage.fault("error", "service=s3", "status=503", "code=SlowDown", "seconds=10")
    run.wait()
    return Seen(run)


def _transport_denied(stage: Stage) -> Seen:
    """A background command is polled until its step's limit, as the bucket may recover."""
    run = PHASES["deps"].start(stage, "-e", "deps_seconds=15")
    stage.fault("error", "service=s3", "action=PutObject", "status=403", "code=AccessDenied")
    return finish(run, stage)


DRILLS = [
    Drill("never-online", "the instance never registers with SSM", "request",
          Expected("failed", FAILED, gone_within=90), _never_online),
    Drill("session-cut", "the SSM session is cut, four times", "preflight", Expected("passed", (0,)), _cut, fast=True),
    Drill("vanish", "the instance disappears without notice", "preflight",
          Expected("failed", FAILED, gone_within=90), lambda stage: _gone("vanish", stage), fast=True),
    Drill("unreachable", "the network to the instance fails for good", "preflight",
          Expected("failed", FAILED, gone_within=150), lambda stage: _gone("unreachable", stage)),
    Drill("unreachable-in-mid-line", "the network to the instance fails for good, in the middle of a line",
          "preflight", Expected("failed", FAILED, gone_within=150), _torn),
    Drill("hung-command", "a remote command never ends", "preflight",
          Expected("failed", FAILED, gone_within=90), _hung),
    Drill("s3-503", "S3 returns 503 for 10 s", "deps", Expected("passed", (0,)), _s3_fails),
    Drill("transport-denied", "the transport bucket refuses files", "deps",
          Expected("failed", FAILED, gone_within=90), _transport_denied),
]  # fmt: skip
