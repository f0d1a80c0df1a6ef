# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The summary of a receipt for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..checks.records import instance_tier_gap, tally
from ..runs.attempts import describe, launched
from ..runs.events import parse_time
from .text import counted, cut, duration, ic, number, usd
from .writes import writes_line

#: Longest line; a terminal of 80 columns still shows most of it after Ansible's own indentation.
LONGEST_LINE = 160
#: Number of metrics of a training in its line.
NAMED_METRICS = 3
#: The error and the attempts may be longer, because their end is often the important part.
LONGEST_ERROR = 400


def summary_lines(receipt: Mapping[str, Any], report_path: str) -> list[str]:
    """Summarise a receipt in at most 12 short lines: the outcome first, the path or URL of the report page last."""
    outcome = str(receipt["outcome"]).replace("_", " ").upper()
    lines = [f"{outcome}  {receipt['mode'] or 'unknown mode'}  {receipt['run_id']}  {duration(run_seconds(receipt))}"]
    if receipt["error"]:
        lines.append(f"error      {' '.join(str(receipt['error']).split())}")
    if attempts := describe(receipt["attempts"]):
        lines.append(f"attempts   {attempts}")
    if receipt["steps"]:
        lines.append("steps      " + ", ".join(_step(step) for step in receipt["steps"]))
    if receipt["preflight"]:
        lines.append(f"preflight  {preflight_line(receipt)}")
    if receipt["training"]:
        lines.append(f"training   {training_line(receipt['training'])}")
    lines.append(f"writes     {writes_line(receipt['writes'])}")
    lines.append(f"cost       {cost_line(receipt)}")
    lines.append(f"leftovers  {leaks_line(receipt['leaks'])}")
    if receipt["notes"]:
        lines.append(f"notes      {counted(len(receipt['notes']), 'note')}, first: {receipt['notes'][0]}")
    lines = [cut(line, LONGEST_ERROR if line.startswith(("error ", "attempts ")) else LONGEST_LINE) for line in lines]
    # The path is for copying and never cut.
    return [*lines, f"report     {report_path}"]


def run_seconds(receipt: Mapping[str, Any]) -> float | None:
    """Return the seconds from start to finish, or None."""
    started, finished = parse_time(receipt["started_at"]), parse_time(receipt["finished_at"])
    return None if started is None or finished is None else max(0.0, (finished - started).total_seconds())


def preflight_line(receipt: Mapping[str, Any]) -> str:
    """Count the checks of both tiers by status, and the symbols by freshness."""
    preflight = receipt["preflight"]
    checks: str = tally(preflight["checks"])
    if gap := instance_tier_gap(receipt):
        return f"{checks}; {gap}"
    if preflight["symbols"] is None and not preflight["stale"]:
        return checks  # a project without symbols
    symbols = f"{counted(preflight['symbols'], 'symbol')}, {len(preflight['stale']):,} stale"
    if preflight["stale"]:
        symbols += f" ({_named_stale(preflight)})"
    missing = f", {len(preflight['missing']):,} missing" if preflight["missing"] else ""
    newest = f", newest {preflight['newest']}" if preflight["newest"] else ""
    return f"{checks}; {symbols}{missing}{newest}"


def training_line(training: Mapping[str, Any]) -> str:
    """Return the result of a training and the decision on the weights."""
    decision = {True: "promoted", False: "not promoted", None: "promotion unknown"}[training["promoted"]]
    if training.get("error"):
        decision = "did not finish"
    elif training.get("dry_run"):
        decision = "dry run, nothing written"
    unknown = ", ".join(gate["name"] for gate in training["gates"] if gate["passed"] is None)
    return f"{achieved(training)}, {decision}" + (f" ({unknown} not judged)" if unknown else "")


def achieved(training: Mapping[str, Any]) -> str:
    """Return the result of a training: its folds and median IC, or the metrics of another project."""
    if training["folds"] is not None or training["median_ic"] is not None:
        return f"{counted(training['folds'], 'fold')}, median IC {ic(training['median_ic'])}"
    metrics = list(training.get("metrics", {}).items())
    named = [f"{name} {value:,.4g}" for name, value in metrics[:NAMED_METRICS]]
    return ", ".join([*named, "…"] if len(metrics) > NAMED_METRICS else named) or "no metrics"


def cost_line(receipt: Mapping[str, Any]) -> str:
    """Return the cost of the run and its basis."""
    cost, basis = receipt["cost"], cost_basis(receipt)
    return f"{usd(cost['usd'])}, {basis}" if cost["usd"] is not None else basis


def cost_basis(receipt: Mapping[str, Any]) -> str:
    """Return the basis of the cost: attempts, time, price, and the on-demand cost."""
    cost, several = receipt["cost"], len(launched(receipt["attempts"])) > 1
    if cost["billed_seconds"] == 0:
        return "no instance was launched"
    if cost["billed_seconds"] is None:
        return "unknown, the instance's times were not recorded"
    text = duration(cost["billed_seconds"])
    if several:
        text = f"{counted(len(launched(receipt['attempts'])), 'attempt')}, {text}"
    elif number(cost["market_price_usd_hour"]) is not None:
        text += f" at {usd(cost['market_price_usd_hour'])} per hour"
    if cost["usd"] is None:
        return f"{text} at an unknown price"
    free = sum(bool(entry["free"]) for entry in cost["attempts"])
    parts = [*([f"{counted(free, 'attempt')} free" if several else "free"] if free else [])]
    parts += [f"on demand {usd(cost['on_demand_usd'])}"] if cost["on_demand_usd"] is not None else []
    return f"{text} ({', '.join(parts)})" if parts else text


def leaks_line(leaks: Mapping[str, Any]) -> str:
    """List the leftovers and the kinds that were not counted."""
    left = [f"{count} {name.replace('_', ' ')}" for name, count in leaks.items() if count]
    unknown = [name.replace("_", " ") for name, count in leaks.items() if count is None]
    if not left and not unknown:
        return "nothing"
    return "; ".join([*left, *([f"not counted: {', '.join(unknown)}"] if unknown else [])])


def oldest_first(preflight: Mapping[str, Any]) -> list[str]:
    """Sort the stale symbols, those of unknown age first, then the oldest."""
    ages = preflight["ages"]
    return sorted(preflight["stale"], key=lambda name: (-(10**9 if ages.get(name) is None else ages[name]), name))


def _named_stale(preflight: Mapping[str, Any]) -> str:
    """Name the oldest stale symbols with their age in trading days."""
    ages, ordered = preflight["ages"], oldest_first(preflight)
    named = [f"{name} {'unreadable' if ages.get(name) is None else ages[name]}" for name in ordered[:3]]
    return ", ".join([*named, "…"] if len(ordered) > 3 else named)


def _step(step: Mapping[str, Any]) -> str:
    """Format a step with its duration, and its status unless it passed."""
    text = f"{step['name']} {duration(step['seconds'])}"
    if step["status"] == "skipped":
        return f"{step['name']} skipped"
    return text if step["status"] == "passed" else f"{text} ({step['status']})"
