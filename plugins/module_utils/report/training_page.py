# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The training on the report page: what came of it, how good it is, and what became of the weights.

A result may lack any part, another training project's above all: what it lacks is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from .curves import calibration_chart, curve_chart, share_rows
from .fold_charts import difference_chart, ic_chart
from .summary import achieved
from .text import counted, duration, ic, number

#: Features of a model that are shown at once.
LISTED_FEATURES = 12
#: Symbols and versions that are named; the receipt has them all.
LISTED_SYMBOLS = 12
LISTED_REVISED = 200

Training = Mapping[str, Any]


def training_context(receipt: Mapping[str, Any]) -> dict[str, Any] | None:
    """Choose what the page shows of the training.

    Args:
        receipt: the receipt.

    Returns:
        The template's variables, or None where nothing trained. A part without data is empty.
    """
    training = receipt["training"] or receipt["smoke"]
    if not training:
        return None
    diagnostics = training.get("diagnostics") or {}
    folds, threshold = training["fold_ics"], gate_setting(training, "median_ic", "threshold")
    interval = training.get("median_ic_interval")
    return {
        "title": "Training" if receipt["training"] else "Smoke training",
        "intro": intro(receipt, training),
        "word": decision(receipt["mode"], training),
        "outcome": outcome(training),
        "unsent": unsent(training),
        "notes": list(training.get("notes") or []) if isinstance(training.get("notes"), list) else [],
        "median": _median(training["median_ic"], interval),
        "interval": interval,
        "threshold": threshold,
        "folds": folds,
        "spread": any(number(fold.get("ic_low")) is not None for fold in folds),
        "ic_chart": Markup(ic_chart(folds, training["median_ic"], threshold, interval)),
        "curve": Markup(curve_chart(diagnostics.get("cumulative_ic") or [])),
        "calibration": Markup(calibration_chart(diagnostics.get("calibration") or [])),
        "importance": _importance(diagnostics.get("importance") or []),
        "gates": training["gates"],
        "incumbent": _incumbent(training),
        "data": _data_changes(training.get("data_changes") or {}),
        "left_out": training.get("left_out") or [],
        "metrics": training.get("metrics") or {},
        "written": training["written"],
    }


def trained(training: Training) -> str:
    """Say in one or two sentences what was trained and what became of it."""
    over = ""
    if training["folds"] is not None:
        asked = gate_setting(training, "median_ic", "threshold")
        against = "" if asked is None else f" where {ic(asked)} is needed"
        over = f" over {counted(training['folds'], 'fold')}: median IC {ic(training['median_ic'])}{against}"
    elif training.get("metrics"):
        over = f" to {achieved(training)}"
    if training.get("dry_run"):
        return f"A dry run{over}. Nothing was written."
    weights = {True: " The new weights are live.", False: " The new weights were not promoted."}
    return f"Trained{over}.{weights.get(training['promoted'], '')}"


def decision(mode: Any, training: Training | None) -> str:
    """Say what became of the weights, and why; nothing where the result does not say."""
    if training is None:
        return ""
    if training.get("dry_run"):
        later = " The full training left no result." if mode == "both" else ""
        return f"A dry run: it trained like the real one and wrote nothing.{later}"
    if training.get("error"):
        if training.get("promotion"):
            return "The training did not end, but had promoted before that: the new weights are live."
        return "The training did not end, and promoted nothing: what was live before is live still."
    blocking = [gate["name"] for gate in training["gates"] if gate["blocking"] and gate["passed"] is not True]
    if training["promoted"]:
        every = ": every blocking gate passed, and the" if training["gates"] else ": the"
        return f"Promoted{every} new weights are live."
    if blocking:
        return f"Not promoted: {', '.join(blocking)} did not pass. The live weights are untouched."
    return "" if training["promoted"] is None else "Not promoted. The live weights are untouched."


def intro(receipt: Mapping[str, Any], training: Training) -> str:
    """Say how large the training was and how long it took."""
    if training["folds"] is not None:
        skipped = f", {len(training['skipped_folds'])} skipped" if training["skipped_folds"] else ""
        text = _timed(training, f"Walk-forward over {counted(training['folds'], 'fold')}{skipped}")
    else:
        text = _timed(training, f"It came to {achieved(training)}")
    smoke = receipt["smoke"]
    if receipt["training"] and smoke and receipt["mode"] == "both":
        text += f" The smoke training before it: {_timed(smoke, achieved(smoke))}"
    return text


def _timed(training: Training, words: str) -> str:
    """Put the time that a training took behind some words about it."""
    return f"{words}." if training["seconds"] is None else f"{words}, in {duration(training['seconds'])}."


