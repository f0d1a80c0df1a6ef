# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The training on the report page: its result, its quality, and the decision on the weights.

Any part of the result may be missing, especially in another training project's; missing parts are not shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from .curves import calibration_chart, curve_chart, share_rows
from .fold_charts import difference_chart, ic_chart
from .summary import achieved
from .text import counted, duration, ic, number

#: Number of features of a model shown before the rest is folded.
LISTED_FEATURES = 12
#: Number of symbols and of versions listed; the receipt has them all.
LISTED_SYMBOLS = 12
LISTED_REVISED = 200

Training = Mapping[str, Any]


def training_context(receipt: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the template's variables for the training, or None without one; a part without data is empty."""
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
    """Summarise the training in one or two sentences."""
    result = ""
    if training["folds"] is not None:
        threshold = gate_setting(training, "median_ic", "threshold")
        against = "" if threshold is None else f", {ic(threshold)} required"
        result = f" over {counted(training['folds'], 'fold')}: median IC {ic(training['median_ic'])}{against}"
    elif training.get("metrics"):
        result = f": {achieved(training)}"
    if training.get("dry_run"):
        return f"Dry run{result}. Nothing was written."
    weights = {True: " The new weights are live.", False: " The new weights were not promoted."}
    return f"Trained{result}.{weights.get(training['promoted'], '')}"


def decision(mode: Any, training: Training | None) -> str:
    """Return the decision on the weights and its reason; empty if the result has none."""
    if training is None:
        return ""
    if training.get("dry_run"):
        later = " The full training left no result." if mode == "both" else ""
        return f"A dry run: it trained as usual but wrote nothing.{later}"
    if training.get("error"):
        if training.get("promotion"):
            return "The training did not finish, but it promoted first: the new weights are live."
        return "The training did not finish and promoted nothing: the previous weights are still live."
    blocking = [gate for gate in training["gates"] if gate["blocking"]]
    if training["promoted"]:
        why = ": every blocking gate passed, and" if blocking else ":"
        if unknown := [gate["name"] for gate in blocking if gate["passed"] is None]:
            why = f": no blocking gate failed ({', '.join(unknown)} not judged), and"
        return f"Promoted{why} the new weights are live."
    if failed := [gate["name"] for gate in blocking if gate["passed"] is False]:
        return f"Not promoted: {', '.join(failed)} did not pass. The live weights are untouched."
    return "" if training["promoted"] is None else "Not promoted. The live weights are untouched."


def intro(receipt: Mapping[str, Any], training: Training) -> str:
    """Return the size or result of the training, and its duration."""
    if training["folds"] is not None:
        skipped = f", {len(training['skipped_folds'])} skipped" if training["skipped_folds"] else ""
        text = _timed(training, f"Walk-forward over {counted(training['folds'], 'fold')}{skipped}")
    else:
        text = _timed(training, f"Result: {achieved(training)}")
    smoke = receipt["smoke"]
    if receipt["training"] and smoke and receipt["mode"] == "both":
        text += f" The smoke training before it: {_timed(smoke, achieved(smoke))}"
    return text


def _timed(training: Training, words: str) -> str:
    """Append the duration of a training to a text."""
    return f"{words}." if training["seconds"] is None else f"{words}, in {duration(training['seconds'])}."


def outcome(training: Training) -> list[tuple[str, str]]:
    """List the facts of the promotion and the heartbeat: name and value."""
    found = []
    if promotion := training.get("promotion"):
        found.append(("Live version", promotion["version"] or "unnamed"))
        replaced = promotion["replaced"]
        before = "nothing was live before" if replaced is None else replaced["version"] or "a set without a version"
        run = f", of run {replaced['run_id']}" if replaced and replaced["run_id"] else ""
        found.append(("Replaced", f"{before}{run}"))
        if promotion["manifest_etag"]:
            found.append(("ETag of the live manifest", promotion["manifest_etag"]))
    heartbeat = training.get("heartbeat")
    if heartbeat and heartbeat["sent"]:
        found.append(("Heartbeat", f"sent: {heartbeat['detail']}" if heartbeat["detail"] else "sent"))
    return found


def unsent(training: Training) -> str:
    """Say that the heartbeat could not be sent; empty if it was, or none was due."""
    heartbeat = training.get("heartbeat")
    if not heartbeat or heartbeat["sent"]:
        return ""
    return f"The heartbeat could not be sent: {heartbeat['detail'] or 'no reason given'}"


def gate_setting(training: Training, name: str, key: str) -> float | None:
    """Return a number of a gate, or None."""
    return next((number(gate.get(key)) for gate in training["gates"] if gate["name"] == name), None)


def _median(value: Any, interval: Sequence[float] | None) -> str:
    """Format the median with its interval."""
    spread = f", 95% interval {ic(interval[0])} to {ic(interval[1])}" if interval else ""
    return f"{ic(value)}{spread}"


def _importance(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Draw the features of each model, split into those shown and the folded rest."""
    models = []
    for model, shares in share_rows(entries).items():
        rows = [{**vars(row), "svg": Markup(row.svg)} for row in shares]
        models.append({"model": model, "rows": rows[:LISTED_FEATURES], "rest": rows[LISTED_FEATURES:]})
    return models


def _incumbent(training: Training) -> dict[str, Any] | None:
    """Return the template's variables for the comparison with the incumbent."""
    incumbent = training.get("incumbent")
    if not incumbent:
        return None
    labels = {"version": "Version", "run_id": "Run", "run_date": "Trained for"}
    margin = gate_setting(training, "beats_incumbent", "threshold")
    difference = incumbent["median_difference"]
    return {
        "detail": incumbent["detail"] or "",
        "facts": [(label, incumbent[name]) for name, label in labels.items() if incumbent[name]],
        "chart": Markup(difference_chart(incumbent, training["fold_ics"], margin)),
        "median": None if difference is None else ic(difference),
        "margin": margin,
        "folds": [{**fold, "difference": _difference(fold)} for fold in incumbent["folds"]],
    }


def _difference(fold: Mapping[str, Any]) -> float | None:
    """Return a fold's IC minus the incumbent's, or None."""
    mine, other = number(fold["ic"]), number(fold["incumbent_ic"])
    return None if mine is None or other is None else mine - other


def _data_changes(changes: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the template's variables for the changes in the data."""
    preflight, last = changes.get("since_preflight"), changes.get("since_last_run")
    if preflight is None and last is None:
        return None
    found: dict[str, Any] = {"preflight": "", "changed": [], "last": "", "lists": [], "revised": [], "more": 0}
    if preflight is not None:
        changed = preflight["changed"]
        found["changed"] = [_version_change(entry) for entry in changed[:LISTED_REVISED]]
        found["preflight"] = (
            f"{counted(len(changed), 'symbol')} changed between this run's preflight and its training."
            if changed
            else "The training read the versions that this run's preflight checked."
        )
    if last is not None:
        lists = [(word, last[word]) for word in ("added", "removed") if last[word]]
        parts = [f"{counted(len(names), 'symbol')} {word}" for word, names in lists]
        parts += [f"{counted(len(last['revised']), 'symbol')} in a new version"] if last["revised"] else []
        run = f"run {last['run_id']}" if last["run_id"] else "the last run"
        since = f"Since {run}" + (f", of {last['run_date']}" if last["run_date"] else "")
        found["last"] = f"{since}: {', '.join(parts)}." if parts else f"{since}, nothing changed."
        found["lists"] = [(word.capitalize(), _named(names)) for word, names in lists]
        found["revised"] = last["revised"][:LISTED_REVISED]
        found["more"] = len(last["revised"]) - len(found["revised"])
    return found


def _version_change(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Return a symbol's name and the versions that the preflight and the training read."""
    name = " ".join(filter(None, (entry["library"], entry["symbol"]))) or "unnamed"
    before, after = ("none" if entry[key] is None else f"{entry[key]:.0f}" for key in ("preflight", "training"))
    return name, f"version {before} in the preflight, {after} in the training"


def _named(names: Sequence[str]) -> str:
    """List some symbols, and count the rest."""
    rest = len(names) - LISTED_SYMBOLS
    return ", ".join(names[:LISTED_SYMBOLS]) + (f" and {rest:,} more" if rest > 0 else "")
