"""One measurement, printed as one line of JSON; a separate process, so that its peak memory can be measured.

`ours` is the preflight's scan, run by the predictor's code. `origin` is the original system's way: a default handle,
the list, then read and tail in a loop. `floor` gets the keys in a file with a bare client. Times exclude imports;
those of ours and origin include opening and listing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import predictor
from predictor import aws, store
from predictor.checks.base import Context

from tools.benchmarks.instance import bare

PREFIX = "arcticdb"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one measurement; return the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.instance.measure", allow_abbrev=False)
    parser.add_argument("way", choices=["ours", "origin", "floor"])
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--library", required=True)
    parser.add_argument("--run-date", type=date.fromisoformat, required=True)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--sample", type=int, default=0, help="symbols that the origin's way reads; 0 for all")
    parser.add_argument("--keys", type=Path, help="JSON list of the keys that the floor gets")
    options = parser.parse_args(arguments)
    result = {"ours": _ours, "origin": _origin, "floor": _floor}[options.way](options)
    # Kilobytes on Linux, the only system of the embedded AWS.
    result["peak_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    print(json.dumps(result))
    return 0


def _ours(options: argparse.Namespace) -> dict[str, Any]:
    context = Context(options.bucket, options.run_date, options.config, options.lock, PREFIX)
    # As in the preflight, ArcticDB is loaded before the scan and reads its number of threads from the environment then.
    # Do not set it here: a predictor that sets it too late must be measured as slow.
    versions = _import()
    started = time.monotonic()
    bars = context.last_bars(options.library)
    seconds = time.monotonic() - started
    if bars.unreadable:
        sys.exit(f"{len(bars.unreadable)} symbols cannot be read, such as {next(iter(bars.unreadable.items()))}")
    return {
        "seconds": seconds,
        "symbols": len(bars.days),
        "read": len(bars.days),
        "io_threads": int(os.environ[predictor.IO_THREADS_VARIABLE]),
        "versions": versions,
    }


def _origin(options: argparse.Namespace) -> dict[str, Any]:
    # The origin used ArcticDB's default; importing the predictor has set another number.
    os.environ.pop(predictor.IO_THREADS_VARIABLE, None)
    _import()
    import arcticdb

    started = time.monotonic()
    arctic = arcticdb.Arctic(store.arctic_uri(options.bucket, aws.region(), PREFIX, aws.endpoint()))
    library = arctic.get_library(options.library)
    symbols = sorted(library.list_symbols())
    listed = time.monotonic()
    sample = _evenly(symbols, options.sample or len(symbols))
    for symbol in sample:
        library.read(symbol).data.tail(1)
    ended = time.monotonic()
    scaled = (listed - started) + (ended - listed) * len(symbols) / len(sample)
    return {"seconds": scaled, "measured_seconds": ended - started, "symbols": len(symbols), "read": len(sample)}


def _floor(options: argparse.Namespace) -> dict[str, Any]:
    _import()  # makes its memory comparable
    keys = json.loads(options.keys.read_text(encoding="utf-8"))
    threads = int(os.environ.get(predictor.IO_THREADS_VARIABLE, predictor.IO_THREADS))
    return {"seconds": bare.fetch(options.bucket, keys, threads), "io_threads": threads}


def _evenly(names: list[str], wanted: int) -> list[str]:
    """At most `wanted` names, evenly spread."""
    step = max(1.0, len(names) / wanted)
    return [names[int(place * step)] for place in range(min(wanted, len(names)))]


def _import() -> dict[str, str]:
    """Import the packages of the measured code; return their versions."""
    import arcticdb
    import exchange_calendars
    import pandas
    import yaml

    modules: list[Any] = [arcticdb, pandas, exchange_calendars, yaml]
    return {"python": platform.python_version(), **{each.__name__: str(each.__version__) for each in modules}}


if __name__ == "__main__":
    sys.exit(main())
