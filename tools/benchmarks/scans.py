"""The scan of a universe: ours, the origin's way and the floor, measured in turn in separate processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from local_aws.prices import MACRO, UNIVERSE, write_synthetic

from tools.benchmarks import embedded
from tools.benchmarks.embedded import Embedded
from tools.benchmarks.measuring import ROOT, BenchmarkError, best, measure

LOCK = ROOT / "files/predictor/requirements.lock"
IO_THREADS_VARIABLE = "ARCTICDB_VersionStore_NumIOThreads_int"

LAST_BAR, RUN_DATE = date(2022, 12, 28), date(2022, 12, 29)
BARS = 504
"""Two years of one column. Real series are longer, which costs only the origin's way more: it reads all of it."""

BATCH = 500
WAYS = ("ours", "floor", "origin")


@dataclass(frozen=True)
class Scanner:
    """Measures the three ways.

    Attributes:
        config: The predictor's configuration.
        folder: For temporary files.
        sample: Number of symbols that the origin's way reads.
        io_threads: Threads of ArcticDB in ours and of the bare client; None for the predictor's number.
    """

    server: Embedded
    config: Path
    folder: Path
    sample: int
    io_threads: int | None

    def measure(self, repeats: int) -> dict[str, dict[str, Any]]:
        """Measure the ways in turn, `repeats` times; keep the best time and the highest memory of each."""
        runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for _ in range(repeats):
            for way in WAYS:
                runs[way].append(self._run(way))
        return {way: _summary(results) for way, results in runs.items()}

    def _run(self, way: str) -> dict[str, Any]:
        options = ["--bucket", embedded.BUCKET, "--library", UNIVERSE, "--run-date", RUN_DATE.isoformat()]
        options += ["--config", str(self.config), "--lock", str(LOCK), "--sample", str(self.sample)]
        keys, environment = self.folder / "keys.json", self.server.environment()
        if self.io_threads and way != "origin":
            environment[IO_THREADS_VARIABLE] = str(self.io_threads)
        sent = self.server.requests_from_now()
        result = measure("measure", way, *options, "--keys", str(keys), environment=environment)
        requests = sent()
        refused = [entry for entry in requests if not entry["allowed"] or entry["write"]]
        if refused and way != "origin":  # which may try to compact the symbol list, in one request
            raise BenchmarkError(f"{way} sent {len(refused)} requests that write or were denied: {refused[0]}")
        if way == "ours":
            keys.write_text(json.dumps(embedded.keys(requests)), encoding="utf-8")
        return {**result, "requests": len(requests)}


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    summary = best(results)
    if "read" in summary:
        summary["requests_per_symbol"] = round(summary["requests"] / summary["read"], 2)
        summary["sampled"] = summary["read"] < summary["symbols"]
    return summary


def grow(server: Embedded, present: int, wanted: int, say: Callable[[str], None]) -> None:
    """Write symbols up to a number, and compact the symbol list, which otherwise costs one request per symbol."""
    import arcticdb
    from arcticdb.config import set_log_level

    set_log_level("ERROR")  # hide the warning about the missing library, which is created next
    server.set_latency(0)
    for first in range(present, wanted, BATCH):
        count = min(BATCH, wanted - first)
        say(f"writing symbols {first} to {first + count - 1}")
        macro = MACRO if first == 0 else None  # one series for all symbols
        write_synthetic(server.owner_uri, symbols=count, days=BARS, end=LAST_BAR, seed=first, first=first, macro=macro)
    # Listing compacts it only above a threshold.
    arcticdb.Arctic(server.owner_uri)[UNIVERSE].compact_symbol_list()
