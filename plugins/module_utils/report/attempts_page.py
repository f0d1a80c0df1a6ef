# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The attempts on the report page: the offers tried, the cost, and what ended each attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..runs.attempts import LOST, ending, launched, resumption
from .text import UNKNOWN, counted, duration, number, usd


def attempts_context(receipt: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the template's variables for the attempts, or None if no launch was tried."""
    attempts = receipt["attempts"]
    if not attempts:
        return None
    return {
        "total": total(receipt) if len(attempts) > 1 else "",
        "attempts": [_attempt(*pair) for pair in zip(attempts, receipt["cost"]["attempts"], strict=True)],
    }


def total(receipt: Mapping[str, Any]) -> str:
    """Return the total cost of all attempts, compared with on demand."""
    cost = receipt["cost"]
    spent = f"{usd(cost['usd'])} for {duration(cost['billed_seconds'])}"
    return f"Total: {spent}{comparison(cost)}."


def comparison(cost: Mapping[str, Any]) -> str:
    """Return a suffix with the on-demand cost of the same time; empty if that is unknown or zero."""
    paid, listed = number(cost["usd"]), number(cost["on_demand_usd"])
    if not listed:
        return ""
    saved = "" if paid is None or paid >= listed else f", {1 - paid / listed:.0%} less"
    return f"; on demand {usd(listed)}{saved}"


def attempts_fact(receipt: Mapping[str, Any]) -> tuple[str, str, str]:
    """Count attempts and offers, as a fact of the page: name, value, small print."""
    attempts = receipt["attempts"]
    cells = [cell for attempt in attempts for cell in attempt["cells"]]
    refused = sum(bool(cell["error"]) for cell in cells)
    small = f"{counted(len(cells), 'offer')}, {refused} refused" if attempts else "no launch was tried"
    lost = sum(attempt["ended_by"] in LOST for attempt in attempts)
    if lost:
        small += f"\n{counted(lost, 'instance')} lost"
    return "Attempts", str(len(attempts)), small


def continued(receipt: Mapping[str, Any]) -> str:
    """Say that a run continued after losing an instance; empty if it lost none."""
    lost = [attempt for attempt in launched(receipt["attempts"])[:-1] if attempt["ended_by"] in LOST]
    if not lost:
        return ""
    return f" It lost {counted(len(lost), 'instance')} and continued on another."


def _attempt(attempt: Mapping[str, Any], bill: Mapping[str, Any]) -> dict[str, Any]:
    instance = attempt["instance"]
    place = ", ".join(str(instance[name]) for name in ("type", "az", "market") if instance.get(name))
    text = f"{ending(attempt)}{resumption(attempt)}"
    return {
        "title": f"Attempt {attempt['number']}",
        "place": place,
        "state": _state(attempt),
        "said": f"{text[0].upper()}{text[1:]}." if attempt["ended_by"] or not instance else "",
        "instance": instance,
        "confirmed": (attempt["interruption"] or {}).get("confirmed_by"),
        "bill": bill,
        "comparison": comparison(bill).removeprefix("; "),
        "cells": attempt["cells"],
    }


def _state(attempt: Mapping[str, Any]) -> str:
    """Return the tag of an attempt that did not succeed; empty for one that did."""
    if not attempt["instance"]:
        return "no instance"
    return {"reclaim": "reclaimed", "vanished": "vanished", "failure": "failed"}.get(str(attempt["ended_by"]), "")


def price(value: Any) -> str:
    """Format a price per hour; a dash if it is unknown."""
    return UNKNOWN if number(value) is None else f"${value:,.4f}"
