# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The launch matrix: which cells of market x type x subnet to try, and in which order. No request is made here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: Codes of this project for cells that EC2 is never asked for, beside EC2's own codes for those that it refused.
ABOVE_CAP, PRICE_UNKNOWN = "PriceAboveCap", "PriceUnknown"

Cell = dict[str, Any]
"""``{market, type, subnet, az, price_usd_hour}``; the price is None where none is known."""


def read_cap(text: str) -> float | None:
    """The highest price in USD an hour that a text allows; None for an empty one.

    Raises:
        ValueError: It is no positive number.
    """
    if not text.strip():
        return None
    try:
        cap = float(text)
    except ValueError:
        cap = math.nan
    if not (math.isfinite(cap) and cap > 0):
        raise ValueError(
            f"spot_instance_max_price={text!r} is no price: give USD an hour, for example 0.05, or nothing"
        )
    return cap


def newest_prices(offers: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    """The current spot price in USD an hour by type and zone, of entries of DescribeSpotPriceHistory.

    A history is not only of now: the newest entry of a pair is its price.
    """
    newest: dict[tuple[str, str], Mapping[str, Any]] = {}
    for offer in offers:
        pair = (offer["InstanceType"], offer["AvailabilityZone"])
        if pair not in newest or offer["Timestamp"] > newest[pair]["Timestamp"]:
            newest[pair] = offer
    return {pair: float(offer["SpotPrice"]) for pair, offer in newest.items()}


def order_cells(
    types: Sequence[str],
    subnets: Sequence[Mapping[str, str]],
    markets: Sequence[str],
    spot: Mapping[tuple[str, str], float],
    on_demand: Mapping[str, float],
    cap: float | None,
) -> tuple[list[Cell], list[Cell]]:
    """Order the cells: spot by price, then on-demand by price as the last resort.

    Equal prices keep the order of types, then of subnets. A cell without a known price comes last in its market.

    Args:
        types: instance types, the best first.
        subnets: ``{subnet_id, availability_zone}``, the best first.
        markets: which markets the user allows; their order does not count.
        spot: spot price in USD an hour by type and zone.
        on_demand: list price in USD an hour by type.
        cap: highest price in USD an hour for either market, or None.

    Returns:
        The cells to try, and those that are not to be tried, each with ``error``: above the cap, or on-demand at an
        unknown price under a cap (a spot launch carries the cap as its highest price, an on-demand launch cannot).
    """
    allowed: list[Cell] = []
    refused: list[Cell] = []
    for market in ("spot", "on-demand"):
        if market not in markets:
            continue
        cells = [
            {
                "market": market,
                "type": kind,
                "subnet": subnet["subnet_id"],
                "az": subnet["availability_zone"],
                "price_usd_hour": spot.get((kind, subnet["availability_zone"]))
                if market == "spot"
                else on_demand.get(kind),
            }
            for kind in types
            for subnet in subnets
        ]
        # Sorting is stable: what costs the same stays in the user's order.
        for cell in sorted(
            cells, key=lambda each: math.inf if each["price_usd_hour"] is None else each["price_usd_hour"]
        ):
            error = _refusal(cell, cap)
            if error:
                refused.append({**cell, "error": error})
            else:
                allowed.append(cell)
    return allowed, refused


def _refusal(cell: Cell, cap: float | None) -> str | None:
    """Why a cell is not to be tried under a cap; None where it is."""
    if cap is None:
        return None
    if cell["price_usd_hour"] is None:
        return PRICE_UNKNOWN if cell["market"] == "on-demand" else None
    return ABOVE_CAP if cell["price_usd_hour"] > cap else None
