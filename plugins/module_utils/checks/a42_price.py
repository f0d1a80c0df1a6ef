"""The price: current spot prices of the offers, compared with on-demand and the price cap."""

from __future__ import annotations

import math

from .base import Finding, Status, worst
from .context import Context

REMEDY = "wait, add types or zones, or use on-demand: spot is not cheaper at the moment"
RAISE = "raise spot_instance_max_price, or leave it empty: spot never costs more than on-demand"


def run(context: Context) -> Finding:
    """Find the cheapest offer, the offers above the cap, and whether on-demand is a last resort under the cap."""
    settings = context.settings
    try:
        limit = float(settings.max_price) if settings.max_price else math.inf
    except ValueError:
        return Finding("fail", f"spot_instance_max_price: expected a number, got {settings.max_price!r}", "correct it")
    last_resort = "on-demand" in settings.markets and any(
        settings.on_demand.get(kind, math.inf) <= limit for kind in settings.types
    )
    if "spot" not in settings.markets:
        if last_resort:
            return Finding("pass", "spot_instance_markets has no spot market")
        return Finding("fail", f"spot_instance_max_price {limit:g} is below every known on-demand price", RAISE)
    prices = context.prices
    if not prices:
        return Finding("fail", "EC2 has no spot price for any type in any zone", "use other types or zones")
    cheapest = min(prices, key=prices.__getitem__)
    summary = f"cheapest {cheapest[0]} in {cheapest[1]}: {prices[cheapest]:.4f} USD/h{_saving(context, cheapest)}"
    if all(price > limit for price in prices.values()):
        text = f"spot_instance_max_price {limit:g} is below every current price, {summary}"
        return Finding("warn" if last_resort else "fail", text, RAISE)
    dear: list[tuple[Status, str]] = [
        ("warn", f"{kind} in {zone} costs {price:.4f} USD/h on spot, {settings.on_demand[kind]:g} on demand")
        for (kind, zone), price in prices.items()
        if kind in settings.on_demand and price >= settings.on_demand[kind]
    ]
    if "on-demand" in settings.markets and not last_resort:
        text = "on-demand is not available as a last resort: spot_instance_max_price"
        dear.append(("warn", f"{text} {limit:g} is below its prices, too"))
    return worst(dear, summary)


def _saving(context: Context, offer: tuple[str, str]) -> str:
    listed = context.settings.on_demand.get(offer[0])
    if not listed:
        return ", on-demand price unknown"
    return f", {1 - context.prices[offer] / listed:.0%} below on-demand ({listed:g})"
