"""One layer at a time: all the others are switched off, and the playbook is killed."""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Callable

from drills.catalogue.signals import PHASES
from drills.drill import FAILED, Drill, Expected, Seen, end_by_hand, finish
from drills.stage import Stage

WITHOUT_GUARD = ("-e", "run_guard=false")
WITHOUT_SCHEDULE = ("-e", "spot_instance_expiry_role=")
#: The shortest lease there is, in minutes; and one that outlasts every drill.
SHORT, LONG = 1, 120
#: From the signal: what is left of the lease, until a layer that looks now and then sees it, the end of the machine.
LEASE_SECONDS = SHORT * 60 + 20.0
REAP_EVERY_SECONDS = 10.0


def _lease(lease: int, dead_man: int) -> tuple[str, ...]:
    return ("-e", f"spot_instance_lease_minutes={lease}", "-e", f"spot_instance_dead_man_minutes={dead_man}")


def _only(phase: str, arguments: tuple[str, ...], wait: Callable[[Stage], None], stage: Stage) -> Seen:
    """Kill a run without a guard in a phase, let one layer end its instance, and have the reaper sweep the rest."""
    run = PHASES[phase].start(stage, *WITHOUT_GUARD, *arguments)
    stage.wait_for_instance(run, ("pending", "running"))
    since = time.monotonic()
    run.kill(signal.SIGKILL)
    run.wait(60)
    wait(stage)
    seen = Seen(run, gone_after=round(time.monotonic() - since, 1))
    seen.check(not stage.instances(), "the instance lives on")
    for attempt in ("", " again"):
        code, output = stage.playbook("reap")
        seen.check(code == 0, f"reap.yml{attempt}: {output[-300:]}")
    # The receipt of a run that nobody closed is written by whoever ends it by hand.
    end_by_hand(run, stage, seen)
    return seen


def _until_gone(stage: Stage) -> None:
    stage.wait_until(lambda: not stage.instances(), LEASE_SECONDS + 30)


def _reap_until_gone(stage: Stage) -> None:
    deadline = time.monotonic() + LEASE_SECONDS + 30
    while stage.instances() and time.monotonic() < deadline:
        stage.playbook("reap")
        stage.wait_until(lambda: not stage.instances(), REAP_EVERY_SECONDS)


def _failing(stage: Stage) -> Seen:
    """A step that fails, without guard or schedule, and a dead-man switch that is far off."""
    run = stage.play(
        "-e", "preflight_only=true", "-e", "preflight_seconds=3", *WITHOUT_GUARD, *WITHOUT_SCHEDULE,
        *_lease(LONG, LONG), settings={"preflight_seconds": 60},
    )  # fmt: skip
    run.wait_for_task("terminate")
    return finish(run, stage)


_ALONE = {
    "dead-man switch": (_until_gone, (*_lease(SHORT, SHORT), *WITHOUT_SCHEDULE)),
    "reaper": (_reap_until_gone, (*_lease(SHORT, LONG), *WITHOUT_SCHEDULE)),
    "schedule": (_until_gone, _lease(SHORT, LONG)),
}

DRILLS = [
    Drill(
        name=f"only-{layer.replace(' ', '-')}-{phase}",
        broken="SIGKILL; no guard, and no other layer",
        when=phase,
        expected=Expected("interrupted", (137,), gone_within=LEASE_SECONDS),
        act=functools.partial(_only, phase, arguments, wait),
        layer=layer,
    )
    for layer, (wait, arguments) in _ALONE.items()
    for phase in ("request", "preflight", "training")
] + [
    Drill(
        name="only-playbook-preflight",
        broken="a step fails; no guard, no schedule, dead-man switch far off",
        when="preflight",
        expected=Expected("failed", FAILED, gone_within=40),
        act=_failing,
        layer="playbook",
    )
]
