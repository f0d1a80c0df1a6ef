# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the result files of a run, tolerating any defect.

All but `preflight-controller.json` come from another machine, and a failed run may leave them missing or half written.
A defect never prevents the receipt: it becomes a note, and the part counts as missing.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..checks.records import one_line, read_check
from .shapes import list_under, text_of, whole
from .text import number
from .training import shape_training

#: A larger file is ignored; a result file of a 5,000-symbol run is under 1 MB.
LARGEST_FILE = 32 * 1024 * 1024

#: The results of the two tiers of the preflight.
CONTROLLER_FILE, INSTANCE_FILE = "preflight-controller.json", "preflight.json"


def read_json_object(path: Path) -> tuple[dict[str, Any] | None, str | None]:
    """Read a JSON object; None if the file is missing or, with a note, cannot be used."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            return None, f"{path.name} is larger than {LARGEST_FILE // 2**20} MB; ignored"
        # The receipt must be valid JSON, which has neither NaN nor infinity: read them as null.
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None, parse_float=_finite)
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, f"{path.name} cannot be read: {error.strerror}"
    except (ValueError, RecursionError) as error:
        return None, f"{path.name} is not valid JSON ({error}); ignored"
    if not isinstance(data, dict):
        return None, f"{path.name}: expected an object, got {type(data).__name__}; ignored"
    return data, None


def read_preflight(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Merge the results of the two tiers of the preflight, files in the run's folder; either may be missing.

    Returns the fields of the instance's file with the checks of both tiers, the controller's first, and
    ``controller_seconds``, or None if both files are missing; and notes. ``ages`` maps a symbol to trading days, or to
    None if it could not be read. Without a file of the instance, its part is empty.
    """
    notes: list[str] = []
    controller, instance = (_object(folder / name, notes) for name in (CONTROLLER_FILE, INSTANCE_FILE))
    if controller is None and instance is None:
        return None, notes
    checks = [] if controller is None else _checks(controller, folder / CONTROLLER_FILE, "controller", notes)
    path, data = folder / INSTANCE_FILE, instance or {}
    checks += _checks(data, path, "instance", notes)
    ages = data.get("ages")
    if ages is not None and not isinstance(ages, dict):
        notes.append(f"{path.name}: ages: expected an object, got {type(ages).__name__}; no freshness chart")
    known = {one_line(name): whole(age) for name, age in ages.items()} if isinstance(ages, dict) else {}
    unreadable = data.get("unreadable")
    symbols = whole(data.get("symbols"))
    return {
        **data,
        "checks": checks,
        "symbols": len(known) if symbols is None and known else symbols,
        "stale": [one_line(name) for name in list_under(data, "stale", path.name, notes)],
        "unreadable": {one_line(name): one_line(why) for name, why in unreadable.items()}
        if isinstance(unreadable, dict)
        else {},
        "newest": text_of(data.get("newest")),
        "oldest": text_of(data.get("oldest")),
        "ages": known,
        "limit": whole(data.get("limit")),
        "missing": [one_line(name) for name in list_under(data, "missing", path.name, notes)],
        "new": [one_line(name) for name in list_under(data, "new", path.name, notes)],
        "seconds": number(data.get("seconds")),
        "controller_seconds": number((controller or {}).get("seconds")),
    }, notes


def read_training(path: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Read the result of one training as `shape_training` returns it, or None; and notes."""
    notes: list[str] = []
    data = _object(path, notes)
    return None if data is None else shape_training(data, path.name, notes), notes


def _object(path: Path, notes: list[str]) -> dict[str, Any] | None:
    """Read a JSON object; a defect of its file becomes a note."""
    data, note = read_json_object(path)
    if note:
        notes.append(note)
    return data


def _checks(data: dict[str, Any], path: Path, tier: str, notes: list[str]) -> list[dict[str, Any]]:
    """Read the checks of one tier; an invalid one counts as failed and is noted."""
    checks = []
    for entry in list_under(data, "checks", path.name, notes):
        check, sound = read_check(entry, tier)
        if not sound:
            notes.append(f"{path.name}: a check without a known status was counted as failed: {check['name']}")
        checks.append(check)
    return checks


def _finite(text: str) -> float | None:
    """Parse a float; None if it is not finite."""
    value = float(text)
    return value if math.isfinite(value) else None
