"""The launch as the role plays it: rotation, stops, caps, and later attempts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.launch.conftest import Launching

pytestmark = pytest.mark.slow

CAPACITY = "InsufficientInstanceCapacity"


def test_lack_of_capacity_leads_to_the_next_offer(faults: Launching) -> None:
    codes = [CAPACITY, "InsufficientHostCapacity", "SpotMaxPriceTooLow", "Unsupported", "InvalidAvailabilityZone"]
    offers = [(kind, f"us-east-1{zone}") for kind in ("c5.large", "m5.large", "r5.large") for zone in "ab"]
    for code, (kind, zone) in zip(codes, offers, strict=False):
        faults.local_aws("fault", "capacity", f"code={code}", f"type={kind}", f"az={zone}")
    done = faults.role("rotates", spot_instance_types=["c5.large", "m5.large", "r5.large"])
    assert done.code == 0, done.output
    tried = [(offer["type"], offer["az"], offer["error"]) for offer in done.offers]
    assert tried == [(*offer, code) for offer, code in zip(offers, [*codes, None], strict=True)]
    prices = [offer["price_usd_hour"] for offer in done.offers]
    assert prices == sorted(prices) and prices[-1] == 0.04788
    info = done.instance
    assert (info["type"], info["market"], info["az"]) == ("r5.large", "spot", "us-east-1b")
    assert (info["price_usd_hour"], info["on_demand_usd_hour"]) == (0.04788, 0.126)
    assert (done.record["host"], done.facts["trainers"]) == ("trainer", ["trainer"])
    assert done.recorded == done.record["attempts"]
    (attempt,) = done.recorded
    assert attempt == {
        "number": 1,
        "instance": info,
        "cells": done.offers,
        "ended_by": None,
        "interruption": None,
        "resumed_folds": None,
    }


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (("error", "status=403", "code=UnauthorizedOperation"), "UnauthorizedOperation", "Nothing was launched"),
        (("quota", "value=0"), "MaxSpotInstanceCountExceeded", "request an increase (Service Quotas"),
    ],
)
def test_other_errors_fail_immediately(faults: Launching, fault: tuple[str, ...], code: str, words: str) -> None:
    kind, *more = fault
    selected = ["service=ec2", "action=RunInstances"] if kind == "error" else []
    faults.local_aws("fault", kind, *more, *selected)
    before = faults.mark()
    done = faults.role(f"stops-{code}")
    assert done.code == 2
    assert code in done.output and words in done.output
    assert done.refused == [("c5.large", code)]
    assert (done.record["outcome"], done.instance) == ("", {})
    assert len(faults.requests("RunInstances", before)) == 1
    assert done.recorded[0]["instance"] == {}


def test_matrix_without_capacity_lists_its_offers(faults: Launching) -> None:
    faults.local_aws("fault", "capacity", f"code={CAPACITY}")
    done = faults.role("exhausted", spot_instance_markets=["spot", "on-demand"])
    assert done.code == 2
    assert done.record["outcome"] == "no_capacity"
    assert done.refused == [(kind, CAPACITY) for kind in ("c5.large", "c5.large", "r5.large", "r5.large") * 2]
    assert [offer["market"] for offer in done.offers] == ["spot"] * 4 + ["on-demand"] * 4
    assert f"spot r5.large in us-east-1b: {CAPACITY}; on-demand c5.large in us-east-1a: {CAPACITY}" in done.output
    assert faults.live("exhausted") == []


def test_on_demand_is_the_last_resort_within_the_cap(faults: Launching) -> None:
    faults.local_aws("fault", "capacity", f"code={CAPACITY}", "market=spot")
    done = faults.role("last-resort", spot_instance_markets=["on-demand", "spot"], spot_instance_max_price="0.09")
    assert done.code == 0, done.output
    assert done.refused == [
        ("r5.large", "PriceAboveCap"),
        ("r5.large", "PriceAboveCap"),
        *[(kind, CAPACITY) for kind in ("c5.large", "c5.large", "r5.large", "r5.large")],
        ("c5.large", None),
    ]
    info = done.instance
    assert (info["market"], info["price_usd_hour"], info["on_demand_usd_hour"]) == ("on-demand", 0.085, 0.085)


def test_cap_below_every_price_launches_nothing(account: Launching) -> None:
    before = account.mark()
    done = account.role("too-dear", spot_instance_max_price="0.01")
    assert done.code == 2
    assert done.record["outcome"] == "no_capacity"
    assert {error for _, error in done.refused} == {"PriceAboveCap"}
    assert account.requests("RunInstances", before) == []


def test_later_attempt_has_its_own_host_template_and_tags(account: Launching) -> None:
    first = account.role("resumes")
    account.client("ec2").terminate_instances(InstanceIds=[first.instance["id"]])
    ended = {**first.recorded[0], "ended_by": "reclaim"}
    (first.folder / "attempts.json").write_text(json.dumps([ended]))
    second = account.role("resumes", spot_instance_attempt=2)
    assert second.code == 0, second.output
    assert (second.record["host"], second.facts["trainers"]) == ("trainer-2", ["trainer-2"])
    assert [(each["number"], each["ended_by"]) for each in second.recorded] == [(1, "reclaim"), (2, None)]
    assert [each["instance"]["id"] for each in second.recorded] == [
        first.instance["id"],
        second.instance["id"],
    ]
    ec2 = account.client("ec2")
    (template,) = ec2.describe_launch_templates(LaunchTemplateNames=["spot-train-resumes"])["LaunchTemplates"]
    version = ec2.describe_launch_template_versions(LaunchTemplateId=template["LaunchTemplateId"], Versions=["$Latest"])
    data = version["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    (instance,) = account.live("resumes")
    assert "InstanceMarketOptions" not in data
    assert {"instance", "volume"} <= {spec["ResourceType"] for spec in data["TagSpecifications"]}
    for tagged in (template, instance, *data["TagSpecifications"]):
        tags = {tag["Key"]: tag["Value"] for tag in tagged["Tags"]}
        assert (tags["run_id"], tags["project"], tags["attempt"]) == ("resumes", "spot-train", "2")
        assert tags["lease_expires"].endswith("Z")


def test_second_instance_of_an_attempt_is_terminated(account: Launching) -> None:
    first = account.role("twice")
    instance = account.live("twice")[0]
    tags: list[dict[str, Any]] = instance["Tags"]
    stray = account.client("ec2").run_instances(
        ImageId=instance["ImageId"],
        InstanceType="r5.large",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )["Instances"][0]["InstanceId"]
    before = account.mark()
    again = account.role("twice")
    assert again.code == 0, again.output
    assert again.instance["id"] == first.instance["id"]
    assert account.requests("RunInstances", before) == []
    assert stray not in [each["InstanceId"] for each in account.live("twice")]
