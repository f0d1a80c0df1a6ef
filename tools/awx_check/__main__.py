"""`python -m tools.awx_check`: apply awx/ twice to a stand-in for AWX, then run what the schedules start."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.account import practice_source
from tools import awx_collection
from tools.awx_check.check import Check, CheckFailed
from tools.awx_check.launch import LaunchError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".cache" / "awx-check"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; the exit code is 0 if it passed, else 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="make awx-check", description=__doc__, allow_abbrev=False)
    parser.add_argument("--no-jobs", action="store_true", help="apply twice, run no jobs")
    parser.add_argument("--practice", action="store_true", help="train the practice project, which only waits")
    options = parser.parse_args(arguments)
    if code := awx_collection.main([]):
        return code
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    variables = {"training_source": practice_source(FOLDER / "practice", {})} if options.practice else {}
    try:
        Check(ROOT, FOLDER).run(variables, jobs=not options.no_jobs)
    except (CheckFailed, LaunchError) as error:
        print(f"awx-check: {error}", file=sys.stderr)
        return 1
    print(f"awx-check: passed; the jobs' folders are in {FOLDER.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
