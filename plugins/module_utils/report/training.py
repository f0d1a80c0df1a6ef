# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Normalises the result of a training; another training project's result may have few fields.

A field that is missing in the result is missing in the receipt and on the page too, except for a few fields that are
always present.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..checks.records import one_line
from ..runs.text import clean
from .shapes import entries, fields, list_under, names, object_under, text_of, truth, whole
from .text import number

REVISED_TEXTS, REVISED_NUMBERS = ("symbol", "last_from", "last_to"), ("from", "to", "bars_from", "bars_to")


def shape_training(data: Mapping[str, Any], file: str, notes: list[str]) -> dict[str, Any]:
    """Normalise the result of a training; ``notes`` receives a sentence on every invalid part.

    The fields that are always present come first below, then those of `docs/receipt.md` that the result has; any
    further fields are unchanged.
    """
    if "promoted" in data and truth(data["promoted"]) is None:
        notes.append(f"{file} does not say whether the weights were promoted")
    shaped = {
        **data,
        "folds": whole(data.get("folds")),
        "median_ic": number(data.get("median_ic")),
        "promoted": truth(data.get("promoted")),
        "gates": [_gate(gate) for gate in list_under(data, "gates", file, notes) if isinstance(gate, dict)],
        "seconds": number(data.get("seconds")),
        "dry_run": truth(data.get("dry_run")),
        "fold_ics": [fold for fold in list_under(data, "fold_ics", file, notes) if isinstance(fold, dict)],
        "skipped_folds": list_under(data, "skipped_folds", file, notes),
        "written": [clean(key) for key in list_under(data, "written", file, notes)],
    }
    if "median_ic_interval" in data:
        shaped["median_ic_interval"] = _interval(data["median_ic_interval"])
    if "left_out" in data:
        shaped["left_out"] = entries(list_under(data, "left_out", file, notes), texts=("symbol", "reason"))
    if "metrics" in data:
        shaped["metrics"] = _numbers(data, "metrics", file, notes)
    for key, shape in _OBJECTS.items():
        if key in data:
            found = object_under(data, key, file, notes)
            shaped[key] = None if found is None else shape(found)
    return shaped


def _numbers(data: Mapping[str, Any], key: str, file: str, notes: list[str]) -> dict[str, float]:
    """Keep the numbers by name under ``key``; other values are omitted and noted."""
    found = {one_line(name): number(entry) for name, entry in (object_under(data, key, file, notes) or {}).items()}
    if odd := sorted(name for name, entry in found.items() if entry is None):
        notes.append(f"{file}: {key}: expected numbers, got other values for {', '.join(odd)}")
    return {name: entry for name, entry in found.items() if entry is not None}


def _gate(gate: Mapping[str, Any]) -> dict[str, Any]:
    """Normalise a gate; an invalid verdict counts as not judged."""
    return {
        **gate,
        "name": clean(gate.get("name") or "unnamed gate"),
        "passed": truth(gate.get("passed")),
        "blocking": gate.get("blocking") is True,
    }


def _interval(value: Any) -> list[float] | None:
    """Return two ascending numbers, or None."""
    if not isinstance(value, list) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    return None if low is None or high is None or low > high else [low, high]


def _diagnostics(given: Mapping[str, Any]) -> dict[str, Any]:
    spread = ("mean", "low", "high", "folds")
    shaped = {
        "cumulative_ic": entries(given.get("cumulative_ic"), texts=("date",), numbers=("value",)),
        "calibration": entries(given.get("calibration"), numbers=("forecast", "realised", "low", "high", "rows")),
        "importance": entries(given.get("importance"), texts=("model", "feature"), numbers=spread),
    }
    return {name: found for name, found in shaped.items() if name in given}


def _incumbent(given: Mapping[str, Any]) -> dict[str, Any]:
    folds = entries(given.get("folds"), numbers=("fold", "ic", "incumbent_ic", "days"))
    facts = fields(given, texts=("run_id", "run_date", "version", "detail"), numbers=("median_difference",))
    return {**facts, "folds": folds}


def _data_changes(given: Mapping[str, Any]) -> dict[str, Any]:
    preflight, last = given.get("since_preflight"), given.get("since_last_run")
    shaped: dict[str, Any] = {"since_preflight": None, "since_last_run": None}
    if isinstance(preflight, Mapping):
        numbers = ("preflight", "training")
        changed = entries(preflight.get("changed"), texts=("symbol", "library"), numbers=numbers)
        shaped["since_preflight"] = {"changed": changed}
    if isinstance(last, Mapping):
        shaped["since_last_run"] = {
            **fields(last, texts=("run_date", "run_id")),
            "added": names(last.get("added")),
            "removed": names(last.get("removed")),
            "revised": entries(last.get("revised"), texts=REVISED_TEXTS, numbers=REVISED_NUMBERS),
        }
    return shaped


def _promotion(given: Mapping[str, Any]) -> dict[str, Any]:
    replaced = given.get("replaced")
    return {
        **fields(given, texts=("version", "prefix", "manifest_etag")),
        "replaced": fields(replaced, texts=("version", "run_id")) if isinstance(replaced, Mapping) else None,
    }


def _heartbeat(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"sent": given.get("sent") is True, "detail": text_of(given.get("detail"))}


#: Optional objects of a result, and the function that normalises each.
_OBJECTS = {
    "diagnostics": _diagnostics,
    "incumbent": _incumbent,
    "data_changes": _data_changes,
    "promotion": _promotion,
    "heartbeat": _heartbeat,
}
