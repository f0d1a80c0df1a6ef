# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The receipt of a run: what it was, what happened, what it cost, what it left behind.

The shape is the project's contract (`receipt.json`): fields may be added, names stay. The verdict is drawn here and
nowhere else, from the evidence and not from what the playbook believes: a run is passed only when no step failed,
nothing is left running, no check failed, and a preflight wrote nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..checks.records import instance_tier_ran
from ..inputs.credentials import without_credentials
from ..runs.attempts import (
    NEVER_RESUME,
    interruption_error,
    last_instance,
    launched,
    refusals,
    settle,
    shape_attempts,
)
from ..runs.events import (
    CLOSING_STEPS,
    Failure,
    deciding_failure,
    parse_time,
    summarise_steps,
)
from ..runs.text import clean
from .bill import bill
from .text import count_of
from .writes import breach_by_writes, nothing_written, shape_writes

#: Of `run`, what describes the circumstances; whatever else it holds stays out of the receipt.
RUN_FIELDS = (
    "run_date",
    "region",
    "data_bucket",
    "arctic_prefix",
    "inventory",
    "training_source",
    "revision",
    "git_revision",
    "controller",
    "ansible_version",
    "amazon_aws_version",
    "skipped",
)
LEAK_FIELDS = ("instances", "volumes", "spot_requests", "launch_templates", "schedules", "transport_keys")
TRAINING_MODES = ("smoke", "full", "both")
#: Modes of runs that write nothing, and what they are called.
WRITE_NOTHING = {"preflight": "preflight", "smoke": "smoke training"}
TRAINING_STEPS = ("training", "smoke", "full")


@dataclass
class Inputs:
    """Everything that a receipt is made of.

    Attributes:
        run: ``run_id``, ``mode``, ``started_at``, ``notes`` and the circumstances (see `RUN_FIELDS`).
        events: the recorded events, oldest first.
        instance: the last attempt's instance as it is known at the end, or None when none was ever asked for.
        attempts: the attempts as they were recorded, in order; empty for a run that recorded none.
        outcome: the playbook's own verdict, or None to draw it from the evidence.
        error: the playbook's own error sentence, or None.
        preflight: the results of the preflight's two tiers as one, or None.
        smoke: the result of the smoke training, or None.
        full: the result of the full training, or None.
        writes: ``{data_bucket: count, denied: count, evidence, digest}``.
        leaks: counts of what was left behind.
        api_calls: ``{service.action: count}``.
        cost: ``{market_price_usd_hour, on_demand_price_usd_hour}``, for an attempt that has no prices of its own.
        notes: what could not be read so far.
    """

    run: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]] = ()
    instance: Mapping[str, Any] | None = None
    attempts: Sequence[Any] = ()
    outcome: str | None = None
    error: str | None = None
    preflight: dict[str, Any] | None = None
    smoke: dict[str, Any] | None = None
    full: dict[str, Any] | None = None
    writes: Mapping[str, Any] | None = None
    leaks: Mapping[str, Any] | None = None
    api_calls: Mapping[str, Any] | None = None
    cost: Mapping[str, Any] | None = None
    notes: list[str] = field(default_factory=list)


