"""What the benchmarks' command lines share: kinds of options, being stopped, showing the report, exit codes."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from local_aws.state import LocalAwsError

from tools.benchmarks import embedded
from tools.benchmarks.scans import BenchmarkError

Report = dict[str, Any]


def carry_out(
    program: str,
    run: Callable[[], Report],
    output: Path,
    tables: Callable[[Mapping[str, Any]], Iterable[str]],
    where: str,
) -> int:
    """Measure, keep the report, and show it.

    Args:
        program: Name in front of an error.
        run: Measures; its report has `required`, with `failures`.
        output: File that gets the report.
        tables: The report as lines.
        where: Where something is required, for the error that says what was not met.

    Returns:
        The exit code: 1 for a failure, and for a requirement that is not met; each is one line on standard error.
    """

    def fail(message: str) -> int:
        print(f"{program}: {' '.join(message.split())}", file=sys.stderr)
        return 1

    for number in embedded.STOPS:
        signal.signal(number, _stop)
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
    """Tell what is being done."""
    print(f"… {what}", file=sys.stderr, flush=True)


def positive(text: str) -> int:
    """A number above 0, as the type of an option."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def some_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Names with commas between them, each a known one, as the type of an option."""

    def parse(text: str) -> list[str]:
        parts = text.split(",")
        if unknown := sorted(set(parts) - set(known)):
            raise argparse.ArgumentTypeError(f"unknown part {unknown[0]!r}, known are {', '.join(known)}")
        return parts

    return parse


def _stop(number: int, frame: FrameType | None) -> None:
    # As Ctrl-C does it: what was started is ended on the way out.
    raise KeyboardInterrupt
