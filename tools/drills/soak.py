"""`python -m tools.drills.soak`: preflights in a row, each killed at a random moment; nothing may be left."""

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

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
#: Longer than an undisturbed preflight of the practice project takes here: some runs end before they are hit.
LONGEST_SECONDS = 45.0
CLOSING_SECONDS = 90.0


@dataclass(frozen=True)
class Hit:
    """What happens to one run."""

    number: int
    signal: signal.Signals
    after: float


def plan(count: int, seed: int) -> list[Hit]:
    """The hits of a soak; the same for the same seed, whatever `count` is beyond them."""
    chance = random.Random(seed)
    return [Hit(k, chance.choice(SIGNALS), round(chance.uniform(0, LONGEST_SECONDS), 1)) for k in range(1, count + 1)]


def strike(stage: Stage, hit: Hit) -> list[str]:
    """Run a preflight and hit it; what was wrong afterwards."""
    run = stage.play(*PREFLIGHT, settings={"preflight_seconds": 5})
    stage.wait_until(lambda: run.code is not None, hit.after)
    step = next((str(e["step"]) for e in reversed(list(run.events())) if e.get("step")), "before it was opened")
    run.kill(hit.signal)
    run.wait(60)
    struck = time.monotonic()

    def closed() -> bool:
        # A run that had no folder yet has nothing to report.
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
    """Run a soak; 1 if anything was left, or a bystander touched."""
    options = _parser().parse_args()
    # So that every embedded AWS is stopped; and a shell that runs this in the background has it ignore SIGINT, which
    # the playbooks would inherit.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    hits = plan(options.runs, options.seed)

    def row(part: int) -> int:
        folder = Path(scratch) / str(part)
        folder.mkdir()
        with Stage(folder).running() as stage:
            return sum(bool(strike(stage, hit)) for hit in hits[part :: options.jobs])

    with tempfile.TemporaryDirectory(prefix="soak-") as scratch, ThreadPoolExecutor(options.jobs) as pool:
        failed = sum(pool.map(row, range(options.jobs)))
    print(f"{options.runs - failed} of {options.runs} runs left nothing and touched nobody (seed {options.seed})")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.drills.soak", description=__doc__, allow_abbrev=False)
    parser.add_argument("--runs", type=int, default=50, metavar="N", help="so many runs (50)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="decides signals and moments (1)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="rows of runs side by side (2)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
