# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report page: what a person sees first when a run has ended.

The template lays out; the words and the choice of what to show are made here, so that they can be tested without
looking at markup. Everything that comes from outside is escaped by the template (autoescape) or by the charts.
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
from .attempts_page import attempts_context, attempts_fact, price, went_on
from .charts import Row, timeline_rows
from .preflight import preflight_context
from .summary import (
    cost_basis,
    leaks_line,
    run_seconds,
)
from .text import UNKNOWN, counted, duration, ic, size, usd
from .training_page import trained, training_context
from .writes import changes_line, kept, nothing_written, proof_line

#: Changed keys of the data bucket that the page lists; the receipt has what was recorded.
LISTED_CHANGES = 50

VERDICTS = {
    "passed": ("Passed", "✓"),
    "failed": ("Failed", "✕"),
    "interrupted": ("Interrupted", "!"),
    "no_capacity": ("No capacity", "!"),
}

# What to do next, by the step in which a run failed.
ADVICE = {
    "open": "Nothing was launched. Correct what the message names, then start the run again.",
    "request": "Read the launch attempts below. Nothing was written anywhere, so the run can simply be repeated.",
    "bootstrap": "Read the log of the step and the instance's console output, then start the run again.",
    "deps": "Read the log of the step: a package that cannot be installed is named there. Then start the run again.",
    "preflight": "Read the log of the step, then repeat the preflight alone: it writes nothing.",
    "terminate": "Run the termination playbook for this run id now, then look for instances with the run's tag.",
}
CHECKS_ADVICE = "Do what the failed checks below say, then repeat the preflight alone: it writes nothing."
TRAINING_ADVICE = "Read the log of the step. The live weights are untouched unless this page says promoted."


