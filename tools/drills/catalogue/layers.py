"""One protection layer at a time: all others are off, and the playbook is killed."""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Callable

from tests.support.stage import Stage
from tools.drills.catalogue.signals import PHASES
from tools.drills.drill import FAILED, Drill, Expected, Seen, end_by_hand, finish

WITHOUT_WATCHDOG = ("-e", "run_watchdog=false")
WITHOUT_SCHEDULE = ("-e", "spot_instance_expiry_role=")
#: Leases in minutes: the short ones last until the phase, even on a loaded machine; the long one outlasts every drill.
SHORT = {"request": 1, "preflight": 2, "training": 2}
LONG = 120
#: From the end of the lease until a polling layer notices it and the machine is gone.
AFTER_LEASE_SECONDS = 20.0
REAP_EVERY_SECONDS = 10.0


def _lease(lease: int, dead_man: int) -> tuple[str, ...]:
    return ("-e", f"spot_instance_lease_minutes={lease}", "-e", f"spot_instance_dead_man_minutes={dead_man}")


def _lease_seconds(phase: str) -> float:
    """The latest end of the instance, in seconds after the signal."""
    return SHORT[phase] * 60 + AFTER_LEASE_SECONDS


def _only(phase: str, arguments: tuple[str, ...], wait: Callable[[Stage, float], None], stage: Stage) -> Seen:
    """Kill a run without a watchdog in a phase, let one layer end its instance, and let the reaper sweep the rest."""
    run = PHASES[phase].start(stage, *WITHOUT_WATCHDOG, *arguments)
    stage.wait_for_instance(run, ("pending", "running"))
    since = time.monotonic()
    run.kill(signal.SIGKILL)
    run.wait(60)
    wait(stage, _lease_seconds(phase) + 30)
    seen = Seen(run, gone_after=round(time.monotonic() - since, 1))
    seen.check(not stage.instances(), "the instance still runs")
    for attempt in ("", " again"):
        code, output = stage.playbook("reap")
        seen.check(code == 0, f"reap.yml{attempt}: {output[-300:]}")
    # terminate.yml writes the receipt of a run that was not closed.
    end_by_hand(run, stage, seen)
    return seen


def _until_gone(stage: Stage, seconds: float) -> None:
    stage.wait_until(lambda: not stage.instances(), seconds)


def _reap_until_gone(stage: Stage, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while stage.instances() and time.monotonic() < deadline:
        stage.playbook("reap")
        stage.wait_until(lambda: not stage.instances(), REAP_EVERY_SECONDS)


def _failing(stage: Stage) -> Seen:
    """Fail a step of a run without watchdog and schedule, with a late dead-man switch."""
    run = stage.play(
        "-e", "preflight_only=true", "-e", "preflight_seconds=3", *WITHOUT_WATCHDOG, *WITHOUT_SCHEDULE,
        *_lease(LONG, LONG), settings={"preflight_seconds": 60},
    )  # fmt: skip
    run.wait_for_task("terminate")
    return finish(run, stage)


def _drill(layer: str, phase: str) -> Drill:
    """Disable all layers but one, and wait for it."""
    short = SHORT[phase]
    wait, arguments = {
        "dead-man switch": (_until_gone, (*_lease(short, short), *WITHOUT_SCHEDULE)),
        "reaper": (_reap_until_gone, (*_lease(short, LONG), *WITHOUT_SCHEDULE)),
        "schedule": (_until_gone, _lease(short, LONG)),
    }[layer]
    return Drill(
        name=f"only-{layer.replace(' ', '-')}-{phase}",
        broken="SIGKILL; no watchdog, no other layer",
        when=phase,
        expected=Expected("interrupted", (137,), gone_within=_lease_seconds(phase)),
        act=functools.partial(_only, phase, arguments, wait),
        layer=layer,
    )


DRILLS = [_drill(layer, phase) for layer in ("dead-man switch", "reaper", "schedule") for phase in SHORT] + [
    Drill(
        name="only-playbook-preflight",
        broken="a step fails; no watchdog, no schedule, late dead-man switch",
        when="preflight",
        expected=Expected("failed", FAILED, gone_within=40),
        act=_failing,
        layer="playbook",
    )
]
