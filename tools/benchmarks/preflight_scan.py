"""`make bench-preflight`: compare the duration of a preflight with the origin's way and with a lower bound.

Exit codes: 0 success, 1 failure or unmet requirement (one line on standard error), 2 wrong command line.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from tools.benchmarks import command, embedded, preflights, scans, verdict
from tools.benchmarks.command import say
from tools.benchmarks.measuring import ROOT, machine
from tools.options import positive

PARTS = ("scan", "preflight", "playbook")
PACKAGES = ("arcticdb", "boto3", "moto", "werkzeug", "ansible-core")
POLICY = ROOT / "files/iam/preflight_instance.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit code."""
    options = _parser().parse_args(arguments)
    return command.carry_out("bench-preflight", lambda: run(options), options.output, verdict.tables, verdict.REQUIRED)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the selected parts.

    Raises:
        BenchmarkError: A measured program fails.
        LocalAwsError: The embedded AWS fails.
    """
    started = time.monotonic()
    # For writing the prices. ArcticDB reads it on import; measured processes have their own environment.
    os.environ.setdefault(scans.IO_THREADS_VARIABLE, "16")
    report: dict[str, Any] = {
        "machine": machine({name: metadata.version(name) for name in PACKAGES}),
        "settings": {
            "sizes": options.sizes,
            "latencies_ms": options.latencies,
            "repeats": options.repeats,
            "statistic": "best",
            "sample": options.sample,
            "bars": scans.BARS,
        },
        "scans": [],
        "preflight": [],
        "playbook": None,
    }
    with tempfile.TemporaryDirectory(prefix="bench-preflight-") as name:
        folder = Path(name)
        if {"scan", "preflight"} & set(options.parts):
            with embedded.running(folder / "aws", POLICY) as server:
                _universes(options, server, folder, report)
        if "playbook" in options.parts:
            say("running the playbook's preflight")
            report["playbook"] = preflights.playbook(folder / "playbook")
    report["required"] = verdict.REQUIRED.judge(report["scans"])
    report["seconds"] = round(time.monotonic() - started, 1)
    return report


def _universes(options: argparse.Namespace, server: embedded.Embedded, folder: Path, report: dict[str, Any]) -> None:
    """Grow one library from size to size, and measure at each."""
    config = preflights.configuration(folder)
    scanner = scans.Scanner(server, config, folder, options.sample, options.io_threads)
    required = verdict.REQUIRED.point["symbols"]
    whole = required if required in options.sizes else options.sizes[-1]
    for before, size in zip([0, *options.sizes], options.sizes, strict=False):
        scans.grow(server, before, size, say)
        for latency in options.latencies:
            server.set_latency(latency)
            point = {"symbols": size, "latency_ms": latency}
            if "scan" in options.parts:
                say(f"scanning {size} symbols at {latency:g} ms")
                measured = scanner.measure(options.repeats)
                report["scans"].append({**point, **measured, **verdict.ratios(measured)})
            if "preflight" in options.parts and size == whole:
                say(f"running every check over {size} symbols at {latency:g} ms")
                report["preflight"].append({**point, **preflights.checks(server, config, folder / "report.json")})


def _parser() -> argparse.ArgumentParser:
    parser = command.parser("bench-preflight", __doc__.splitlines()[0], PARTS)
    parser.add_argument("--sizes", type=_sizes, default=[500, 5000, 20000], help="symbols (500,5000,20000)")
    parser.add_argument("--latencies", type=_latencies, default=[0.0, 20.0], help="added milliseconds (0,20)")
    parser.add_argument("--repeats", type=positive, default=3, help="measurements of each (3); the best counts")
    parser.add_argument("--sample", type=positive, default=200, help="symbols that the origin's way reads (200)")
    parser.add_argument("--io-threads", type=positive, help="ArcticDB's threads in our scan (the predictor's number)")
    return parser


def _sizes(text: str) -> list[int]:
    return sorted({positive(part) for part in text.split(",")})


def _latencies(text: str) -> list[float]:
    try:
        values = sorted({float(part) for part in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected milliseconds separated by commas, got {text!r}") from None
    if not all(0 <= value < 60_000 for value in values):
        raise argparse.ArgumentTypeError(f"expected 0 to 60000 milliseconds, got {text!r}")
    return values


if __name__ == "__main__":
    sys.exit(main())