def outcome(training: Training) -> list[tuple[str, str]]:
    """List the promotion and the heartbeat: name and value of what there is."""
    found = []
    if promotion := training.get("promotion"):
        found.append(("Live version", promotion["version"] or "unnamed"))
        replaced = promotion["replaced"]
        before = "nothing was live before" if replaced is None else replaced["version"] or "a set without a version"
        run = f", of run {replaced['run_id']}" if replaced and replaced["run_id"] else ""
        found.append(("In the place of", f"{before}{run}"))
        if promotion["manifest_etag"]:
            found.append(("ETag of the live manifest", promotion["manifest_etag"]))
    heartbeat = training.get("heartbeat")
    if heartbeat and heartbeat["sent"]:
        found.append(("Heartbeat", f"sent: {heartbeat['detail']}" if heartbeat["detail"] else "sent"))
    return found


def unsent(training: Training) -> str:
    """Say that the heartbeat could not be sent; nothing where it was, or where none was due."""
    heartbeat = training.get("heartbeat")
    if not heartbeat or heartbeat["sent"]:
        return ""
    return f"The heartbeat could not be sent: {heartbeat['detail'] or 'no reason was given'}"


def gate_setting(training: Training, name: str, key: str) -> float | None:
    """Return a number of a gate, or None."""
    return next((number(gate.get(key)) for gate in training["gates"] if gate["name"] == name), None)


def _median(value: Any, interval: Sequence[float] | None) -> str:
    """Say the median with its interval."""
    spread = f", 95% interval {ic(interval[0])} to {ic(interval[1])}" if interval else ""
    return f"{ic(value)}{spread}"


def _importance(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Draw each model's features, the first ones at once."""
    return [
        {
            "model": model,
            "rows": [_markup(row) for row in rows[:LISTED_FEATURES]],
            "rest": [_markup(row) for row in rows[LISTED_FEATURES:]],
        }
        for model, rows in share_rows(entries).items()
    ]


def _markup(row: Any) -> dict[str, Any]:
    """Hand a row to the template, its picture marked as markup that is already escaped."""
    return {"feature": row.feature, "value": row.value, "svg": Markup(row.svg)}


def _incumbent(training: Training) -> dict[str, Any] | None:
    """Choose what is shown of the comparison with the incumbent."""
    incumbent = training.get("incumbent")
    if not incumbent:
        return None
    told = {"version": "Version", "run_id": "Run", "run_date": "Trained for"}
    margin = gate_setting(training, "beats_incumbent", "threshold")
    difference = incumbent["median_difference"]
    return {
        "detail": incumbent["detail"] or "",
        "facts": [(label, incumbent[name]) for name, label in told.items() if incumbent[name]],
        "chart": Markup(difference_chart(incumbent, training["fold_ics"], margin)),
        "median": None if difference is None else ic(difference),
        "margin": margin,
        "folds": [{**fold, "difference": _difference(fold)} for fold in incumbent["folds"]],
    }


def _difference(fold: Mapping[str, Any]) -> float | None:
    """By how much a fold is better than the incumbent's, or None."""
    mine, other = number(fold["ic"]), number(fold["incumbent_ic"])
    return None if mine is None or other is None else mine - other


def _data_changes(changes: Mapping[str, Any]) -> dict[str, Any] | None:
    """Choose what is shown of what changed in the data."""
    preflight, last = changes.get("since_preflight"), changes.get("since_last_run")
    if preflight is None and last is None:
        return None
    found: dict[str, Any] = {"preflight": "", "changed": [], "last": "", "lists": [], "revised": [], "more": 0}
    if preflight is not None:
        changed = preflight["changed"]
        found["changed"] = [_version_change(entry) for entry in changed[:LISTED_REVISED]]
        found["preflight"] = (
            f"{counted(len(changed), 'symbol')} changed between the preflight of this run and its training."
            if changed
            else "The training read the versions that the preflight of this run had checked."
        )
    if last is not None:
        lists = [(word, last[word]) for word in ("added", "removed") if last[word]]
        told = [f"{counted(len(names), 'symbol')} {word}" for word, names in lists]
        told += [f"{counted(len(last['revised']), 'symbol')} in a new version"] if last["revised"] else []
        run = f"the run {last['run_id']}" if last["run_id"] else "the last run"
        since = f"Since {run}" + (f", of {last['run_date']}" if last["run_date"] else "")
        found["last"] = f"{since}: {', '.join(told)}." if told else f"{since}, nothing changed."
        found["lists"] = [(word.capitalize(), _named(names)) for word, names in lists]
        found["revised"] = last["revised"][:LISTED_REVISED]
        found["more"] = len(last["revised"]) - len(found["revised"])
    return found


def _version_change(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Say which version of a symbol each of the two read."""
    name = " ".join(filter(None, (entry["library"], entry["symbol"]))) or "unnamed"
    before, after = ("none" if entry[key] is None else f"{entry[key]:.0f}" for key in ("preflight", "training"))
    return name, f"version {before} in the preflight, {after} in the training"


def _named(names: Sequence[str]) -> str:
    """Name some symbols, and count the rest."""
    rest = len(names) - LISTED_SYMBOLS
    return ", ".join(names[:LISTED_SYMBOLS]) + (f" and {rest:,} more" if rest > 0 else "")
