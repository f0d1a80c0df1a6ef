"""The price: what spot costs now in each cell of the matrix, against on-demand and the highest price allowed."""

from __future__ import annotations

from .base import Finding, Status, worst
from .context import Context

REMEDY = "wait, add types or zones, or use on-demand: spot does not pay at the moment"


def run(context: Context) -> Finding:
    """Find the cheapest cell, and the cells that are too dear."""
    settings = context.settings
    if "spot" not in settings.markets:
        return Finding("pass", "no spot in spot_instance_markets")
    prices = context.prices
    if not prices:
        return Finding("fail", "EC2 has no spot price for any type in any zone of the matrix", "other types or zones")
    cheapest = min(prices, key=lambda cell: prices[cell])
    told = f"cheapest {cheapest[0]} in {cheapest[1]}: {prices[cheapest]:.4f} USD/h{_saving(context, cheapest)}"
    if settings.max_price:
        try:
            limit = float(settings.max_price)
        except ValueError:
            return Finding("fail", f"spot_instance_max_price={settings.max_price!r} is no number", "correct it")
        if all(price > limit for price in prices.values()):
            status: Status = "fail" if settings.markets == ("spot",) else "warn"
            text = f"spot_instance_max_price {limit:g} is below every current price, {told}"
            return Finding(
                status, text, "raise spot_instance_max_price, or leave it empty: spot never costs more than on-demand"
            )
    dear: list[tuple[Status, str]] = [
        ("warn", f"{kind} in {zone} costs {price:.4f} USD/h on spot, {settings.on_demand[kind]:g} on demand")
        for (kind, zone), price in prices.items()
        if kind in settings.on_demand and price >= settings.on_demand[kind]
    ]
    return worst(dear, told)


def _saving(context: Context, cell: tuple[str, str]) -> str:
    listed = context.settings.on_demand.get(cell[0])
    if not listed:
        return ", no on-demand price known"
    return f", {1 - context.prices[cell] / listed:.0%} below on-demand ({listed:g})"
