"""Quotas of vCPUs, and launches above a quota that a fault sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

SPOT, ON_DEMAND = "L-34B43A08", "L-1216C47A"
SPOT_MARKET = {"InstanceMarketOptions": {"MarketType": "spot"}}
Faults = Callable[..., dict[str, Any]]
Launch = Callable[..., str]


def value(server: Any, code: str) -> float:
    answer = server.client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode=code)
    return float(answer["Quota"]["Value"])


def test_both_quotas_are_listed(server: Any) -> None:
    client = server.client("service-quotas")
    listed = {each["QuotaCode"]: each["Value"] for each in client.list_service_quotas(ServiceCode="ec2")["Quotas"]}
    assert listed == {SPOT: value(server, SPOT), ON_DEMAND: value(server, ON_DEMAND)}
    assert min(listed.values()) >= 8
    default = client.get_aws_default_service_quota(ServiceCode="ec2", QuotaCode=SPOT)["Quota"]
    assert (default["QuotaCode"], default["Adjustable"], default["ServiceCode"]) == (SPOT, True, "ec2")


@pytest.mark.parametrize(("service", "code"), [("ec2", "L-00000000"), ("nothing", SPOT)])
def test_unknown_quota_is_not_found(server: Any, service: str, code: str) -> None:
    with pytest.raises(ClientError, match="NoSuchResourceException"):
        server.client("service-quotas").get_service_quota(ServiceCode=service, QuotaCode=code)


def test_fault_lowers_the_quota_of_its_code_only(server: Any, faults: Faults) -> None:
    before = value(server, ON_DEMAND)
    faults("quota", "value=4", f"code={SPOT}")
    assert (value(server, SPOT), value(server, ON_DEMAND)) == (4, before)
    faults("clear")
    assert value(server, SPOT) == before


def test_launch_over_a_lowered_quota_is_refused(server: Any, faults: Faults, launch: Launch) -> None:
    faults("quota")  # both are 0
    with pytest.raises(ClientError, match="MaxSpotInstanceCountExceeded"):
        launch(**SPOT_MARKET)
    with pytest.raises(ClientError, match="VcpuLimitExceeded"):
        launch()
    faults("clear")
    faults("quota", "value=1000")
    launch(**SPOT_MARKET)


def test_quota_actions_need_a_wildcard_resource(server: Any, iam_user: Callable[..., Any]) -> None:
    arn = f"arn:aws:servicequotas:us-east-1:123456789012:ec2/{SPOT}"
    statement = {"Effect": "Allow", "Action": "servicequotas:GetServiceQuota", "Resource": arn}
    with pytest.raises(ClientError, match="AccessDenied"):
        iam_user(statement)("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode=SPOT)
    client = iam_user({**statement, "Resource": "*"})("service-quotas")
    assert client.get_service_quota(ServiceCode="ec2", QuotaCode=SPOT)["Quota"]["QuotaCode"] == SPOT
