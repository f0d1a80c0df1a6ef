"""The controller's checks without an account: how they are found and run, and what each says of what it is shown."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from ansible_collections.spot_train.core.plugins.module_utils.aws.client import one_line
from ansible_collections.spot_train.core.plugins.module_utils.checks import (
    a11_region,
    a20_image,
    a21_instance_profile,
    a22_subnets,
    a23_security_group,
    a41_quota,
    a42_price,
    a50_permissions,
    buckets,
)
from ansible_collections.spot_train.core.plugins.module_utils.checks.base import (
    Finding,
    Settings,
    Unavailable,
    is_standard,
    worst,
)
from ansible_collections.spot_train.core.plugins.module_utils.checks.context import Context
from ansible_collections.spot_train.core.plugins.module_utils.checks.runner import find, run_all
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.stub import Stubber

ARGUMENTS: dict[str, Any] = {
    "region": "us-east-1",
    "preflight": True,
    "project": "spot-train",
    "tags": {"project": "spot-train"},
    "types": ["r5.large"],
    "markets": ["spot"],
    "max_price": "",
    "on_demand": {"r5.large": "0.126"},
    "subnet_filters": {"tag:project": "spot-train"},
    "security_group": "spot-train",
    "profile": "spot-train-preflight",
    "image_parameter": "/aws/service/image",
    "volume_gb": 30,
    "data_bucket": "data",
    "transport_bucket": "transport",
    "arctic_prefix": "arcticdb",
    "artefact_prefixes": ["predictor/", "health/", "data_manifest/"],
    "expiry_role": "spot-train-expiry",
}
ACCOUNT = "123456789012"
#: Outbound open, as AWS makes a group.
GROUP = {"GroupName": "spot-train", "GroupId": "sg-1", "VpcId": "vpc-1", "IpPermissions": [],
         "IpPermissionsEgress": [{"IpProtocol": "-1"}]}  # fmt: skip
ROOT = Path(__file__).resolve().parents[3]
Shown = Callable[..., Context]


@pytest.fixture
def shown() -> Shown:
    """Makes contexts whose look-ups are answered beforehand."""

    def make(settings: dict[str, Any] | None = None, **found: Any) -> Context:
        context = Context(Settings.of({**ARGUMENTS, **(settings or {})}))
        for name, value in found.items():
            context._once(name, name, partial(deepcopy, value))
        return context

    return make


def test_tags_and_prices_of_the_settings_are_converted() -> None:
    settings = Settings.of({**ARGUMENTS, "tags": {"attempt": 1}, "on_demand": {"r5.large": "0.126"}})
    assert (settings.tags, settings.on_demand) == ({"attempt": "1"}, {"r5.large": 0.126})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes a package of checks of a test's own."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(**files: str) -> Path:
        package = tmp_path / f"checks_{time.monotonic_ns()}"
        package.mkdir()
        (package / "__init__.py").write_text("")
        head = "from ansible_collections.spot_train.core.plugins.module_utils.checks.base import Finding, Unavailable\n"
        for name, text in files.items():
            (package / f"{name}.py").write_text(head + text)
        return package

    return make


def records(context: Context, package: Path) -> list[dict[str, Any]]:
    return run_all(context, package, package.name)


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Anything")


GOOD = "REMEDY = 'unused'\ndef run(context):\n    return Finding('pass', 'fine')\n"


def test_a_check_is_found_by_being_there_and_records_are_in_the_order_of_the_files(
    folder: Callable[..., Path], shown: Shown
) -> None:
    package = folder(a20_second=GOOD, a10_first="import time\ntime.sleep(2)\n" + GOOD, helper=GOOD, a9_no=GOOD)
    assert list(find(package)) == ["first", "second"]
    first, second = records(shown(), package)
    assert (first["name"], second["name"]) == ("first", "second")
    assert {key: second[key] for key in ("tier", "group", "status", "detail", "remedy")} == {
        "tier": "controller",
        "group": "account",
        "status": "pass",
        "detail": "fine",
        "remedy": "",
    }
    assert first["seconds"] >= 2
    assert first["seconds"] > second["seconds"] >= 0


def test_a_check_that_crashes_has_failed_and_the_others_still_run(folder: Callable[..., Path], shown: Shown) -> None:
    package = folder(
        a10_broken="REMEDY = 'x'\ndef run(context):\n    raise KeyError('two\\nlines')\n",
        a11_no_python="def run(:\n",
        a12_no_remedy="def run(context):\n    return Finding('pass', 'fine')\n",
        a13_good=GOOD,
    )
    broken, no_python, no_remedy, good = records(shown(), package)
    assert [each["status"] for each in (broken, no_python, no_remedy, good)] == ["fail", "fail", "fail", "pass"]
    assert broken["detail"].startswith("the check crashed: KeyError: ")
    assert "SyntaxError" in no_python["detail"] and "AttributeError" in no_remedy["detail"]
    assert all("\n" not in each["detail"] for each in (broken, no_python, no_remedy))
    assert "bug in the check" in broken["remedy"]


def test_who_looks_something_up_says_why_it_lacks_and_others_that_they_cannot_judge(
    folder: Callable[..., Path], shown: Shown
) -> None:
    text = "REMEDY = 'get one'\ndef run(context):\n    raise Unavailable('image', 'the image is gone')\n"
    owner, other = records(shown(), folder(a10_image=text, a11_launch=text))
    assert (owner["detail"], owner["remedy"]) == ("the image is gone", "get one")
    assert (other["detail"], other["remedy"]) == (
        "cannot be checked: the image is gone",
        "resolve the check image first",
    )


def test_a_look_up_is_made_once_and_its_failure_is_everybodys(shown: Shown) -> None:
    context, calls = shown(), []

    def look_up() -> str:
        calls.append(1)
        time.sleep(0.1)
        raise refusal("AccessDenied", "no")

    def ask(told: list[str]) -> None:
        try:
            context._once("thing", "image", look_up)
        except Unavailable as error:
            told.append(f"{error.owner}: {error}")

    told: list[str] = []
    threads = [threading.Thread(target=ask, args=(told,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(calls), told) == (1, ["image: AccessDenied no"] * 5)


def test_an_error_of_aws_is_one_line_without_what_only_aws_can_read() -> None:
    text = "You are not authorized.\n Encoded authorization failure message: " + "x" * 800
    assert one_line(refusal("UnauthorizedOperation", text)) == "UnauthorizedOperation You are not authorized."
    assert one_line(NoCredentialsError()) == "NoCredentialsError: Unable to locate credentials"


def test_the_worst_finding_counts_and_all_are_told() -> None:
    assert worst([("pass", "a")], "fine") == Finding("pass", "fine")
    assert worst([("fail", "a"), ("warn", "b")], "fine") == Finding("fail", "a; b")


def test_every_check_says_what_it_looks_at_and_what_to_do() -> None:
    from importlib import import_module

    import ansible_collections.spot_train.core.plugins.module_utils.checks as package

    modules: list[ModuleType] = [
        import_module(f"ansible_collections.spot_train.core.plugins.module_utils.checks.{name}")
        for name in find(Path(next(iter(package.__path__)))).values()
    ]
    assert len(modules) == 14
    for module in modules:
        assert module.__doc__ and module.__doc__.splitlines()[0].endswith(".")
        assert module.REMEDY and "\n" not in module.REMEDY


def image(**more: Any) -> dict[str, Any]:
    made = {"ImageId": "ami-1", "State": "available", "Architecture": "x86_64", "CreationDate": ago(1)}
    return {"RootDeviceName": "/dev/xvda", "BlockDeviceMappings": [], **made, **more}


def ago(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


X86 = {"r5.large": {"ProcessorInfo": {"SupportedArchitectures": ["x86_64"]}, "VCpuInfo": {"DefaultVCpus": 2}}}


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({}, "pass", "ami-1 , x86_64, 1 days old"),
        ({"CreationDate": ago(180)}, "pass", "180 days old"),
        ({"CreationDate": ago(181)}, "warn", "181 days old"),
        ({"DeprecationTime": ago(3)}, "warn", "deprecated since"),
        ({"DeprecationTime": ago(-3)}, "pass", ""),
        ({"State": "failed"}, "fail", "image ami-1 is failed"),
        ({"Architecture": "arm64"}, "fail", "for arm64 and does not run on r5.large (x86_64)"),
        (
            {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 40}}]},
            "fail",
            "the image's disk has 40 GiB, spot_instance_volume_gb is 30",
        ),
    ],
)
def test_an_image_is_judged_by_state_age_and_fit(
    shown: Shown, changed: dict[str, Any], status: str, words: str
) -> None:
    found = a20_image.run(shown(image=image(**changed), image_id="ami-1", types=X86))
    assert (found.status, words in found.detail) == (status, True), found


@pytest.mark.parametrize(
    ("statement", "trusted"),
    [
        ({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}, True),
        ({"Effect": "Allow", "Principal": {"Service": ["a", "ec2.amazonaws.com"]}, "Action": ["sts:AssumeRole"]}, True),
        ({"Effect": "Deny", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}, False),
        ({"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}, False),
        ({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:TagSession"}, False),
    ],
)
def test_a_trust_policy_lets_ec2_take_the_role_or_not(statement: dict[str, Any], trusted: bool) -> None:
    assert a21_instance_profile.trusts({"Statement": [statement]}, "ec2.amazonaws.com") is trusted
    assert a21_instance_profile.trusts({"Statement": statement}, "ec2.amazonaws.com") is trusted


def subnet(identifier: str, **more: Any) -> dict[str, Any]:
    made = {"SubnetId": identifier, "State": "available", "AvailableIpAddressCount": 9, "VpcId": "vpc-1"}
    return {**made, "AvailabilityZone": "us-east-1a", **more}


def test_a_full_subnet_is_a_warning_until_all_are_full(shown: Shown) -> None:
    full = subnet("subnet-2", AvailableIpAddressCount=0)
    assert a22_subnets.run(shown(subnets=[subnet("subnet-1")])).status == "pass"
    found = a22_subnets.run(shown(subnets=[subnet("subnet-1"), full]))
    assert found == Finding("warn", "subnet-2 has no free address")
    assert a22_subnets.run(shown(subnets=[full])).status == "fail"


def test_a_security_group_in_another_network_is_named(shown: Shown) -> None:
    group = {**GROUP, "VpcId": "vpc-2"}
    found = a23_security_group.run(shown(group=group, subnets=[subnet("subnet-1")]))
    assert found == Finding("fail", "sg-1 is in vpc-2, but subnet-1 in another VPC")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"IpProtocol": "-1"}, "found all ports"),
        ({"FromPort": 22, "ToPort": 22}, "found port 22"),
        ({"FromPort": 1, "ToPort": 9}, "found ports 1 to 9"),
    ],
)
def test_an_inbound_rule_is_named_by_its_ports(shown: Shown, rule: dict[str, Any], words: str) -> None:
    found = a23_security_group.run(shown(group={**GROUP, "IpPermissions": [rule]}, subnets=[subnet("subnet-1")]))
    assert found.status == "fail" and words in found.detail


def test_a_security_group_without_a_way_out_fails(shown: Shown) -> None:
    found = a23_security_group.run(shown(group={**GROUP, "IpPermissionsEgress": []}, subnets=[subnet("subnet-1")]))
    assert found == Finding("fail", "spot-train has no outbound rule: an instance could not reach anything")
    assert a23_security_group.run(shown(group=GROUP, subnets=[subnet("subnet-1")])).status == "pass"


@pytest.mark.parametrize(
    ("key", "found"),
    [
        (None, []),
        ("arn:aws:kms:us-east-1:123456789012:alias/aws/s3", []),
        (
            "arn:k",
            [("warn", "bucket b is encrypted with the key arn:k, which no policy in files/iam allows to use")],
        ),
    ],
)
def test_a_bucket_with_a_key_of_a_customer_is_a_warning(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, key: str | None, found: list[Any]
) -> None:
    default = {"SSEAlgorithm": "aws:kms", **({"KMSMasterKeyID": key} if key else {})}
    s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret")
    context = shown()
    monkeypatch.setattr(context, "client", lambda service: s3)
    with Stubber(s3) as stub:
        rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
        stub.add_response("list_objects_v2", {})
        stub.add_response("get_bucket_encryption", {"ServerSideEncryptionConfiguration": rules})
        blocked = dict.fromkeys(buckets.BLOCKS, True)
        stub.add_response("get_public_access_block", {"PublicAccessBlockConfiguration": blocked})
        stub.add_response("head_bucket", {"BucketRegion": "us-east-1"})
        assert buckets.protection(context, "b") == found


@pytest.mark.parametrize(
    ("settings", "price", "status", "words"),
    [
        ({}, 0.045, "pass", "cheapest r5.large in us-east-1a: 0.0450 USD/h, 64% below on-demand (0.126)"),
        ({}, 0.126, "warn", "costs 0.1260 USD/h on spot, 0.126 on demand"),
        ({"on_demand": {}}, 0.045, "pass", "on-demand price unknown"),
        ({"max_price": "0.04"}, 0.045, "fail", "spot_instance_max_price 0.04 is below every current price"),
        ({"max_price": "0.13", "markets": ["spot", "on-demand"]}, 0.14, "warn", "is below every current price"),
        ({"max_price": "0.04", "markets": ["spot", "on-demand"]}, 0.045, "fail", "is below every current price"),
        (
            {"max_price": "0.05", "markets": ["spot", "on-demand"]},
            0.045,
            "warn",
            "on-demand is not available as a last resort",
        ),
        ({"max_price": "0.13", "markets": ["spot", "on-demand"]}, 0.045, "pass", "cheapest"),
        ({"max_price": "0.05"}, 0.045, "pass", "cheapest"),
        ({"max_price": "cheap"}, 0.045, "fail", "expected a number, got 'cheap'"),
        ({"markets": ["on-demand"]}, 0.045, "pass", "spot_instance_markets has no spot market"),
        ({"markets": ["on-demand"], "max_price": "0.12"}, 0.045, "fail", "0.12 is below every known on-demand price"),
    ],
)
def test_a_price_is_judged_against_on_demand_and_the_limit(
    shown: Shown, settings: dict[str, Any], price: float, status: str, words: str
) -> None:
    found = a42_price.run(shown(settings, prices={("r5.large", "us-east-1a"): price}))
    assert (found.status, words in found.detail) == (status, True), found


def test_a_market_without_any_price_fails(shown: Shown) -> None:
    assert a42_price.run(shown(prices={})).status == "fail"


def test_other_families_than_the_standard_ones_have_other_quotas(shown: Shown) -> None:
    assert all(map(is_standard, ("c5.large", "r6i.large", "m7g.xlarge", "t3.nano", "im4gn.large", "i4i.large")))
    assert not any(map(is_standard, ("g5.xlarge", "p4d.24xlarge", "inf1.xlarge", "trn1.2xlarge", "hpc6a.48xlarge")))
    gpu = {"g5.xlarge": X86["r5.large"]}
    assert a41_quota.run(shown(types=gpu)).status == "warn"


def test_a_session_of_a_role_is_asked_about_as_its_role_with_its_path(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/session"
    context = shown(caller={"Arn": arn, "Account": ACCOUNT, "UserId": "x"})
    full = f"arn:aws:iam::{ACCOUNT}:role/deep/ci"
    answers: list[Any] = [{"Role": {"Arn": full}}, refusal("AccessDenied", "no")]

    class Iam:
        def get_role(self, RoleName: str) -> Any:
            assert RoleName == "ci"
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    monkeypatch.setattr(context, "client", lambda service: Iam())
    assert a50_permissions.principal(context) == full
    assert a50_permissions.principal(context) == f"arn:aws:iam::{ACCOUNT}:role/ci"


# In the policy and not simulated: what the checks themselves ask and say when it is denied.
NOT_SIMULATED = {
    "ec2:DescribeRegions",
    "iam:GetRole",
    "iam:SimulatePrincipalPolicy",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketVersioning",
    "s3:GetEncryptionConfiguration",
    "servicequotas:GetAWSDefaultServiceQuota",
    "servicequotas:GetServiceQuota",
    # No part of a run: for playbooks/rollback.yml.
    "sts:AssumeRole",
}


def test_every_action_of_the_controllers_policy_is_simulated_or_known_not_to_be(shown: Shown) -> None:
    caller = {"Arn": f"arn:aws:iam::{ACCOUNT}:user/me", "Account": ACCOUNT, "UserId": "x"}
    role = {"Arn": f"arn:aws:iam::{ACCOUNT}:role/p", "RoleName": "p"}
    profile = {"Arn": f"arn:aws:iam::{ACCOUNT}:instance-profile/p", "Roles": [role]}
    asked = {a for q in a50_permissions.questions(shown(caller=caller, profile=profile)) for a in q.actions}
    policy = json.loads((ROOT / "files/iam/control_node.json").read_text())
    allowed: set[str] = set()
    for statement in policy["Statement"]:
        actions = statement["Action"]
        allowed |= {actions} if isinstance(actions, str) else set(actions)
    assert asked - allowed == set()
    assert allowed - asked == NOT_SIMULATED


def test_the_root_user_is_a_warning(shown: Shown) -> None:
    context = shown(caller={"Arn": f"arn:aws:iam::{ACCOUNT}:root", "Account": ACCOUNT, "UserId": ACCOUNT})
    assert a50_permissions.run(context).status == "warn"


def test_a_simulation_that_may_not_be_asked_is_a_warning(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = {"Arn": f"arn:aws:iam::{ACCOUNT}:instance-profile/p", "Roles": []}
    caller = {"Arn": f"arn:aws:iam::{ACCOUNT}:user/me", "Account": ACCOUNT, "UserId": "x"}
    context = shown(caller=caller, profile=profile)

    def refuse(*_: Any) -> None:
        raise refusal("AccessDenied", "not to be asked")

    monkeypatch.setattr(a50_permissions, "simulate", refuse)
    found = a50_permissions.run(context)
    assert found.status == "warn" and "AccessDenied not to be asked" in found.detail


@pytest.mark.parametrize(
    ("answer", "variable", "status", "words"),
    [
        ([{"RegionName": "us-east-1", "OptInStatus": "opt-in-not-required"}], "us-east-1", "pass", "us-east-1"),
        ([{"RegionName": "us-east-1"}], "eu-west-1", "warn", "AWS_REGION=eu-west-1"),
        ([{"RegionName": "us-east-1", "OptInStatus": "not-opted-in"}], "us-east-1", "fail", "is not enabled"),
        ([], "us-east-1", "fail", "EC2 does not know the region us-east-1"),
    ],
)
def test_a_region_is_known_enabled_and_the_environments(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, answer: list[Any], variable: str, status: str, words: str
) -> None:
    class Ec2:
        def describe_regions(self, **_: Any) -> dict[str, Any]:
            return {"Regions": answer}

    context = shown()
    monkeypatch.setattr(context, "client", lambda service: Ec2())
    monkeypatch.setenv("AWS_REGION", variable)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    found = a11_region.run(context)
    assert (found.status, words in found.detail) == (status, True), found
