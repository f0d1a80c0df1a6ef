"""The order of the launch matrix."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.aws.offers import newest_prices, order_offers, read_cap

SUBNETS = [{"subnet_id": f"subnet-{zone}", "availability_zone": f"us-east-1{zone}"} for zone in "ab"]
ON_DEMAND = {"r5.large": 0.126, "m5.large": 0.096}
SPOT = {
    ("r5.large", "us-east-1a"): 0.05,
    ("r5.large", "us-east-1b"): 0.04,
    ("m5.large", "us-east-1a"): 0.04,
    ("m5.large", "us-east-1b"): 0.06,
}


def order(
    types: tuple[str, ...] = ("r5.large", "m5.large"),
    markets: tuple[str, ...] = ("spot",),
    spot: dict[tuple[str, str], float] = SPOT,
    on_demand: dict[str, float] = ON_DEMAND,
    cap: float | None = None,
) -> tuple[list[str], list[str]]:
    offers, refused = order_offers(types, SUBNETS, markets, spot, on_demand, cap)
    return [name(offer) for offer in offers], [f"{name(offer)} {offer['error']}" for offer in refused]


def name(offer: dict[str, Any]) -> str:
    return f"{offer['market']} {offer['type']} {offer['az'][-1]}"


def test_the_cheapest_comes_first_and_equal_prices_keep_the_users_order() -> None:
    assert order()[0] == ["spot r5.large b", "spot m5.large a", "spot r5.large a", "spot m5.large b"]
    assert order(types=("m5.large", "r5.large"))[0][:2] == ["spot m5.large a", "spot r5.large b"]
    level = dict.fromkeys(SPOT, 0.04)
    assert order(spot=level)[0] == ["spot r5.large a", "spot r5.large b", "spot m5.large a", "spot m5.large b"]


def test_a_pair_without_a_price_comes_last() -> None:
    known = {pair: price for pair, price in SPOT.items() if pair != ("r5.large", "us-east-1b")}
    assert order(spot=known)[0][-1] == "spot r5.large b"
    offers, _ = order_offers(["r5.large"], SUBNETS, ["spot"], known, {}, None)
    assert offers[-1] == {
        "market": "spot",
        "type": "r5.large",
        "subnet": "subnet-b",
        "az": "us-east-1b",
        "price_usd_hour": None,
    }


def test_on_demand_is_tried_only_when_asked_for_and_last_whatever_the_order_of_the_markets() -> None:
    assert not any("on-demand" in offer for offer in order()[0])
    for markets in (("spot", "on-demand"), ("on-demand", "spot")):
        offers = order(markets=markets, spot=dict.fromkeys(SPOT, 0.5))[0]
        assert [offer.split()[0] for offer in offers] == ["spot"] * 4 + ["on-demand"] * 4
        assert offers[4:] == [f"on-demand {kind}.large {zone}" for kind in ("m5", "r5") for zone in "ab"]


def test_the_cap_holds_for_both_markets() -> None:
    offers, refused = order(markets=("spot", "on-demand"), cap=0.05)
    assert offers == ["spot r5.large b", "spot m5.large a", "spot r5.large a"]
    assert refused == [
        "spot m5.large b PriceAboveCap",
        *[f"on-demand {kind}.large {zone} PriceAboveCap" for kind in ("m5", "r5") for zone in "ab"],
    ]


def test_under_a_cap_an_unknown_price_is_left_to_ec2_on_spot_and_never_risked_on_demand() -> None:
    offers, refused = order(types=("r5.large",), markets=("spot", "on-demand"), spot={}, on_demand={}, cap=0.05)
    assert offers == ["spot r5.large a", "spot r5.large b"]
    assert refused == ["on-demand r5.large a PriceUnknown", "on-demand r5.large b PriceUnknown"]


def test_the_newest_entry_of_a_history_is_the_price() -> None:
    def offer(day: int, price: str) -> dict[str, Any]:
        at = datetime(2026, 1, day, tzinfo=UTC)
        return {
            "InstanceType": "r5.large",
            "AvailabilityZone": "us-east-1a",
            "Timestamp": at,
            "SpotPrice": price,
        }

    assert newest_prices([offer(1, "0.03"), offer(3, "0.05"), offer(2, "0.04")]) == {("r5.large", "us-east-1a"): 0.05}


@pytest.mark.parametrize("text", ["cheap", "0", "-1", "nan", "inf"])
def test_invalid_cap_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected USD an hour"):
        read_cap(text)


def test_an_empty_cap_is_none() -> None:
    assert read_cap(" ") is None
    assert read_cap("0.05") == 0.05
