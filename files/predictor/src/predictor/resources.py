"""Available memory and disk space, and what a training needs."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictor.errors import PredictorError

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Need:
    """An amount in MiB, and its reason."""

    megabytes: float
    why: str


def need(summary: Mapping[str, Any] | None, name: str, least: float, headroom: float) -> Need:
    """What a training needs, estimated from the last one.

    Args:
        summary: Summary of the last training, None without one.
        name: Key in its `resources`: `peak_memory_mb` or `disk_mb`.
        least: Minimum in MiB.
        headroom: Factor on the last training's usage.

    Returns:
        The larger of `least` and `headroom` times the usage.
    """
    recorded = (summary or {}).get("resources")
    used = recorded.get(name) if isinstance(recorded, Mapping) else None
    if isinstance(used, bool) or not isinstance(used, int | float):
        return Need(least, "the configured minimum; no earlier training recorded its usage")
    if used * headroom < least:
        return Need(least, f"the configured minimum; the last training used {used:,.0f}")
    return Need(used * headroom, f"{headroom:g} times the {used:,.0f} of the last training")


def available_memory_mb() -> float:
    """Memory available without swapping, in MiB (`MemAvailable` of /proc/meminfo).

    Raises:
        PredictorError: /proc/meminfo is missing or lacks the line.
    """
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise PredictorError(f"cannot read the available memory: {error}") from error
    kilobytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    if kilobytes is None:
        raise PredictorError("cannot read the available memory: /proc/meminfo has no MemAvailable")
    return int(kilobytes) / 1024


def free_disk_mb(folder: Path) -> float:
    """Free space on a folder's disk for an unprivileged process, in MiB.

    Raises:
        PredictorError: The folder does not exist.
    """
    try:
        return shutil.disk_usage(folder).free / MEBIBYTE
    except OSError as error:
        raise PredictorError(f"cannot read the free space of {folder}: {error.strerror}") from error


def peak_memory_mb() -> float:
    """Peak resident memory of this process, in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
