# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The checks of the preflight in the receipt, on the page and in the terminal.

All of them, also ``plugins/action/preflight_verdict.py``, read and format records here, so that a failed check has the
same text everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..report.text import counted, duration, number
from ..runs.text import clean

#: Worst first.
CHECK_STATES = ("fail", "warn", "pass")
TIERS = ("controller", "instance")
#: The groups in the order of display, with their headings.
GROUPS = {
    "account": "The account",
    "software": "Software",
    "machine": "Machine",
    "training": "Training",
    "data": "Data",
}
UNNAMED = "unnamed check"
FIX_RECORD = (
    "Correct the check that reports this: a record has a name, a status (pass, warn or fail), a detail and a remedy."
)
#: Characters of a damaged record to show.
LONGEST_QUOTE = 120


def one_line(value: object) -> str:
    """Return a value as one line without control characters; nothing for None."""
    return "" if value is None else " ".join(clean(value).split())


def read_check(entry: Any, tier: str = "") -> tuple[dict[str, Any], bool]:
    """Read the record of one check: ``{name, tier, group, status, detail, remedy, seconds}`` with any other fields.

    Returned is also whether it was valid: a malformed record, or one with an unknown status, counts as failed. All text
    is one line. An unknown tier or group is empty, an unknown time None; ``tier`` overrides the tier in the record.
    """
    fields = dict(entry) if isinstance(entry, Mapping) else {}
    sound = isinstance(entry, Mapping) and fields.get("status") in CHECK_STATES
    status = str(fields["status"]) if sound else "fail"
    detail, remedy = one_line(fields.get("detail")), one_line(fields.get("remedy"))
    if not isinstance(entry, Mapping):
        detail = f"not a record of a check, so it counts as failed: {_quote(entry)}"
    elif not sound:
        known = f"its status is {_quote(fields['status'])!r}" if "status" in fields else "it has no status"
        detail = ": ".join(part for part in (f"{known}, so it counts as failed", detail) if part)
    if isinstance(fields.get("items"), list):
        fields["items"] = [one_line(item) for item in fields["items"]]
    own_tier = fields.get("tier") if fields.get("tier") in TIERS else ""
    group = fields.get("group")
    return {
        **fields,
        "name": one_line(fields.get("name")) or UNNAMED,
        "tier": tier or own_tier,
        "group": group if isinstance(group, str) and group in GROUPS else "",
        "status": status,
        "detail": detail,
        "remedy": remedy if sound else remedy or FIX_RECORD,
        "seconds": number(fields.get("seconds")),
    }, sound


def worst_first(checks: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sort checks: failures, warnings, passes; within a status in the given order."""
    return sorted(checks, key=lambda check: CHECK_STATES.index(check["status"]))


def with_status(checks: Iterable[Mapping[str, Any]], status: str) -> list[Mapping[str, Any]]:
    """Return the checks of one status, in the given order."""
    return [check for check in checks if check["status"] == status]


def tally(checks: Iterable[Mapping[str, Any]]) -> str:
    """Count checks by status: ``21 passed, 1 warning, 2 failed``; warnings only if there are any."""
    counts = Counter(check["status"] for check in checks)
    warned = [counted(counts["warn"], "warning")] if counts["warn"] else []
    return ", ".join([f"{counts['pass']} passed", *warned, f"{counts['fail']} failed"])


def seconds_of(checks: Iterable[Mapping[str, Any]]) -> float | None:
    """Add up the times of checks; None if none is known."""
    known = [check["seconds"] for check in checks if check["seconds"] is not None]
    return sum(known) if known else None


def instance_tier_ran(preflight: Mapping[str, Any] | None) -> bool:
    """Whether the preflight has a check of the instance."""
    # A record without a tier is the instance's: older receipts had only one tier.
    return any(check.get("tier") != "controller" for check in (preflight or {}).get("checks", []))


def instance_tier_gap(receipt: Mapping[str, Any]) -> str:
    """Say why a receipt has no result of the instance's tier; empty if it has one."""
    if instance_tier_ran(receipt["preflight"]):
        return ""
    begun = any(step["name"] == "preflight" and step["status"] != "skipped" for step in receipt["steps"])
    return "the instance tier left no result" if begun else "the instance tier did not run"


def sentence(check: Mapping[str, Any]) -> str:
    """Format a check that did not pass: name, detail, remedy."""
    detail, remedy = check["detail"], check["remedy"]
    if detail and remedy:
        # A full stop marks the end of the detail.
        detail += " " if detail.endswith((".", "!", "?")) else ". "
    return f"{check['name']}: {detail}{f'Do: {remedy}' if remedy else ''}".rstrip(": ")


def verdict(checks: Sequence[Mapping[str, Any]], symbols: int | None = None) -> tuple[bool, str]:
    """Return whether the run may continue after checks as `read_check` returns them, and a sentence.

    It has every failed check with its detail and remedy, or the counts, also of the ``symbols`` that were examined.
    """
    if not checks:
        return False, "The preflight failed: it has no check, so it proves nothing"
    failed = with_status(checks, "fail")
    if failed:
        return False, (
            f"The preflight failed: {len(failed)} of {counted(len(checks), 'check')}. "
            f"{'; '.join(sentence(check) for check in failed)}"
        )
    warned = len(with_status(checks, "warn"))
    parts = [f"{counted(len(checks), 'check')} passed"]
    parts += [counted(warned, "warning")] if warned else []
    parts += [] if symbols is None else [counted(symbols, "symbol")]
    return True, ", ".join(parts)


def table(checks: Sequence[Mapping[str, Any]], title: str, width: int) -> list[tuple[str, str]]:
    """Format checks as `read_check` returns them for a terminal, worst first. Only passed ones are cut to its width.

    Returned are lines, each with its status, which is empty for the first, the title, and the last line.
    """
    lines = [("", one_line(title))]
    longest = max((len(check["name"]) for check in checks), default=0)
    slowest = max((len(duration(check["seconds"])) for check in checks), default=0)
    for check in worst_first(checks):
        status = str(check["status"])
        took = f"{duration(check['seconds']):>{slowest}}"
        line = f"{status.upper()}  {check['name']:{longest}}  {took}  {check['detail']}".rstrip()
        if status == "pass" and len(line) > width:
            line = line[: max(width - 1, 0)] + "…"
        lines.append((status, line))
        if status != "pass" and check["remedy"]:
            lines.append((status, f"      do: {check['remedy']}"))
    seconds = seconds_of(checks)
    took = "" if seconds is None else f", {duration(seconds)}"
    return [*lines, ("", f"{counted(len(checks), 'check')}: {tally(checks)}{took}")]


def _quote(value: object) -> str:
    """Return the beginning of an invalid value."""
    text = one_line(value)
    return text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 1] + "…"