def build_receipt(inputs: Inputs) -> dict[str, Any]:
    """Assemble the receipt.

    Args:
        inputs: the parts; any of them may be missing.

    Returns:
        The receipt, ready for JSON. What is unknown is null, and said in ``notes`` where a person would miss it.
    """
    notes = [*map(clean, inputs.run.get("notes") or []), *inputs.notes]
    mode = inputs.run.get("mode")
    known_failed = inputs.outcome == "failed" or bool(inputs.error)
    steps = finished_steps(summarise_steps(inputs.events, known_failed))
    steps = with_left_out(steps, inputs.run.get("skipped") or [])
    finished_at = _finished_at(inputs)
    attempts = shape_attempts(inputs.attempts, inputs.instance)
    training = inputs.smoke if mode == "smoke" else inputs.full
    receipt: dict[str, Any] = {
        "run_id": inputs.run.get("run_id"),
        "mode": mode,
        "outcome": None,
        "error": None,
        "started_at": inputs.run.get("started_at") or (inputs.events[0].get("time") if inputs.events else None),
        "finished_at": finished_at,
        "instance": last_instance(attempts),
        "attempts": attempts,
        "steps": steps,
        "preflight": inputs.preflight,
        "writes": shape_writes(inputs.writes, notes),
        "training": training,
        "smoke": inputs.smoke,
        "cost": bill(attempts, inputs.cost or {}, notes),
        "leaks": {name: count_of((inputs.leaks or {}).get(name)) for name in LEAK_FIELDS},
        "api_calls": dict(sorted((inputs.api_calls or {}).items())),
        "run": {name: without_credentials(inputs.run.get(name)) for name in RUN_FIELDS},
        "failed_step": None,
        "failed_task": None,
        # Filled in by run_notify, once there is a receipt to tell of.
        "notifications": [],
        "notes": notes,
    }
    if any(count is None for count in receipt["leaks"].values()):
        notes.append("whether anything was left behind was not counted in full: look for the run's tag in the account")
    failure = deciding_failure(inputs.events, known_failed)
    if failure is not None:
        receipt["failed_step"], receipt["failed_task"] = failure.step, failure.task
    receipt["outcome"], receipt["error"] = judge(receipt, inputs, failure)
    if receipt["outcome"] == "interrupted":
        # What fails while an instance goes away did not fail by itself.
        receipt["steps"] = [_cut_short(step, receipt["failed_step"]) for step in steps]
    settle(attempts, receipt["outcome"], inputs.full)
    return receipt


def finished_steps(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Settle the steps at the time of the report.

    The report itself is running while it is written and cannot time itself, so it is left out unless it failed. Any
    other step that never ended was interrupted.

    Args:
        steps: as `summarise_steps` returns them.

    Returns:
        The same without a running ``report``, and without what the training role did before ``smoke`` and ``full``.
    """
    omitted = {"report"}
    if any(step["name"] in ("smoke", "full") for step in steps):
        omitted.add("training")
    kept = [step for step in steps if step["name"] not in omitted or step["status"] in ("failed", "interrupted")]
    return [{**step, "status": "interrupted"} if step["status"] == "running" else step for step in kept]


def with_left_out(steps: list[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Add the parts of a run that its tags left out: Ansible tells nobody of a task that it never looks at.

    Args:
        steps: the steps that were recorded.
        names: parts that were left out, ``preflight`` or ``training``.

    Returns:
        The same with these as skipped, each before the first step that comes after it in a run.
    """
    found = list(steps)
    for name in names:
        # Of a run that ended before it would have been its turn, nothing was left out.
        later = [*TRAINING_STEPS, "terminate"] if name == "preflight" else ["terminate"]
        places = [place for place, step in enumerate(found) if step["name"] in later]
        if places and not any(step["name"] == name for step in found):
            step = {
                "name": name,
                "status": "skipped",
                "seconds": 0.0,
                "started_at": None,
                "finished_at": None,
                "spans": [],
            }
            found.insert(places[0], step)
    return found


def judge(receipt: Mapping[str, Any], inputs: Inputs, failure: Failure | None) -> tuple[str, str | None]:
    """Draw the verdict.

    Args:
        receipt: the receipt with everything but the verdict.
        inputs: what it was made of.
        failure: the failure that decided the run, or None.

    Returns:
        The outcome (``passed``, ``failed``, ``interrupted``, ``no_capacity``) and the error sentence, None for passed.
    """
    told = _told(clean(inputs.error or ""), failure, receipt["notes"])
    attempts = receipt["attempts"]
    if inputs.outcome == "no_capacity" and not launched(attempts):
        return "no_capacity", told or f"no capacity: {refusals(attempts[-1]['cells'] if attempts else [])}"
    if inputs.outcome in ("interrupted", "no_capacity") or (
        told and attempts and attempts[-1]["ended_by"] == "reclaim"
    ):
        return "interrupted", _interruption(receipt, inputs.run, told)
    if told or inputs.outcome == "failed":
        return "failed", told or "the run failed, and nothing recorded says why"
    if (breach := breach_of(receipt)) is not None:
        return "failed", breach
    cut = next((step["name"] for step in receipt["steps"] if step["status"] == "interrupted"), None)
    if cut is not None:
        return "interrupted", _interruption(
            receipt, inputs.run, f"the run was interrupted in the step {cut}: the controller's process ended"
        )
    if receipt["mode"] in WRITE_NOTHING and not nothing_written(receipt["writes"]):
        what = WRITE_NOTHING[receipt["mode"]]
        return "failed", (
            f"nothing proves that the {what} wrote nothing: there is neither a count of requests nor a second digest"
        )
    return "passed", None


def _told(error: str, failure: Failure | None, notes: list[str]) -> str | None:
    """Choose between what the playbook says and what was recorded.

    A recorded failure of the work goes first: what the playbook says may be about the end of the run alone, and then
    becomes a note.
    """
    if failure is None or (error and failure.step in CLOSING_STEPS | {None}):
        return error or (str(failure) if failure else None)
    if error and failure.message not in error:
        notes.append(f"the playbook also says: {error}")
    return str(failure)


def breach_of(receipt: Mapping[str, Any]) -> str | None:
    """Find what forbids to call a run passed although no task of it failed.

    Returns:
        One sentence, or None.
    """
    mode = receipt["mode"]
    statuses = {step["name"]: step["status"] for step in receipt["steps"]}
    for step, status in statuses.items():
        if status == "failed":
            return f"the step {step} failed"
    left = {name: count for name, count in receipt["leaks"].items() if count}
    if left:
        listed = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in left.items())
        return f"the run left something behind: {listed}"
    broken = [check["name"] for check in (receipt["preflight"] or {}).get("checks", []) if check["status"] == "fail"]
    if broken:
        return f"the preflight did not pass: {', '.join(broken)}"
    if mode == "preflight":
        ran = [step for step in TRAINING_STEPS if statuses.get(step) in ("passed", "interrupted")]
        if ran or receipt["training"] or receipt["smoke"]:
            return "something trained in a run that was to be a preflight only"
    if mode in WRITE_NOTHING:
        wrote: str | None = breach_by_writes(receipt["writes"], WRITE_NOTHING[mode])
        if wrote is not None:
            return wrote
    # A step that passed without its result proves nothing: once a training trained nothing, successfully.
    if statuses.get("preflight") == "passed" and not instance_tier_ran(receipt["preflight"]):
        return "the preflight step passed but left no result"
    if mode in TRAINING_MODES and receipt["training"] is None:
        if _passed_any(statuses, TRAINING_STEPS):
            return "the training step passed but left no result"
        if "interrupted" not in statuses.values():
            return f"nothing was trained in a run of mode {mode}"
    return None


