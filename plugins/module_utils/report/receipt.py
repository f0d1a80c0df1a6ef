# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The receipt of a run: its circumstances, results, cost and leftovers.

The fields of `receipt.json` are a stable interface: they may be added to, but not renamed. Only this module decides the
outcome, from the evidence and not from the playbook's view: a run has passed only if no step failed, nothing is left
over, no check failed, and a preflight wrote nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..checks.records import instance_tier_ran
from ..inputs.credentials import without_credentials
from ..runs.attempts import (
    NEVER_RESUME,
    complete_last,
    interruption_error,
    last_instance,
    launched,
    refusals,
    shape_attempts,
)
from ..runs.events import CLOSING_STEPS, Failure, deciding_failure, parse_time, summarise_steps
from ..runs.text import clean
from .bill import bill
from .text import count_of
from .writes import breach_by_writes, nothing_written, shape_writes

#: Keys of `run` that go into the receipt.
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
#: Modes that write nothing, and their names in messages.
WRITE_NOTHING = {"preflight": "preflight", "smoke": "smoke training"}
TRAINING_STEPS = ("training", "smoke", "full")


@dataclass
class Inputs:
    """The parts of a receipt; any but ``run`` may be missing.

    Attributes:
        run: ``run_id``, ``mode``, ``started_at``, ``notes`` and the circumstances (see `RUN_FIELDS`).
        events: the recorded events, oldest first.
        instance: the last attempt's instance as known at the end.
        outcome, error: according to the playbook.
        preflight: the merged results of the two tiers of the preflight.
        writes: ``{data_bucket: count, denied: count, evidence, digest}``.
        api_calls: ``{service.action: count}``.
        cost: ``{market_price_usd_hour, on_demand_price_usd_hour}``, defaults for the last instance.
        notes: notes on unreadable parts.
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
    """Assemble the receipt, ready for JSON; unknown values are None, and ``notes`` explains the important ones."""
    notes = [*map(clean, inputs.run.get("notes") or []), *inputs.notes]
    mode = inputs.run.get("mode")
    known_failed = inputs.outcome == "failed" or bool(inputs.error)
    steps = finished_steps(summarise_steps(inputs.events, known_failed))
    steps = with_excluded_parts(steps, inputs.run.get("skipped") or [])
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
        # run_notify fills this in later.
        "notifications": [],
        "notes": notes,
    }
    if any(count is None for count in receipt["leaks"].values()):
        notes.append("leftovers were not fully counted: search the account for the run's tag")
    failure = deciding_failure(inputs.events, known_failed)
    if failure is not None:
        receipt["failed_step"], receipt["failed_task"] = failure.step, failure.task
    receipt["outcome"], receipt["error"] = decide(receipt, inputs, failure)
    if receipt["outcome"] == "interrupted":
        # A step that failed because its instance went away was interrupted.
        receipt["steps"] = [_cut_short(step, receipt["failed_step"]) for step in steps]
    complete_last(attempts, receipt["outcome"], inputs.full)
    return receipt


def finished_steps(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Finalise the steps, as `summarise_steps` returns them, at the time of the report.

    The step ``report`` is still running and cannot time itself, so it is omitted unless it failed; so is ``training``
    if there is a ``smoke`` or ``full``. Any other step that never ended was interrupted.
    """
    omitted = {"report"}
    if any(step["name"] in ("smoke", "full") for step in steps):
        omitted.add("training")
    kept = [step for step in steps if step["name"] not in omitted or step["status"] in ("failed", "interrupted")]
    return [{**step, "status": "interrupted"} if step["status"] == "running" else step for step in kept]


