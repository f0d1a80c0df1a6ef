# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report page of a run.

The template holds the layout; the texts and the choice of content are here, where tests need not parse markup. The
template (autoescape) and the charts escape every value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..checks.records import instance_tier_gap, with_status
from ..runs.attempts import NEVER_RESUME, interrupted, launched
from ..runs.events import format_time, log_name, parse_time
from .attempts_page import attempts_context, attempts_fact, continued, price
from .charts import timeline_rows
from .preflight import preflight_context
from .summary import cost_basis, leaks_line, run_seconds
from .text import UNKNOWN, counted, duration, ic, size, usd
from .training_page import trained, training_context
from .writes import changes_line, kept, nothing_written, proof_line

#: Number of changed keys of the data bucket on the page; the receipt has all recorded ones.
LISTED_CHANGES = 50

VERDICTS = {
    "passed": ("Passed", "✓"),
    "failed": ("Failed", "✕"),
    "interrupted": ("Interrupted", "!"),
    "no_capacity": ("No capacity", "!"),
}

#: What to do next, by the step in which a run failed.
ADVICE = {
    "open": "Nothing was launched. Fix what the message names, then start the run again.",
    "request": "See the launch attempts below. Nothing was written, so the run can simply be repeated.",
    "bootstrap": "Read the step's log and the instance's console output, then start the run again.",
    "deps": "Read the step's log, which names the package that cannot be installed. Then start the run again.",
    "preflight": "Read the step's log, then repeat only the preflight: it writes nothing.",
    "terminate": "Run the termination playbook for this run ID now, then look for instances with the run's tag.",
}
CHECKS_ADVICE = "Apply the remedies of the failed checks below, then repeat only the preflight: it writes nothing."
TRAINING_ADVICE = "Read the step's log. The live weights are untouched unless this page says promoted."


def render_page(receipt: Mapping[str, Any], logs: Sequence[str], template: Path) -> str:
    """Render the report as one self-contained HTML page; ``logs`` are names of files relative to the page.

    The folder of ``template`` has the templates that it includes. Raises OSError if one cannot be read.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(duration=duration, usd=usd, ic=ic, clock=clock, counted=counted, size=size, price=price)
    return environment.get_template(template.name).render(**page_context(receipt, logs))


def page_context(receipt: Mapping[str, Any], logs: Sequence[str]) -> dict[str, Any]:
    """Return the template's variables."""
    word, sign = VERDICTS[receipt["outcome"]]
    return {
        "receipt": receipt,
        "word": word,
        "sign": sign,
        "headline": headline(receipt),
        "advice": advice(receipt),
        "error_log": _error_log(receipt, logs),
        "facts": facts(receipt),
        "circumstances": circumstances(receipt),
        "seconds": run_seconds(receipt),
        "steps": [{**vars(row), "svg": Markup(row.svg)} for row in timeline_rows(receipt["steps"])],
        "attempts": attempts_context(receipt),
        "preflight": preflight_context(receipt),
        "writes": writes_context(receipt["writes"]),
        "training": training_context(receipt),
        "missing": missing_parts(receipt),
        "logs": list(logs),
    }


def headline(receipt: Mapping[str, Any]) -> str:
    """Return the outcome in one or two sentences."""
    outcome, mode = receipt["outcome"], receipt["mode"]
    if outcome == "no_capacity":
        return "No instance was available. Nothing was started, and nothing is billed."
    if outcome == "interrupted":
        lost = interrupted(receipt["attempts"])
        return "The run lost its instance before it finished." if lost else "The run was stopped before it finished."
    if outcome == "failed":
        return f"The run failed in step {receipt['failed_step']}." if receipt["failed_step"] else "The run failed."
    if mode == "preflight":
        preflight = receipt["preflight"]
        if preflight is None:
            return "The run passed, but included no preflight."
        warned = sum(check["status"] == "warn" for check in preflight["checks"])
        extra = f", {counted(warned, 'warning')}" if warned else ""
        wrote = " Nothing was written." if nothing_written(receipt["writes"]) else ""
        symbols = f"; {counted(preflight['symbols'], 'symbol')} examined" if preflight["symbols"] is not None else ""
        return f"All {counted(len(preflight['checks']), 'check')} passed{extra}{symbols}.{wrote}"
    training = receipt["training"]
    if training is None:  # an unknown mode: in any other, a run without training has not passed
        return "The run passed, but included no training."
    return f"{trained(training)}{continued(receipt)}"


def advice(receipt: Mapping[str, Any]) -> str:
    """Return what to do next, or an empty text."""
    outcome, step = receipt["outcome"], receipt["failed_step"]
    if outcome == "passed":
        return ""
    if any(receipt["leaks"].values()):
        return ADVICE["terminate"]
    if outcome == "no_capacity":
        return (
            "Repeat the run later, or widen the launch matrix: more instance types, more subnets, or on-demand as the "
            "last resort."
        )
    if outcome == "interrupted" and interrupted(receipt["attempts"]):
        if receipt["mode"] in NEVER_RESUME:
            return "Start the preflight again: preflights do not resume, and nothing was written."
        return "Start the run again. The input run_attempts sets how many instances a run may use in turn."
    if outcome == "interrupted":
        return "Repeat the run. If it was stopped by hand, first run the termination playbook for this run ID."
    if step in (None, "open", "preflight") and with_status((receipt["preflight"] or {}).get("checks", []), "fail"):
        return ("Nothing was launched. " if step == "open" else "") + CHECKS_ADVICE
    if step in ADVICE:
        return ADVICE[step]
    return TRAINING_ADVICE if step else "Read the error above and the logs below, then start the run again."


