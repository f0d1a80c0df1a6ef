#!/usr/bin/env python3
"""List the runs of a folder, the newest first, and update the page of all runs: `make runs`.

Each folder is one line, also a running or interrupted run, a damaged receipt, and a folder that is not a run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from tools.options import positive

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "roles" / "run_report"
MODES = ("preflight", "smoke", "full", "both", "rollback")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with 2."""
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """List the runs; the exit code is 0, or 1 if the folder cannot be read."""
    options = parse(arguments)
    from ansible_collections.spot_train.core.plugins.module_utils.report.index import read_runs
    from ansible_collections.spot_train.core.plugins.module_utils.report.index_page import INDEX, headline
    from ansible_collections.spot_train.core.plugins.module_utils.report.listing import listing

    try:
        runs = read_runs(options.runs_dir)
    except OSError as error:
        print(f"runs: cannot read {options.runs_dir}: {error.strerror}", file=sys.stderr)
        return 1
    if options.runs_dir.is_dir():
        refresh(options.runs_dir)
    chosen = [run for run in runs if options.mode is None or run.mode == options.mode][: options.last]
    if options.json:
        print(json.dumps([run.fields() for run in chosen], indent=2))
        return 0
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    for line in listing(chosen, width, terminal and coloured(os.environ)):
        print(line)
    if not runs:
        print(f"No runs in {shown(options.runs_dir)} yet: start one with make preflight or make train.")
        return 0
    if not chosen:
        print(f"No runs of mode {options.mode}.")
    print(f"{headline(runs)} All of them: {shown(options.runs_dir / INDEX)}")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the options."""
    parser = Parser(prog="runs", description=__doc__.partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--last", type=positive, metavar="N", help="only the newest N")
    parser.add_argument("--mode", choices=MODES, help="only runs of this mode")
    parser.add_argument("--json", action="store_true", help="all fields as JSON")
    parser.add_argument("--runs-dir", type=Path, default=ROOT / "runs", metavar="DIR", help="folder of runs (runs)")
    return parser.parse_args(arguments)


def refresh(folder: Path) -> None:
    """Write the page of all runs; on failure only warn, because the list does not need it."""
    from ansible_collections.spot_train.core.plugins.module_utils.report.index_page import INDEX, write_index

    try:
        write_index(folder, REPORT / "templates")
    except OSError as error:
        print(f"runs: cannot write {shown(folder / INDEX)}: {error.strerror}", file=sys.stderr)


def coloured(environment: Mapping[str, str]) -> bool:
    """Whether a terminal supports colours."""
    return not environment.get("NO_COLOR") and environment.get("TERM", "dumb") != "dumb"


def shown(path: Path) -> str:
    """A path relative to the working directory if possible."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


if __name__ == "__main__":
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe, as in `make runs | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
