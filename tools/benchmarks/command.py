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
from tools.benchmarks.scans import BenchmarkError
from tools.signals import stop_on

Report = dict[str, Any]


def carry_out(
    program: str,
    run: Callable[[], Report],
    output: Path,
    tables: Callable[[Mapping[str, Any]], Iterable[str]],
    where: str,
) -> int:
    """Measure, write the report and print it.

    Args:
        program: Prefix of error messages.
        run: Measures; its report has `required` with `failures`.
        output: File of the report.
        tables: Formats the report as lines.
        where: The point at which the requirements apply, for the error message.

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
        return fail(f"at {where}: {'; '.join(failures)}")
    return 0


def say(what: str) -> None:
    """Print progress on standard error."""
    print(f"… {what}", file=sys.stderr, flush=True)


def positive(text: str) -> int:
    """A number above 0, as the type of an option."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def some_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Known names separated by commas, as the type of an option."""

    def parse(text: str) -> list[str]:
        parts = text.split(",")
        if unknown := sorted(set(parts) - set(known)):
            raise argparse.ArgumentTypeError(f"unknown part {unknown[0]!r}: choose from {', '.join(known)}")
        return parts

    return parse