def with_excluded_parts(steps: list[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Add the parts that tags excluded, for which Ansible emits no events, as skipped steps.

    Each is placed before the first step that follows it in a run.
    """
    found = list(steps)
    for name in names:
        # A part is not listed if the run ended before its turn.
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


def decide(receipt: Mapping[str, Any], inputs: Inputs, failure: Failure | None) -> tuple[str, str | None]:
    """Decide the outcome and the error sentence, None for passed, from a receipt that has neither."""
    error = _error(clean(inputs.error or ""), failure, receipt["notes"])
    attempts = receipt["attempts"]
    if inputs.outcome == "no_capacity" and not launched(attempts):
        return "no_capacity", error or f"no capacity: {refusals(attempts[-1]['cells'] if attempts else [])}"
    if inputs.outcome in ("interrupted", "no_capacity") or (
        error and attempts and attempts[-1]["ended_by"] == "reclaim"
    ):
        return "interrupted", _interruption(receipt, inputs.run, error)
    if error or inputs.outcome == "failed":
        return "failed", error or "the run failed, but no cause was recorded"
    if (breach := breach_of(receipt)) is not None:
        return "failed", breach
    cut = next((step["name"] for step in receipt["steps"] if step["status"] == "interrupted"), None)
    if cut is not None:
        return "interrupted", _interruption(
            receipt, inputs.run, f"the run was interrupted in step {cut}: the process on the control node ended"
        )
    if receipt["mode"] in WRITE_NOTHING and not nothing_written(receipt["writes"]):
        what = WRITE_NOTHING[receipt["mode"]]
        return "failed", f"cannot verify that the {what} was read-only: no request count and no second digest"
    return "passed", None


def _error(error: str, failure: Failure | None, notes: list[str]) -> str | None:
    """Choose between the playbook's error and the recorded failure.

    A recorded failure of the work takes precedence, because the playbook's error may be about the end of the run only;
    that error then becomes a note.
    """
    if failure is None or (error and failure.step in CLOSING_STEPS | {None}):
        return error or (str(failure) if failure else None)
    if error and failure.message not in error:
        notes.append(f"the playbook also reported: {error}")
    return str(failure)


def breach_of(receipt: Mapping[str, Any]) -> str | None:
    """Return, in one sentence, why a run without failed tasks has not passed; None if it has."""
    mode = receipt["mode"]
    statuses = {step["name"]: step["status"] for step in receipt["steps"]}
    for step, status in statuses.items():
        if status == "failed":
            return f"step {step} failed"
    left = {name: count for name, count in receipt["leaks"].items() if count}
    if left:
        listed = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in left.items())
        return f"the run left resources behind: {listed}"
    broken = [check["name"] for check in (receipt["preflight"] or {}).get("checks", []) if check["status"] == "fail"]
    if broken:
        return f"the preflight failed: {', '.join(broken)}"
    if mode == "preflight":
        ran = [step for step in TRAINING_STEPS if statuses.get(step) in ("passed", "interrupted")]
        if ran or receipt["training"] or receipt["smoke"]:
            return "a preflight run has trained"
    if mode in WRITE_NOTHING:
        wrote: str | None = breach_by_writes(receipt["writes"], WRITE_NOTHING[mode])
        if wrote is not None:
            return wrote
    # A step that passed without a result proves nothing: a training may exit with 0 without training.
    if statuses.get("preflight") == "passed" and not instance_tier_ran(receipt["preflight"]):
        return "the preflight step passed but left no result"
    if mode in TRAINING_MODES and receipt["training"] is None:
        if any(statuses.get(step) == "passed" for step in TRAINING_STEPS):
            return "the training step passed but left no result"
        if "interrupted" not in statuses.values():
            return f"no training in a run of mode {mode}"
    return None


def _interruption(receipt: Mapping[str, Any], run: Mapping[str, Any], error: str | None) -> str:
    """Describe the interruption: the recorded loss of the instance, else the error.

    If there are both, the error, which may be a symptom of the loss, becomes a note.
    """
    lost: str | None = interruption_error(receipt["attempts"], run)
    if lost is None:
        advice = NEVER_RESUME.get(str(receipt["mode"]))
        return "; ".join(filter(None, (error or "the run was interrupted", advice)))
    if error:
        receipt["notes"].append(f"symptom of the interruption: {error}")
    return lost


def _cut_short(step: dict[str, Any], failed_step: str | None) -> dict[str, Any]:
    """Mark the failed step of an interrupted run as interrupted."""
    hit = step["name"] == failed_step and step["status"] == "failed" and failed_step not in CLOSING_STEPS
    return {**step, "status": "interrupted"} if hit else step


def _finished_at(inputs: Inputs) -> str | None:
    """Return the given end of the run, else the time of the last event."""
    if inputs.run.get("finished_at"):
        return str(inputs.run["finished_at"])
    times = [(moment, str(event["time"])) for event in inputs.events[-20:] if (moment := parse_time(event.get("time")))]
    return max(times)[1] if times else None