def render_page(receipt: Mapping[str, Any], logs: Sequence[str], template: Path) -> str:
    """Render the report.

    Args:
        receipt: the receipt.
        logs: names of the log files, relative to the page.
        template: the template; what it includes lies beside it.

    Returns:
        One self-contained HTML page.

    Raises:
        OSError: a template cannot be read.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(duration=duration, usd=usd, ic=ic, clock=clock, counted=counted, size=size, price=price)
    page: str = environment.get_template(template.name).render(**page_context(receipt, logs))
    return page


def page_context(receipt: Mapping[str, Any], logs: Sequence[str]) -> dict[str, Any]:
    """Choose what the page shows.

    Args:
        receipt: the receipt.
        logs: names of the log files.

    Returns:
        The template's variables.
    """
    word, sign = VERDICTS[receipt["outcome"]]
    steps = timeline_rows(receipt["steps"])
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
        "steps": _with_svg(steps),
        "attempts": attempts_context(receipt),
        "preflight": preflight_context(receipt),
        "writes": writes_context(receipt["writes"]),
        "training": training_context(receipt),
        "missing": missing_parts(receipt),
        "logs": list(logs),
    }


def headline(receipt: Mapping[str, Any]) -> str:
    """Say in one sentence what happened."""
    outcome, mode = receipt["outcome"], receipt["mode"]
    if outcome == "no_capacity":
        return "No instance could be had. Nothing was started, and nothing is to be paid."
    if outcome == "interrupted":
        lost = interrupted(receipt["attempts"])
        return "The run lost its instance before it finished." if lost else "The run was cut short before it finished."
    if outcome == "failed":
        return f"The run failed in the step {receipt['failed_step']}." if receipt["failed_step"] else "The run failed."
    if mode == "preflight":
        preflight = receipt["preflight"]
        if preflight is None:
            return "The run ended well, but no preflight was part of it."
        warned = sum(check["status"] == "warn" for check in preflight["checks"])
        extra = f", {counted(warned, 'warning')}" if warned else ""
        wrote = " Nothing was written." if nothing_written(receipt["writes"]) else ""
        symbols = f"; {counted(preflight['symbols'], 'symbol')} examined" if preflight["symbols"] is not None else ""
        return f"All {counted(len(preflight['checks']), 'check')} passed{extra}{symbols}.{wrote}"
    training = receipt["training"]
    if training is None:  # of a mode that nobody knows: any other that passed has trained
        return "The run ended well, but no training was part of it."
    return f"{trained(training)}{went_on(receipt)}"


def advice(receipt: Mapping[str, Any]) -> str:
    """Say what to do next; empty when there is nothing to do."""
    outcome, step = receipt["outcome"], receipt["failed_step"]
    if outcome == "passed":
        return ""
    if any(receipt["leaks"].values()):
        return ADVICE["terminate"]
    if outcome == "no_capacity":
        return (
            "Wait and repeat the run, or widen the launch matrix: more instance types, more subnets, or on-demand as "
            "the last resort."
        )
    if outcome == "interrupted" and interrupted(receipt["attempts"]):
        if receipt["mode"] in NEVER_RESUME:
            return "Start the preflight again: preflights do not resume, and nothing was written."
        return "Start the run again. The input run_attempts says how many instances a run may use, one after the other."
    if outcome == "interrupted":
        return "Repeat the run. If it was cut short by hand, first run the termination playbook for this run id."
    if step in (None, "open", "preflight") and with_status((receipt["preflight"] or {}).get("checks", []), "fail"):
        return ("Nothing was launched. " if step == "open" else "") + CHECKS_ADVICE
    if step in ADVICE:
        return ADVICE[step]
    return TRAINING_ADVICE if step else "Read the error above and the logs below, then start the run again."


def facts(receipt: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """List what a person looks up first.

    Returns:
        Triples of name, value and small print.
    """
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
    found.append(("Left behind", left, small if left == "nothing" else leaks_line(receipt["leaks"])))
    found.append(_writes_fact(receipt["writes"], receipt["run"]["data_bucket"]))
    return found


def writes_context(writes: Mapping[str, Any]) -> dict[str, Any]:
    """Choose what the page shows of the writes to the data bucket, and of what proves them."""
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
        "revision": "Revision of the source",
        "git_revision": "Revision of spot-train",
        "controller": "Controller",
        "ansible_version": "ansible-core",
        "amazon_aws_version": "amazon.aws",
        "skipped": "Left out by its tags",
    }
    run = receipt["run"]
    return [(label, _plain(run[name])) for name, label in names.items() if run.get(name)]


def missing_parts(receipt: Mapping[str, Any]) -> list[str]:
    """Name the parts that a page of this mode should have and does not."""
    found = []
    if not receipt["steps"]:
        found.append("No step was recorded, so there is no timeline.")
    if receipt["preflight"] is None:
        found.append("There is no preflight result: the run ended before it, or it was not part of the run.")
    elif gap := instance_tier_gap(receipt):
        found.append(f"The preflight is not whole: {gap}.")
    if receipt["mode"] != "preflight" and receipt["training"] is None:
        found.append("There is no training result: the run ended before it, or it was not part of the run.")
    return found


def clock(value: Any) -> str:
    """Format a time of the receipt as date and time to the second, in UTC; what is no time stays as it is."""
    moment = parse_time(value)
    return format_time(moment)[:19].replace("T", " ") + " UTC" if moment else (UNKNOWN if value is None else str(value))


def log_files(run_dir: Path) -> list[str]:
    """List the log files of a run, relative to its folder, in order of name."""
    return sorted(f"logs/{path.name}" for path in (run_dir / "logs").glob("*.log"))


def _writes_fact(writes: Mapping[str, Any], bucket: Any) -> tuple[str, str, str]:
    """Say in a word how often the data bucket was written to, and in small print what proves it."""
    count, denied = writes["data_bucket"], writes.get("denied")
    proof = changes_line({**writes["digest"], "changed": []}) if kept(writes) is False else proof_line(writes)
    value = "not counted" if count is None else f"{count:,}"
    if count is None and kept(writes) is not None:
        value = "none" if kept(writes) else "changed"
    refused = f"{denied:,} tried and refused" if denied else ""
    return "Data bucket writes", value, "\n".join(filter(None, (f"to {bucket}" if bucket else "", proof, refused)))


def _plain(value: Any) -> str:
    """Say a circumstance in a few words: of a training source, where it comes from."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if not isinstance(value, Mapping):
        return str(value)
    where = [str(value[key]) for key in ("url", "path", "ref", "revision") if value.get(key)]
    return " ".join(where) or ", ".join(f"{key} {entry}" for key, entry in value.items())


def _with_svg(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Hand rows to the template, their pictures marked as markup that is already escaped."""
    return [{"label": row.label, "value": row.value, "state": row.state, "svg": Markup(row.svg)} for row in rows]


def _error_log(receipt: Mapping[str, Any], logs: Sequence[str]) -> str | None:
    """Return the log of the step that failed, if there is one."""
    if receipt["outcome"] == "passed" or not receipt["failed_task"]:
        return None
    name = f"logs/{log_name(receipt['failed_step'])}.log"
    return name if name in logs else None
