# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The cost of a run, per attempt and in total."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..runs.events import parse_time
from .text import number

#: EC2 bills a Linux instance by the second, with this minimum.
LEAST_BILLED_SECONDS = 60
#: A spot instance that EC2 reclaims sooner than this is not billed.
FREE_SECONDS = 3600
FREE = "EC2 reclaimed the spot instance within its first hour, which is not billed"


def bill(attempts: Sequence[Mapping[str, Any]], cost: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Calculate the cost of a run, per attempt and in total.

    ``cost`` has default prices of the last instance; ``notes`` receives a line for each attempt whose cost is unknown.
    The result has the prices of the last instance, the sums (None if a part is unknown) and, as ``attempts``, the
    results of `bill_attempt`.
    """
    prices = [dict(attempt["instance"]) for attempt in attempts]
    last = next((known for known in reversed(prices) if known), {})
    for name, given in (
        ("price_usd_hour", "market_price_usd_hour"),
        ("on_demand_usd_hour", "on_demand_price_usd_hour"),
    ):
        if number(last.get(name)) is None:
            last[name] = cost.get(given)
    entries = [bill_attempt(attempt, known, notes) for attempt, known in zip(attempts, prices, strict=True)]
    return {
        "market_price_usd_hour": number(last.get("price_usd_hour")),
        "on_demand_price_usd_hour": number(last.get("on_demand_usd_hour")),
        "billed_seconds": _sum(entries, "billed_seconds", 0),
        "usd": _sum(entries, "usd", 6),
        "on_demand_usd": _sum(entries, "on_demand_usd", 6),
        "attempts": entries,
    }


def bill_attempt(attempt: Mapping[str, Any], prices: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Calculate the cost of one attempt; unknown is None, and ``free`` the reason why it cost nothing.

    Seconds = max(60, terminated - running), rounded up; dollars = price per hour x seconds / 3600. EC2 bills from
    running to terminated; if the time of running is unknown, the time of the request gives an upper bound.

    A Linux spot instance that EC2 interrupts within its first hour is not billed; one that its owner terminates or that
    is interrupted later is billed by the second (Amazon EC2 User Guide, "Billing for interrupted Spot Instances",
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/billing-for-interrupted-spot-instances.html; SUSE, which is not
    used here, differs). EC2 always bills the volume, which is not counted here.
    """
    instance, price, on_demand = (
        attempt["instance"],
        number(prices.get("price_usd_hour")),
        prices.get("on_demand_usd_hour"),
    )
    seconds = life_seconds(instance) if instance else 0
    if seconds is None:
        which = f"the cost of attempt {attempt['number']}"
        notes.append(f"{which} is unknown: the instance's start or end was not recorded")
    taken = bool(instance) and attempt["ended_by"] == "reclaim" and instance["market"] == "spot"
    free = FREE if taken and seconds is not None and seconds < FREE_SECONDS else None
    return {
        "number": attempt["number"],
        "billed_seconds": seconds,
        "market_price_usd_hour": price,
        "usd": 0.0 if free else _dollars(price, seconds),
        "on_demand_usd": _dollars(number(on_demand), seconds),
        "free": free,
    }


def life_seconds(instance: Mapping[str, Any]) -> int | None:
    """Return the billed seconds of an instance, at least 60; None if its times are unknown."""
    begun = parse_time(instance.get("running_at")) or parse_time(instance["requested_at"])
    ended = parse_time(instance["terminated_at"])
    if begun is None or ended is None:
        return None
    seconds: float = (ended - begun).total_seconds()
    return max(LEAST_BILLED_SECONDS, math.ceil(seconds))


def _dollars(hourly: float | None, seconds: int | None) -> float | None:
    """Return price x time; None if either is unknown, but 0 for no time."""
    if seconds == 0:
        return 0.0
    return None if hourly is None or seconds is None else round(hourly * seconds / 3600, 6)


def _sum(entries: Sequence[Mapping[str, Any]], name: str, digits: int) -> Any:
    """Sum a field over the attempts; None if one of them is unknown."""
    values = [entry[name] for entry in entries]
    if any(value is None for value in values):
        return None
    total = sum(values)
    return round(float(total), digits) if digits else int(total)
