# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The preflight on the report page: what to mend first, then every check by group, then the universe's ages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from markupsafe import Markup

from ..checks.records import (
    GROUPS,
    instance_tier_gap,
    instance_tier_ran,
    seconds_of,
    tally,
    with_status,
)
from .ages import age_axis, age_rows
from .charts import time_bars
from .text import counted, duration

#: Symbols that are named before the rest folds away.
NAMED_SYMBOLS = 12
OTHER_GROUP = "Other checks"

Check = Mapping[str, Any]


def preflight_context(receipt: Mapping[str, Any]) -> dict[str, Any] | None:
    """Choose what the page shows of the preflight.

    Args:
        receipt: the receipt.

    Returns:
        The template's variables, or None where there was no preflight.
    """
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
                ("missing", "Missing symbols", "Expected, and not in the universe."),
                ("new", "New symbols", "In the universe, and not expected."),
            )
            if preflight[key]
        ],
    }


def intro(receipt: Mapping[str, Any]) -> str:
    """Say how many checks there were, what came of them, and how long each tier took."""
    preflight = receipt["preflight"]
    checks = preflight["checks"]
    if not checks:
        return "The result holds no checks."
    parts = [f"{counted(len(checks), 'check')}: {tally(checks)}."]
    if any(check["tier"] == "controller" for check in checks):
        took = _took(preflight["controller_seconds"])
        parts.append(f"The account was checked before anything was launched{took}.")
    if instance_tier_ran(preflight):
        took = _took(preflight["seconds"])
        parts.append(f"What only the machine can tell was checked on it before anything trained{took}.")
    else:
        gap = instance_tier_gap(receipt)
        parts.append(f"{gap[0].upper()}{gap[1:]}.")
    return " ".join(parts)


def groups(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Sort checks into their groups, in the order in which people see them; within one in the given order."""
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
    """Prepare the picture of ages and the lists of symbols that are not fresh."""
    ages, stale, unreadable = preflight["ages"], preflight["stale"], preflight["unreadable"]
    rows = age_rows(ages, stale, list(unreadable), preflight["limit"])
    if not rows:
        return None
    ordered = sorted(stale, key=lambda name: (-(10**9 if ages.get(name) is None else ages[name]), name))
    counts = {state: sum(row.count for row in rows if row.state == state) for state in ("fresh", "stale", "unreadable")}
    summary = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count or state != "unreadable")
    reasons = sorted(unreadable.items())
    return {
        "rows": [{**vars(row), "svg": Markup(row.svg)} for row in rows],
        "axis": Markup(age_axis(rows)),
        "summary": summary,
        "named": [(name, _age(ages.get(name))) for name in ordered[:NAMED_SYMBOLS]],
        "rest": len(ordered[NAMED_SYMBOLS:]),
        # Thousands of names: a line for each age is a tenth of the markup of a line for each name.
        "rest_by_age": [
            (age, ", ".join(names)) for age, names in groupby(ordered[NAMED_SYMBOLS:], lambda n: _age(ages.get(n)))
        ],
        "reasons": reasons[:NAMED_SYMBOLS],
        "more_reasons": reasons[NAMED_SYMBOLS:],
    }


def _urgent(check: Check) -> dict[str, Any]:
    """Add to a check the single things that are wrong, where its detail does not name them all."""
    items = check["items"] if isinstance(check.get("items"), list) else []
    return {**check, "items": items if any(item not in check["detail"] for item in items) else []}


def _folded(symbols: Sequence[str]) -> dict[str, Any]:
    """Name the first symbols, and keep the rest for those who unfold them."""
    named, rest = symbols[:NAMED_SYMBOLS], symbols[NAMED_SYMBOLS:]
    return {"count": len(symbols), "named": ", ".join(named), "rest": len(rest), "rest_named": ", ".join(rest)}


def _age(age: int | None) -> str:
    """Say an age in words."""
    return "age unknown" if age is None else counted(age, "trading day")


def _took(seconds: Any) -> str:
    """Say how long it took, where that is known."""
    return "" if seconds is None else f", in {duration(seconds)}"
