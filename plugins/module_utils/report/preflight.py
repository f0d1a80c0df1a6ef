# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The preflight on the report page: failures and warnings, all checks by group, the ages of the symbols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from markupsafe import Markup

from ..checks.records import GROUPS, instance_tier_gap, instance_tier_ran, seconds_of, tally, with_status
from .ages import age_axis, age_rows
from .charts import time_bars
from .summary import oldest_first
from .text import counted, duration

#: Number of symbols shown before the rest is folded.
NAMED_SYMBOLS = 12
OTHER_GROUP = "Other checks"

Check = Mapping[str, Any]


def preflight_context(receipt: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the template's variables for the preflight, or None without a preflight."""
    preflight = receipt["preflight"]
    if preflight is None:
        return None
    checks = preflight["checks"]
    return {
        "intro": intro(receipt),
        "urgent": [
            {"title": title, "status": status, "checks": [_urgent(check) for check in found]}
            for status, title in (("fail", "Failed"), ("warn", "Warnings"))
            if (found := with_status(checks, status))
        ],
        "groups": groups(checks),
        "freshness": freshness(preflight),
        "lists": [
            {"title": title, "intro": words, **_folded(preflight[key])}
            for key, title, words in (
                ("missing", "Missing symbols", "Expected, but not in the universe."),
                ("new", "New symbols", "In the universe, but not expected."),
            )
            if preflight[key]
        ],
    }


def intro(receipt: Mapping[str, Any]) -> str:
    """Count the checks by result, and give the duration of each tier."""
    preflight = receipt["preflight"]
    checks = preflight["checks"]
    if not checks:
        return "The result contains no checks."
    parts = [f"{counted(len(checks), 'check')}: {tally(checks)}."]
    if any(check["tier"] == "controller" for check in checks):
        took = _took(preflight["controller_seconds"])
        parts.append(f"The account was checked before the launch{took}.")
    if instance_tier_ran(preflight):
        took = _took(preflight["seconds"])
        parts.append(f"The instance was checked before any training{took}.")
    else:
        gap = instance_tier_gap(receipt)
        parts.append(f"{gap[0].upper()}{gap[1:]}.")
    return " ".join(parts)


def groups(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Sort checks into the groups in order; within a group, keep the given order."""
    bars = time_bars([check["seconds"] for check in checks])
    drawn = [(check, Markup(bar)) for check, bar in zip(checks, bars, strict=True)]
    found = []
    for name, title in [*GROUPS.items(), ("", OTHER_GROUP)]:
        members = [check for check in checks if check["group"] == name]
        if members:
            took = "" if (seconds := seconds_of(members)) is None else f", {duration(seconds)}"
            summary = tally(members).removesuffix(", 0 failed") + took
            rows = [{"check": check, "bar": bar} for check, bar in drawn if check["group"] == name]
            found.append({"title": title, "summary": summary, "rows": rows})
    return found


def freshness(preflight: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the chart of ages and the lists of stale and unreadable symbols; None without symbols."""
    ages, stale, unreadable = preflight["ages"], preflight["stale"], preflight["unreadable"]
    rows = age_rows(ages, stale, list(unreadable), preflight["limit"])
    if not rows:
        return None
    ordered = oldest_first(preflight)
    counts = {state: sum(row.count for row in rows if row.state == state) for state in ("fresh", "stale", "unreadable")}
    summary = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count or state != "unreadable")
    reasons = sorted(unreadable.items())
    return {
        "rows": [{**vars(row), "svg": Markup(row.svg)} for row in rows],
        "axis": Markup(age_axis(rows)),
        "summary": summary,
        "named": [(name, _age(ages.get(name))) for name in ordered[:NAMED_SYMBOLS]],
        "rest": len(ordered[NAMED_SYMBOLS:]),
        # With thousands of names, a line per age is a tenth of the markup of a line per name.
        "rest_by_age": [
            (age, ", ".join(names)) for age, names in groupby(ordered[NAMED_SYMBOLS:], lambda n: _age(ages.get(n)))
        ],
        "reasons": reasons[:NAMED_SYMBOLS],
        "more_reasons": reasons[NAMED_SYMBOLS:],
    }


def _urgent(check: Check) -> dict[str, Any]:
    """Return a check with its items, unless its detail names them all."""
    items = check["items"] if isinstance(check.get("items"), list) else []
    return {**check, "items": items if any(item not in check["detail"] for item in items) else []}


def _folded(symbols: Sequence[str]) -> dict[str, Any]:
    """Split symbols into those shown and the folded rest."""
    named, rest = symbols[:NAMED_SYMBOLS], symbols[NAMED_SYMBOLS:]
    return {"count": len(symbols), "named": ", ".join(named), "rest": len(rest), "rest_named": ", ".join(rest)}


def _age(age: int | None) -> str:
    """Format an age."""
    return "age unknown" if age is None else counted(age, "trading day")


def _took(seconds: Any) -> str:
    """Format a duration as a suffix; empty if unknown."""
    return "" if seconds is None else f", in {duration(seconds)}"
