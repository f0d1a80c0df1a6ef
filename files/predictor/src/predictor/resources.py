"""Memory and disk: what there is, and what a training needs."""

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
    """So many MiB are needed, and why."""

    megabytes: float
    why: str


def need(summary: Mapping[str, Any] | None, name: str, least: float, headroom: float) -> Need:
    """What a training needs, judged by the last one.

    Args:
        summary: Summary of the last training, None if there was none.
        name: Key in its `resources`: `peak_memory_mb` or `disk_mb`.
        least: MiB that are needed in any case.
        headroom: Factor on what the last one used.

    Returns:
        The larger of `least` and `headroom` times what was used.
    """
    told = (summary or {}).get("resources")
    used = told.get(name) if isinstance(told, Mapping) else None
    if isinstance(used, bool) or not isinstance(used, int | float):
        return Need(least, "the least that is asked for; no earlier training says what it used")
    if used * headroom < least:
        return Need(least, f"the least that is asked for; the last training used {used:,.0f}")
    return Need(used * headroom, f"{headroom:g} times the {used:,.0f} of the last training")


def available_memory_mb() -> float:
    """Memory that can be had without swapping, in MiB (`MemAvailable` of /proc/meminfo).

    Raises:
        PredictorError: The kernel does not say.
    """
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise PredictorError(f"the kernel does not tell its memory: {error}") from error
    kilobytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    if kilobytes is None:
        raise PredictorError("the kernel does not tell its available memory (MemAvailable in /proc/meminfo)")
    return int(kilobytes) / 1024


def free_disk_mb(folder: Path) -> float:
    """Room on the disk of a folder for an ordinary process, in MiB.

    Raises:
        PredictorError: There is no such folder.
    """
    try:
        return shutil.disk_usage(folder).free / MEBIBYTE
    except OSError as error:
        raise PredictorError(f"the disk of {folder} cannot be looked at: {error.strerror}") from error


def peak_memory_mb() -> float:
    """The most memory that this process had at once, in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
