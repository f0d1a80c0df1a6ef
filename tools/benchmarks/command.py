"""Shared parts of the benchmarks' command lines: option types, signals, the report, exit codes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from local_aws.state import LocalAwsError

from tools.benchmarks import embedded
from tools.benchmarks.measuring import ROOT, BenchmarkError
from tools.benchmarks.report import Requirement
from tools.signals import stop_on

Report = dict[str, Any]


def carry_out(
    program: str,
    run: Callable[[], Report],
    output: Path,
    tables: Callable[[Mapping[str, Any]], Iterable[str]],
    requirement: Requirement,
) -> int:
    """Measure, write the report and print it as `tables` formats it.

    Returns:
        The exit code: 1, with one line on standard error, for a failure or an unmet requirement.
    """

    def fail(message: str) -> int:
        print(f"{program}: {' '.join(message.split())}", file=sys.stderr)
        return 1

    stop_on(*embedded.STOPS)
    try:
        report = run()
    except (BenchmarkError, LocalAwsError, OSError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for line in tables(report):
        print(line)
    print(f"\n{output}")
    if failures := report["required"]["failures"]:
        return fail(f"at {requirement.where}: {'; '.join(failures)}")
    return 0


def say(what: str) -> None:
    """Print progress on standard error."""
    print(f"… {what}", file=sys.stderr, flush=True)


def parser(program: str, description: str, parts: Sequence[str]) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    made = argparse.ArgumentParser(prog=program, description=description, allow_abbrev=False)
    made.add_argument("--parts", type=_some_of(parts), default=list(parts), help=f"what to measure ({','.join(parts)})")
    report = f".cache/{program}.json"
    made.add_argument("--output", type=Path, default=ROOT / report, help=f"report ({report})")
    return made


def _some_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Known names separated by commas, as the type of an option."""

    def parse(text: str) -> list[str]:
        parts = text.split(",")
        if unknown := sorted(set(parts) - set(known)):
            raise argparse.ArgumentTypeError(f"unknown part {unknown[0]!r}: choose from {', '.join(known)}")
        return parts

    return parse