def _interruption(receipt: Mapping[str, Any], run: Mapping[str, Any], told: str | None) -> str:
    """Say how the run was interrupted: by the loss of its instance where one is recorded, else as it was told.

    What else was told, which may be how the loss looked to a task, becomes a note.
    """
    lost: str | None = interruption_error(receipt["attempts"], run)
    if lost is None:
        advice = NEVER_RESUME.get(str(receipt["mode"]))
        return "; ".join(filter(None, (told or "the run was interrupted", advice)))
    if told:
        receipt["notes"].append(f"how the interruption showed: {told}")
    return lost


def _cut_short(step: dict[str, Any], failed_step: str | None) -> dict[str, Any]:
    """Turn the step that an interruption made fail into an interrupted one."""
    hit = step["name"] == failed_step and step["status"] == "failed" and failed_step not in CLOSING_STEPS
    return {**step, "status": "interrupted"} if hit else step


def _finished_at(inputs: Inputs) -> str | None:
    """Take the end of the run from what was given, else from the last event."""
    given = inputs.run.get("finished_at")
    if given:
        return str(given)
    times: list[tuple[datetime, str]] = []
    for event in inputs.events[-20:]:
        moment = parse_time(event.get("time"))
        if moment is not None:
            times.append((moment, str(event["time"])))
    return max(times)[1] if times else None


def _passed_any(statuses: Mapping[str, str], names: Sequence[str]) -> bool:
    """Say whether any of the named steps passed."""
    return any(statuses.get(name) == "passed" for name in names)
