"""Measurements in separate processes, and the machine that they were made on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv/bin/python"


class BenchmarkError(Exception):
    """The benchmark cannot continue; the text is one line."""


def measure(program: str, way: str, *options: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run a program of `benchmarks.instance` and return the JSON in its last line.

    Raises:
        BenchmarkError: It fails.
    """
    command = [str(PYTHON), "-m", f"tools.benchmarks.instance.{program}", way, *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{way} failed: {last_line(done.stderr)}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def last_line(output: str) -> str:
    """The last line that is not empty."""
    return next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "no output")


def best(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The fastest of several measurements, with all times and the highest memory."""
    fastest = min(results, key=lambda result: float(result["seconds"]))
    return {
        **fastest,
        **{name: round(value, 3) for name, value in fastest.items() if name.endswith("seconds")},
        "all_seconds": [round(result["seconds"], 3) for result in results],
        "peak_mib": max(result["peak_mib"] for result in results),
    }


def machine(versions: Mapping[str, str]) -> dict[str, Any]:
    """The machine, its Python, and the versions of the measured packages."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": next(models, platform.machine()),
        "python": platform.python_version(),
        "versions": dict(versions),
    }
