"""Concurrent runs, others' resources, wrong clocks, a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from tests.support.playbook import Stuck
from tests.support.stage import PAST, Stage
from tools.drills.catalogue.signals import PHASES, PREFLIGHT, WATCHDOG_SECONDS
from tools.drills.drill import FAILED, Drill, Expected, Seen, finish

DISK_BYTES = 1 << 20


def _look_alikes(stage: Stage) -> Seen:
    """Run the reaper, and terminate.yml with ids similar to a running run's."""
    run = PHASES["bootstrap"].start(stage)
    ours = stage.wait_for_instance(run)
    seen = Seen(run)
    for wrong in ("", run.run_id[:-1], f"{run.run_id}0", "*"):
        code, output = stage.playbook("terminate", "-e", f"run_id={wrong}", "-e", f"runs_dir={stage.folder}/none")
        seen.check(
            (code == 0) == (wrong not in ("", "*")), f"terminate.yml with run_id={wrong!r}: {code} {output[-200:]}"
        )
    code, output = stage.playbook("reap")
    seen.check(code == 0, f"reap.yml: {output[-200:]}")
    seen.check(ours.id in [i.id for i in stage.instances(("running",))], "the run's own instance was ended")
    run.wait()
    return seen


def _too_many(stage: Stage) -> Seen:
    """With more expired instances than the limit, the reaper terminates none and fails."""
    for number in range(4):
        stage.cloud.launch(_stale(f"{number}"))
    stage.wait_until(lambda: len(stage.instances(("running",))) == 4, 60)
    code, output = stage.playbook("reap", "-e", "spot_instance_end_at_most=3")
    seen = Seen(None, code=code, output=output)
    seen.check(len(stage.instances(("running",))) == 4, "some were ended")
    since = time.monotonic()
    code, output = stage.playbook("reap", "-e", "spot_instance_end_at_most=4")
    seen.gone_after = round(time.monotonic() - since, 1)
    seen.check(code == 0, f"reap.yml with a higher limit: {output[-300:]}")
    return seen


def _reaper_twice(stage: Stage) -> Seen:
    stage.cloud.launch(_stale("0"))
    stage.wait_until(lambda: len(stage.instances(("running",))) == 1, 60)
    since = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(stage.playbook, ["reap", "reap"]))
    return Seen(None, code=max(code for code, _ in answers), output="\n".join(output for _, output in answers),
                gone_after=round(time.monotonic() - since, 1))  # fmt: skip


def _stale(end: str) -> dict[str, str]:
    return {"project": "spot-train", "run_id": f"20260102T000000Z-00000{end}", "lease_expires": PAST}


def _two_runs(stage: Stage) -> Seen:
    killed = PHASES["preflight"].start(stage)
    ours = stage.wait_for_instance(killed)
    other = stage.play(*PREFLIGHT, settings={"preflight_seconds": 5})
    other.wait_for_task("bootstrap")
    since = time.monotonic()
    killed.kill(signal.SIGKILL)
    killed.wait(60)
    gone = stage.wait_until(lambda: ours.id not in [i.id for i in stage.instances()], 60)
    seen = Seen(killed, gone_after=round(time.monotonic() - since, 1))
    seen.check(gone, "the killed run's instance still runs")
    seen.check(other.wait() == 0, f"the other run did not pass: {other.output[-500:]}")
    return seen


def _ahead(seconds: int) -> tuple[str, ...]:
    """The prefix of a command whose clock is ahead."""
    faketime = shutil.which("faketime")
    if faketime is None:
        raise Stuck("this drill needs the program faketime (Debian: apt-get install faketime)")
    return (faketime, "-f", f"+{seconds}s")


def _wrong_clock(stage: Stage) -> Seen:
    launches = len(stage.account.ledger("--action", "RunInstances", "--writes"))
    run = stage.play(*PREFLIGHT, settings={"folds": 1}, prefix=_ahead(3600))
    run.wait()
    seen = Seen(run)
    seen.check(len(stage.account.ledger("--action", "RunInstances", "--writes")) == launches, "something was launched")
    return seen


def _full_disk(stage: Stage) -> Seen:
    """Put the runs' folder on a small disk, and fill it when the run terminates."""
    if os.geteuid() != 0:
        raise Stuck("this drill mounts a disk and needs root")
    disk = stage.folder / "disk"
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)], check=True)
    try:
        run = stage.play(*PREFLIGHT, settings={"folds": 1}, runs=disk / "runs")
        run.wait_for_task("terminate")
        with (disk / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                pass  # the disk is full
        seen = finish(run, stage)
        stage.wait_until(lambda: not any(stage.left().values()), 60)
        return Seen(None, code=run.code, output=run.output, gone_after=seen.gone_after)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _skewed_lease(stage: Stage) -> Seen:
    """A lease that is over by the control node's clock but not by AWS's must hold."""
    soon = datetime.now(UTC) + timedelta(minutes=2)
    stage.cloud.launch({**_stale("0"), "lease_expires": soon.strftime("%Y-%m-%dT%H:%M:%SZ")})
    stage.wait_until(lambda: len(stage.instances(("running",))) == 1, 60)
    code, output = stage.playbook("reap", prefix=_ahead(200))
    seen = Seen(None, code=code, output=output)
    seen.check(len(stage.instances(("running",))) == 1, "an instance within its lease was ended")
    stage.clear()
    return seen


DRILLS = [
    Drill("look-alikes", "terminate.yml with ids similar to the run's, and the reaper, during a run", "bootstrap",
          Expected("passed", (0,)), _look_alikes),
    Drill("too-many", "more expired instances than the reaper may terminate", "reap.yml",
          Expected(None, FAILED, says="more than spot_instance_end_at_most=3", gone_within=40), _too_many),
    Drill("reaper-twice", "two reapers at once", "reap.yml", Expected(None, (0,), gone_within=40), _reaper_twice),
    Drill("two-runs", "one of two runs is killed", "preflight",
          Expected("interrupted", (137,), gone_within=WATCHDOG_SECONDS), _two_runs),
    Drill("clock", "the control node's clock is an hour ahead", "the whole run",
          Expected("failed", FAILED, says="(?i)clock"), _wrong_clock),
    Drill("clock-reaper", "the control node's clock is 200 s ahead", "reap.yml", Expected(None, (0,)), _skewed_lease),
    Drill("full-disk", "the control node's disk is full", "while the receipt is written",
          Expected(None, FAILED, says="No space left", gone_within=60), _full_disk),
]  # fmt: skip
