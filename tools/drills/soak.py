"""`python -m tools.drills.soak`: kill preflights at random moments; none may leave anything."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.support.stage import Stage
from tools.drills.catalogue.signals import PREFLIGHT
from tools.drills.drill import CLOSING_SECONDS
from tools.signals import stop_on

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
#: Longer than an undisturbed preflight of the practice project: some runs end before the signal.
LONGEST_SECONDS = 45.0


@dataclass(frozen=True)
class Hit:
    """The signal for one run, and when to send it."""

    number: int
    signal: signal.Signals
    after: float


def plan(count: int, seed: int) -> list[Hit]:
    """The hits of a soak; a seed always gives the same sequence."""
    chance = random.Random(seed)
    return [Hit(k, chance.choice(SIGNALS), round(chance.uniform(0, LONGEST_SECONDS), 1)) for k in range(1, count + 1)]


def strike(stage: Stage, hit: Hit) -> list[str]:
    """Run a preflight and hit it; return the problems found afterwards."""
    run = stage.play(*PREFLIGHT, settings={"preflight_seconds": 5})
    stage.wait_until(lambda: run.code is not None, hit.after)
    step = next((str(e["step"]) for e in reversed(list(run.events())) if e.get("step")), "before it was opened")
    run.kill(hit.signal)
    run.wait(60)
    struck = time.monotonic()

    def closed() -> bool:
        # A run without a folder writes no receipt.
        named = run.folder is not None and (run.folder / "run.json").exists()
        return not any(stage.left().values()) and (not named or bool(run.receipt()))

    problems = [] if stage.wait_until(closed, CLOSING_SECONDS) else [f"left: {stage.left()}, receipt: {run.receipt()}"]
    problems += stage.touched()
    outcome = run.receipt().get("outcome") or "-"
    seconds = time.monotonic() - struck
    print(
        f"{hit.number:4}  {hit.signal.name:8} after {hit.after:4.1f} s  in {step:22} exit {run.code!s:4}"
        f" {outcome:12} closed after {seconds:4.1f} s  {'; '.join(problems) or 'nothing left'}",
        flush=True,
    )
    stage.clear()
    return problems


def main() -> int:
    """Run a soak; 1 if a run left anything or touched a bystander."""
    options = _parser().parse_args()
    stop_on()
    hits = plan(options.runs, options.seed)

    def row(part: int) -> int:
        folder = Path(scratch) / str(part)
        folder.mkdir()
        with Stage(folder).running() as stage:
            return sum(bool(strike(stage, hit)) for hit in hits[part :: options.jobs])

    with tempfile.TemporaryDirectory(prefix="soak-") as scratch, ThreadPoolExecutor(options.jobs) as pool:
        failed = sum(pool.map(row, range(options.jobs)))
    print(f"{options.runs - failed} of {options.runs} runs left nothing and touched no others (seed {options.seed})")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.drills.soak", description=__doc__, allow_abbrev=False)
    parser.add_argument("--runs", type=int, default=50, metavar="N", help="number of runs (50)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed for signals and times (1)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="number of parallel runs (2)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
