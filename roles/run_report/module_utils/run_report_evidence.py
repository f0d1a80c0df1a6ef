# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The result files that came back from the instance, read with suspicion.

`preflight.json`, `training-smoke.json` and `training-full.json` come from another machine, and a run that failed may
have left any of them out or half written. None of that may keep the receipt from being written: what is wrong becomes a
note, and the part is missing.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ansible.module_utils.run_report_events import clean_text
from ansible.module_utils.run_report_text import number

#: A result file of a 5,000-symbol run is under 1 MB; what is larger than this is no result file.
LARGEST_FILE = 32 * 1024 * 1024

CHECK_STATES = ("fail", "warn", "pass")


def read_json_object(path: Path) -> tuple[dict[str, Any] | None, str | None]:
    """Read a JSON object from a file.

    Args:
        path: the file; it may be missing, which is no fault.

    Returns:
        The object or None, and a note for a person when there is a file that cannot be used.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            return None, f"{path.name} is larger than {LARGEST_FILE // 2**20} MB and was not read"
        # NaN and infinity are no JSON, and the receipt has to be: they are as good as missing.
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None, parse_float=_finite)
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, f"{path.name} cannot be read: {error.strerror}"
    except (ValueError, RecursionError) as error:
        return None, f"{path.name} is not valid JSON ({error}); what it would have said is missing here"
    if not isinstance(data, dict):
        return None, f"{path.name} holds a {type(data).__name__} where an object belongs; it was not used"
    return data, None


def read_preflight(path: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Read the result of the preflight.

    Args:
        path: ``preflight.json``.

    Returns:
        ``{checks, symbols, stale, newest, oldest, ages, seconds}`` with whatever else the file has, or None; and notes.
        ``ages`` maps a symbol to trading days, or to None where the symbol could not be read.
    """
    data, note = read_json_object(path)
    if data is None:
        return None, [note] if note else []
    notes: list[str] = []
    checks = []
    for entry in _list(data, "checks", path, notes):
        if not isinstance(entry, dict) or entry.get("status") not in CHECK_STATES:
            notes.append(
                f"{path.name}: a check without a known status was counted as failed: {clean_text(entry)[:120]}"
            )
        fields = entry if isinstance(entry, dict) else {}
        checks.append(
            {
                **fields,
                "name": clean_text(fields.get("name") or "unnamed check"),
                "status": fields.get("status") if fields.get("status") in CHECK_STATES else "fail",
                "detail": clean_text("" if fields.get("detail") is None else fields["detail"]),
                "seconds": number(fields.get("seconds")),
            }
        )
    ages = data.get("ages")
    if ages is not None and not isinstance(ages, dict):
        notes.append(f"{path.name}: ages are not an object, so there is no freshness picture")
    known = {clean_text(name): _whole(age) for name, age in ages.items()} if isinstance(ages, dict) else {}
    symbols = _whole(data.get("symbols"))
    return {
        **data,
        "checks": checks,
        "symbols": len(known) if symbols is None and known else symbols,
        "stale": [clean_text(name) for name in _list(data, "stale", path, notes)],
        "newest": _text(data.get("newest")),
        "oldest": _text(data.get("oldest")),
        "ages": known,
        "seconds": number(data.get("seconds")),
    }, notes


def read_training(path: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Read the result of one training.

    Args:
        path: ``training-smoke.json`` or ``training-full.json``.

    Returns:
        ``{folds, median_ic, promoted, gates, seconds, dry_run, fold_ics, skipped_folds, written, …}``, or None; and
        notes.
    """
    data, note = read_json_object(path)
    if data is None:
        return None, [note] if note else []
    notes: list[str] = []
    gates = [
        {
            **gate,
            "name": clean_text(gate.get("name") or "unnamed gate"),
            "passed": gate.get("passed") if isinstance(gate.get("passed"), bool) else None,
            "blocking": gate.get("blocking") is True,
        }
        for gate in _list(data, "gates", path, notes)
        if isinstance(gate, dict)
    ]
    if not isinstance(data.get("promoted"), bool):
        notes.append(f"{path.name} does not say whether the weights were promoted")
    return {
        **data,
        "folds": _whole(data.get("folds")),
        "median_ic": number(data.get("median_ic")),
        "promoted": data.get("promoted") if isinstance(data.get("promoted"), bool) else None,
        "gates": gates,
        "seconds": number(data.get("seconds")),
        "dry_run": data.get("dry_run") if isinstance(data.get("dry_run"), bool) else None,
        "fold_ics": [fold for fold in _list(data, "fold_ics", path, notes) if isinstance(fold, dict)],
        "skipped_folds": _list(data, "skipped_folds", path, notes),
        "written": [clean_text(key) for key in _list(data, "written", path, notes)],
    }, notes


def _list(data: dict[str, Any], key: str, path: Path, notes: list[str]) -> list[Any]:
    """Return the list under ``key``; a missing one is empty, anything else is empty and noted."""
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        notes.append(f"{path.name}: {key} is a {type(value).__name__} where a list belongs")
        return []
    return value


def _finite(text: str) -> float | None:
    """Parse a float; None when it is too large for one."""
    value = float(text)
    return value if math.isfinite(value) else None


def _text(value: Any) -> str | None:
    """Return a cleaned string, or None for None."""
    return None if value is None else clean_text(value)


def _whole(value: Any) -> int | None:
    """Return a number as an int, or None."""
    known = number(value)
    return None if known is None else int(known)
