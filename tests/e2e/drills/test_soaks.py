"""`make soak` and `make soak-training` with one run each."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def make(*arguments: str) -> str:
    """Run make, which must succeed, and return its output."""
    # Variables of an outer make must not reach this one.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    answer = subprocess.run(
        ["make", *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=600
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_killed_preflight_leaves_nothing() -> None:
    # Of the first ten seeds, 10 sends the earliest signal.
    output = make("soak", "N=1", "SEED=10", "ARGS=--jobs 1")
    assert "SIGKILL" in output
    assert "nothing left" in output
    assert output.splitlines()[-1] == "1 of 1 runs left nothing and touched no others (seed 10)"


def test_killed_training_ends_with_the_same_bytes() -> None:
    output = make("soak-training", "N=1")
    assert "the same bytes" in output
    assert output.splitlines()[-1].startswith("1 of 1 trainings ended with the same bytes; the live set was read")
