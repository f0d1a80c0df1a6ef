# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The receipt in a few lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.run_report_checks import instance_tier_gap, tally
from ansible.module_utils.run_report_events import parse_time
from ansible.module_utils.run_report_text import counted, duration, ic, number, usd
from ansible.module_utils.run_report_writes import writes_line

#: Longest line; a terminal of 80 columns still shows most of it after Ansible's own indentation.
LONGEST_LINE = 160
#: The error may be longer: what it names last is often what a person has to look at.
LONGEST_ERROR = 400


def summary_lines(receipt: Mapping[str, Any], report_path: str) -> list[str]:
    """Sum a receipt up.

    Args:
        receipt: the receipt.
        report_path: where the report page is.

    Returns:
        At most 12 short lines; the outcome first, the path of the report last.
    """
    outcome = str(receipt["outcome"]).replace("_", " ").upper()
    lines = [f"{outcome}  {receipt['mode'] or 'unknown mode'}  {receipt['run_id']}  {duration(run_seconds(receipt))}"]
    if receipt["error"]:
        lines.append(f"error      {' '.join(str(receipt['error']).split())}")
    if receipt["steps"]:
        lines.append("steps      " + ", ".join(_step(step) for step in receipt["steps"]))
    if receipt["preflight"]:
        lines.append(f"preflight  {preflight_line(receipt)}")
    if receipt["training"]:
        lines.append(f"training   {training_line(receipt['training'])}")
    lines.append(f"writes     {writes_line(receipt['writes'])}")
    lines.append(f"cost       {cost_line(receipt['cost'])}")
    lines.append(f"left over  {leaks_line(receipt['leaks'])}")
    if receipt["notes"]:
        lines.append(f"notes      {counted(len(receipt['notes']), 'note')}, first: {receipt['notes'][0]}")
    lines = [_cut(line, LONGEST_ERROR if line.startswith("error ") else LONGEST_LINE) for line in lines]
    # The path is never cut: it is there to be copied.
    return [*lines, f"report     {report_path}"]


def run_seconds(receipt: Mapping[str, Any]) -> float | None:
    """Return the seconds from start to finish, or None."""
    started, finished = parse_time(receipt["started_at"]), parse_time(receipt["finished_at"])
    return None if started is None or finished is None else max(0.0, (finished - started).total_seconds())


def preflight_line(receipt: Mapping[str, Any]) -> str:
    """Count the checks of both tiers by status, and the symbols by freshness."""
    preflight = receipt["preflight"]
    checks = tally(preflight["checks"])
    if gap := instance_tier_gap(receipt):
        return f"{checks}; {gap}"
    symbols = f"{counted(preflight['symbols'], 'symbol')}, {len(preflight['stale']):,} stale"
    if preflight["stale"]:
        symbols += f" ({_named_stale(preflight)})"
    missing = f", {len(preflight['missing']):,} missing" if preflight["missing"] else ""
    newest = f", newest {preflight['newest']}" if preflight["newest"] else ""
    return f"{checks}; {symbols}{missing}{newest}"


def training_line(training: Mapping[str, Any]) -> str:
    """Say how many folds, which median IC, and what became of the weights."""
    decision = {True: "promoted", False: "not promoted", None: "promotion unknown"}[training["promoted"]]
    if training.get("dry_run"):
        decision = "dry run, nothing written"
    return f"{counted(training['folds'], 'fold')}, median IC {ic(training['median_ic'])}, {decision}"


def cost_line(cost: Mapping[str, Any]) -> str:
    """Say what the instance cost, and what it would have cost on demand."""
    return f"{usd(cost['usd'])}, {cost_basis(cost)}" if cost["usd"] is not None else cost_basis(cost)


def cost_basis(cost: Mapping[str, Any]) -> str:
    """Say what the cost was worked out from."""
    if cost["billed_seconds"] == 0:
        return "no instance was launched"
    if cost["billed_seconds"] is None:
        return "unknown, the instance's times were not recorded"
    text = duration(cost["billed_seconds"])
    if number(cost["market_price_usd_hour"]) is None:
        return f"{text} at an unknown price"
    text += f" at {usd(cost['market_price_usd_hour'])} an hour"
    return text if cost["on_demand_usd"] is None else f"{text} (on demand {usd(cost['on_demand_usd'])})"


def leaks_line(leaks: Mapping[str, Any]) -> str:
    """Say what was left behind."""
    left = [f"{count} {name.replace('_', ' ')}" for name, count in leaks.items() if count]
    unknown = [name.replace("_", " ") for name, count in leaks.items() if count is None]
    if not left and not unknown:
        return "nothing"
    return "; ".join([*left, *([f"not counted: {', '.join(unknown)}"] if unknown else [])])


def _named_stale(preflight: Mapping[str, Any]) -> str:
    """Name the oldest stale symbols with their age in trading days."""
    ages = preflight["ages"]
    ordered = sorted(preflight["stale"], key=lambda name: (-(10**9 if ages.get(name) is None else ages[name]), name))
    named = [f"{name} {'unreadable' if ages.get(name) is None else ages[name]}" for name in ordered[:3]]
    return ", ".join([*named, "…"] if len(ordered) > 3 else named)


def _cut(line: str, longest: int) -> str:
    """Cut a line to a length."""
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _step(step: Mapping[str, Any]) -> str:
    """Name a step with its time, and its status unless it passed."""
    text = f"{step['name']} {duration(step['seconds'])}"
    if step["status"] == "skipped":
        return f"{step['name']} skipped"
    return text if step["status"] == "passed" else f"{text} ({step['status']})"