def facts(receipt: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """List the key facts of a run: name, value and small print."""
    got = launched(receipt["attempts"])
    found: list[tuple[str, str, str]] = []
    if got:
        instance = got[-1]["instance"]
        place = " · ".join(str(instance[key]) for key in ("az", "market") if instance[key])
        found.append(("Instance", str(instance["type"] or "unknown type"), f"{place}\n{instance['id']}".strip()))
    else:
        found.append(("Instance", "none", "nothing was launched"))
    found.append(attempts_fact(receipt))
    found.append(("Cost", usd(receipt["cost"]["usd"]), cost_basis(receipt)))
    leaked = any(receipt["leaks"].values())
    counted_all = all(count is not None for count in receipt["leaks"].values())
    left = "nothing" if counted_all and not leaked else ("something" if leaked else "unknown")
    small = ", ".join(name.replace("_", " ") for name in receipt["leaks"]) + ": 0 each"
    found.append(("Leftovers", left, small if left == "nothing" else leaks_line(receipt["leaks"])))
    found.append(_writes_fact(receipt["writes"], receipt["run"]["data_bucket"]))
    return found


def writes_context(writes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template's variables for the writes to the data bucket and their evidence."""
    count, denied, digest = writes["data_bucket"], writes.get("denied"), writes.get("digest")
    words = []
    if count:
        words.append(f"{counted(count, 'write')} reached the data bucket.")
    elif nothing_written(writes):
        words.append("No write reached the data bucket.")
    else:
        words.append("The writes to the data bucket were not counted." if count is None else "No write was counted.")
    if denied:
        words.append(f"{counted(denied, 'write')} {'was' if denied == 1 else 'were'} tried and refused.")
    if digest and kept(writes) is not None:
        prefixes = ", ".join(digest["prefixes"]) if digest["prefixes"] else "the whole bucket"
        equal = "equal" if kept(writes) else "not equal"
        words.append(f"The digests of the data bucket's objects before and after ({prefixes}) are {equal}.")
    return {
        "intro": " ".join(words),
        "digest": digest,
        "halves": [(name, digest[key]) for name, key in (("Before", "before"), ("After", "after"))] if digest else [],
        "changed": digest["changed"][:LISTED_CHANGES] if digest else [],
        "more_changed": digest["changed_count"] - len(digest["changed"][:LISTED_CHANGES]) if digest else 0,
    }


def circumstances(receipt: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the circumstances of the run that are known."""
    names = {
        "run_date": "Run date",
        "region": "Region",
        "inventory": "Inventory",
        "data_bucket": "Data bucket",
        "training_source": "Training source",
        "revision": "Source revision",
        "git_revision": "spot-train revision",
        "controller": "Control node",
        "ansible_version": "ansible-core",
        "amazon_aws_version": "amazon.aws",
        "skipped": "Skipped by tags",
    }
    run = receipt["run"]
    return [(label, _plain(run[name])) for name, label in names.items() if run.get(name)]


def missing_parts(receipt: Mapping[str, Any]) -> list[str]:
    """Return the parts that a page of this mode should have but lacks."""
    found = []
    if not receipt["steps"]:
        found.append("No timeline: no steps were recorded.")
    if receipt["preflight"] is None:
        found.append("No preflight result: the run ended before the preflight or did not include it.")
    elif gap := instance_tier_gap(receipt):
        found.append(f"The preflight is incomplete: {gap}.")
    if receipt["mode"] != "preflight" and receipt["training"] is None:
        found.append("No training result: the run ended before the training or did not include it.")
    return found


def clock(value: Any) -> str:
    """Format a time of the receipt to the second, in UTC; anything else is returned as text."""
    moment = parse_time(value)
    return format_time(moment)[:19].replace("T", " ") + " UTC" if moment else (UNKNOWN if value is None else str(value))


def log_files(run_dir: Path) -> list[str]:
    """List the log files of a run, relative to its folder, sorted by name."""
    return sorted(f"logs/{path.name}" for path in (run_dir / "logs").glob("*.log"))


def _writes_fact(writes: Mapping[str, Any], bucket: Any) -> tuple[str, str, str]:
    """Return the number of writes to the data bucket as a fact, with the evidence in small print."""
    count, denied = writes["data_bucket"], writes.get("denied")
    proof = changes_line({**writes["digest"], "changed": []}) if kept(writes) is False else proof_line(writes)
    value = "not counted" if count is None else f"{count:,}"
    if count is None and kept(writes) is not None:
        value = "none" if kept(writes) else "changed"
    refused = f"{denied:,} tried and refused" if denied else ""
    return "Data bucket writes", value, "\n".join(filter(None, (f"to {bucket}" if bucket else "", proof, refused)))


def _plain(value: Any) -> str:
    """Format a circumstance; of a training source, its origin."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if not isinstance(value, Mapping):
        return str(value)
    where = [str(value[key]) for key in ("url", "path", "ref", "revision") if value.get(key)]
    return " ".join(where) or ", ".join(f"{key} {entry}" for key, entry in value.items())


def _error_log(receipt: Mapping[str, Any], logs: Sequence[str]) -> str | None:
    """Return the log of the failed step, if it exists."""
    if receipt["outcome"] == "passed" or not receipt["failed_task"]:
        return None
    name = f"logs/{log_name(receipt['failed_step'])}.log"
    return name if name in logs else None
