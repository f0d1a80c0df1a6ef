# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The launch matrix: which offers (market x type x subnet) to try, and in which order."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

#: This project's codes for offers that are never requested; all other codes are EC2's.
ABOVE_CAP, PRICE_UNKNOWN = "PriceAboveCap", "PriceUnknown"

Offer = dict[str, Any]
"""``{market, type, subnet, az, price_usd_hour}``; the price is None if unknown."""


def read_cap(text: str) -> float | None:
    """Parse a price cap in USD an hour; None for an empty text, a ValueError unless it is a positive number."""
    if not text.strip():
        return None
    try:
        cap = float(text)
    except ValueError:
        cap = math.nan
    if not (math.isfinite(cap) and cap > 0):
        raise ValueError(
            f"spot_instance_max_price: expected USD an hour (for example 0.05) or an empty text, got {text!r}"
        )
    return cap


def newest_prices(history: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    """The current spot price in USD an hour by type and zone, from entries of DescribeSpotPriceHistory."""
    newest: dict[tuple[str, str], Mapping[str, Any]] = {}
    for entry in history:
        pair = (entry["InstanceType"], entry["AvailabilityZone"])
        if pair not in newest or entry["Timestamp"] > newest[pair]["Timestamp"]:
            newest[pair] = entry
    return {pair: float(entry["SpotPrice"]) for pair, entry in newest.items()}


def spot_prices(ec2: Any, types: Sequence[str], zones: Collection[str]) -> dict[tuple[str, str], float]:
    """Ask EC2 for the current spot price in USD an hour of every type in every zone, in one listing."""
    pages = ec2.get_paginator("describe_spot_price_history").paginate(
        InstanceTypes=list(types),
        ProductDescriptions=["Linux/UNIX"],
        StartTime=datetime.now(UTC),  # EC2 then returns the price that is valid now, and no history
    )
    return newest_prices(
        entry for page in pages for entry in page["SpotPriceHistory"] if entry["AvailabilityZone"] in zones
    )


def order_offers(
    types: Sequence[str],
    subnets: Sequence[Mapping[str, str]],
    markets: Sequence[str],
    spot: Mapping[tuple[str, str], float],
    on_demand: Mapping[str, float],
    cap: float | None,
) -> tuple[list[Offer], list[Offer]]:
    """Order the offers: spot by price, then on-demand by price as the last resort.

    Equal prices keep the order of types, then of subnets. An offer without a known price comes last in its market.

    Args:
        types: instance types, the best first.
        subnets: ``{subnet_id, availability_zone}``, the best first.
        markets: the allowed markets, in any order.
        spot: USD an hour by type and zone.
        on_demand: USD an hour by type.
        cap: highest price in USD an hour for either market, or None.

    Returns:
        The offers to try, and the excluded ones, each with ``error``: above the cap, or on-demand at an unknown price
        under a cap (a spot request carries the cap as its highest price, an on-demand request cannot).
    """
    allowed: list[Offer] = []
    refused: list[Offer] = []
    for market in ("spot", "on-demand"):
        if market not in markets:
            continue
        offers = [
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
        # Sorting is stable: equal prices keep the user's order.
        for offer in sorted(offers, key=_price):
            if error := _refusal(offer, cap):
                refused.append({**offer, "error": error})
            else:
                allowed.append(offer)
    return allowed, refused


def _price(offer: Offer) -> float:
    return math.inf if offer["price_usd_hour"] is None else offer["price_usd_hour"]


def _refusal(offer: Offer, cap: float | None) -> str | None:
    """The code that excludes an offer under a cap; None if it may be tried."""
    if cap is None or _price(offer) <= cap:
        return None
    if offer["price_usd_hour"] is None:
        return PRICE_UNKNOWN if offer["market"] == "on-demand" else None
    return ABOVE_CAP
