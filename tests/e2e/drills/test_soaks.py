"""The soaks as one types them, with one run each: `make soak` and `make soak-training` run many."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def make(*arguments: str) -> str:
    """Run make, which must succeed; what it printed."""
    # What an outer make says to its children is not for this one.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    answer = subprocess.run(
        ["make", *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=600
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_a_preflight_that_is_killed_leaves_nothing() -> None:
    # Of the first ten seeds the one that hits soonest.
    said = make("soak", "N=1", "SEED=10", "ARGS=--jobs 1")
    assert "SIGKILL" in said
    assert "nothing left" in said
    assert said.splitlines()[-1] == "1 of 1 runs left nothing and touched nobody (seed 10)"


def test_a_training_that_is_killed_ends_with_the_same_bytes() -> None:
    said = make("soak-training", "N=1")
    assert "the same bytes" in said
    assert said.splitlines()[-1].startswith("1 of 1 trainings ended with the same bytes; the live set was read")
