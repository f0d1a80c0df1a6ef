"""What the controller finds wrong with an account before any instance exists: provoked for real, each in seconds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from local_aws.ledger import read, select
from local_aws.state import reserve

from tests.e2e.runs.broken_accounts import (
    FAILURES,
    PREFLIGHT,
    TRANSPORT,
    Broken,
    Client,
    Inputs,
    bucket_public,
    bucket_unencrypted,
    controller_that_cannot_end,
    image_gone,
    inbound_rule,
    price_too_low,
    profile_without_list,
)
from tests.e2e.runs.conftest import NO_LEAKS, Account, Run, start
from tests.support.account import DATA_BUCKET
from tests.support.account_checks import SCRIPT, SETTINGS

NAMES = [
    "controller_clock",
    "identity",
    "region",
    "image",
    "instance_profile",
    "subnets",
    "security_group",
    "expiry_role",
    "data_bucket",
    "transport_bucket",
    "launch",
    "quota",
    "price",
    "permissions",
]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account of this module's own: what is broken in it meets no other test."""
    made = Account(tmp_path_factory.mktemp("account"))
    start(made)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def client(account: Account) -> Client:
    """Makes clients of the account's owner."""
    return account.client


def records(run: Run) -> dict[str, dict[str, Any]]:
    """The records of the controller's checks, by name."""
    assert run.folder is not None, run.output
    kept = json.loads((run.folder / "preflight-controller.json").read_text())
    assert kept["seconds"] < 120
    return {each["name"]: each for each in kept["checks"]}


def refused(account: Account, inputs: Inputs) -> tuple[Run, dict[str, dict[str, Any]]]:
    """Run what must be refused: message, exit code, nothing launched, nothing left, nothing written to the data."""
    before, written = launches(account), len(writes_to_data(account))

    run = account.train(*extra(inputs))

    assert run.code != 0
    found = records(run)
    for each in found.values():
        # A failed check says the same in the record and on the terminal.
        assert each["status"] != "fail" or f"{each['name']}: {each['detail']}" in run.output
        assert (each["remedy"] == "") == (each["status"] == "pass")
    receipt = run.receipt
    assert receipt["outcome"] == "failed"
    assert "The preflight failed: " in receipt["error"]
    assert receipt["leaks"] == NO_LEAKS
    shown = {each["name"]: (each["status"], each["detail"], each["remedy"]) for each in receipt["preflight"]["checks"]}
    assert shown == {name: (each["status"], each["detail"], each["remedy"]) for name, each in found.items()}
    assert launches(account) == before
    assert len(writes_to_data(account)) == written
    account.assert_nothing_left()
    return run, found


def extra(inputs: Inputs) -> list[str]:
    """Inputs as the command line takes them."""
    return ["-e", json.dumps(inputs)] if inputs else []


def writes_to_data(account: Account) -> list[dict[str, Any]]:
    """What anyone but the owner wrote, or tried to write, to the data bucket."""
    return list(select(entries(account), bucket=DATA_BUCKET, writes=True, without_operator=True))


def launches(account: Account) -> int:
    """Launches that were asked for; a dry run is none."""
    return len(list(select(entries(account), action="RunInstances", writes=True)))


def entries(account: Account) -> list[dict[str, Any]]:
    """The ledger, read where it lies: starting an interpreter for each look takes longer than a run's checks."""
    return list(read(account.folder / "aws" / "ledger.jsonl"))


def failed(found: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, each in found.items() if each["status"] == "fail"]


def test_sound_account_passes_every_check(account: Account) -> None:
    before = launches(account)

    run = account.train("--check", *extra(PREFLIGHT))

    assert run.code == 0, run.output
    for name in NAMES:
        assert name in run.output
    assert ": preflight, data as of 2022-12-29, as arn:aws:iam::123456789012:user/control-node" in run.output
    assert run.folder is None
    assert launches(account) == before
    assert writes_to_data(account) == []
    (rehearsal,) = select(entries(account), action="RunInstances")
    assert (rehearsal["write"], rehearsal["error"]) == (False, "DryRunOperation")
    account.assert_nothing_left()


# Each in the fastest way that shows its point: a whole run with its receipt (5 s), check mode (3 s), the checks (1 s).
RUN = {"image_gone", "profile_gone", "profile_without_list", "bucket_missing", "bucket_denied", "permission"}
CHECK = {"bucket_unencrypted", "inbound_rule", "price", "profile_that_could_write"}
DIRECTLY = FAILURES.keys() - RUN - CHECK


@pytest.mark.parametrize("case", sorted(RUN))
def test_fault_is_named_with_its_remedy_before_a_launch(account: Account, client: Client, case: str) -> None:
    broken, name, words, remedy, others = FAILURES[case]

    with broken(client) as inputs:
        _, found = refused(account, inputs)

    assert list(found) == NAMES
    assert words in found[name]["detail"]
    assert remedy in found[name]["remedy"]
    assert set(failed(found)) == {name, *others}


@pytest.mark.parametrize("case", sorted(CHECK))
def test_check_mode_names_the_same_faults(account: Account, client: Client, case: str) -> None:
    broken, name, words, remedy, others = FAILURES[case]
    before, written = launches(account), len(writes_to_data(account))

    with broken(client) as inputs:
        run = account.train("--check", *extra(inputs))

    assert run.code != 0
    assert f"{name}: " in run.output and words in run.output and remedy in run.output
    assert f"The preflight failed: {1 + len(others)} of {len(NAMES)} checks" in run.output
    assert run.folder is None
    assert launches(account) == before
    assert len(writes_to_data(account)) == written


@pytest.mark.parametrize("case", sorted(DIRECTLY))
def test_the_checks_themselves_tell_the_variants_apart(account: Account, client: Client, case: str) -> None:
    broken, name, words, remedy, others = FAILURES[case]

    with broken(client) as inputs:
        found = check_directly(account, inputs)

    assert words in found[name]["detail"]
    assert remedy in found[name]["remedy"]
    assert set(failed(found)) == {name, *others}


def test_a_quota_of_zero_says_to_ask_for_more(account: Account) -> None:
    account.local_aws("fault", "quota", "value=0", "code=L-34B43A08")
    try:
        _, found = refused(account, {})
    finally:
        account.local_aws("fault", "clear")

    assert failed(found) == ["quota"]
    assert found["quota"]["detail"] == "spot: the quota L-34B43A08 is 0: nothing can be launched"
    assert "request an increase of the quota L-34B43A08" in found["quota"]["remedy"]


def test_a_quota_that_some_types_fit_is_a_warning(account: Account) -> None:
    account.local_aws("fault", "quota", "value=2", "code=L-34B43A08")
    try:
        run = account.train("--check", *extra({"spot_instance_types": ["c5.xlarge", "c5.large"]}))
    finally:
        account.local_aws("fault", "clear")

    assert run.code == 0, run.output
    assert "spot: 0 of 2 vCPUs in use (L-34B43A08), no room for c5.xlarge (4)" in run.output


def test_one_bucket_for_both_is_refused_at_the_gate(account: Account) -> None:
    before = launches(account)

    run = account.train("-e", f"transport_bucket={DATA_BUCKET}")

    assert run.code != 0
    assert "transport_bucket and data_bucket are both" in run.output
    assert run.folder is None
    assert launches(account) == before
    assert writes_to_data(account) == []


def test_a_versioned_transport_bucket_is_a_warning_that_says_why(account: Account, client: Client) -> None:
    s3 = client("s3")
    s3.put_bucket_versioning(Bucket=TRANSPORT, VersioningConfiguration={"Status": "Enabled"})
    try:
        run = account.train("--check")
    finally:
        s3.put_bucket_versioning(Bucket=TRANSPORT, VersioningConfiguration={"Status": "Suspended"})

    assert run.code == 0, run.output
    assert "old versions stay, cost money and keep their content" in run.output


AT_ONCE: tuple[Broken, ...] = (
    image_gone,
    profile_without_list,
    inbound_rule,
    bucket_unencrypted,
    bucket_public,
    controller_that_cannot_end,
    price_too_low,
)


def test_several_failures_at_once_are_all_listed(account: Account, client: Client) -> None:
    account.local_aws("fault", "quota", "value=0")
    try:
        with contextlib.ExitStack() as stack:
            inputs: Inputs = {}
            for broken in AT_ONCE:
                inputs |= stack.enter_context(broken(client))
            _, found = refused(account, inputs)
    finally:
        account.local_aws("fault", "clear")

    assert failed(found) == [
        "image",
        "instance_profile",
        "security_group",
        "data_bucket",
        "transport_bucket",
        "launch",
        "quota",
        "price",
        "permissions",
    ]
    assert found["launch"]["detail"].startswith("cannot be checked: image ")
    assert found["launch"]["remedy"] == "resolve the check image first"


def test_unknown_region_is_named_and_other_checks_run(account: Account) -> None:
    run = account.train("--check", "-e", "aws_region=mars-north-1")

    assert run.code != 0
    assert (
        "EC2 refuses the credentials in region mars-north-1: it is not enabled for the account, or does not exist"
        in run.output
    )
    assert all(name in run.output for name in NAMES)


def test_what_a_role_session_may_do_is_asked_of_its_role(account: Account, client: Client) -> None:
    """A controller that is a role, as on AWX or in CI: its policies are the role's, not the session's."""
    iam = client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    iam.create_role(
        RoleName="spot-train-ci", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    policy = iam.get_user_policy(UserName="control-node", PolicyName="inline")["PolicyDocument"]
    iam.put_role_policy(RoleName="spot-train-ci", PolicyName="inline", PolicyDocument=json.dumps(policy))
    role = "arn:aws:iam::123456789012:role/spot-train-ci"
    keys = client("sts").assume_role(RoleArn=role, RoleSessionName="ci")["Credentials"]
    environment = {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
    }

    found = check_directly(account, {}, environment)

    assert found["identity"]["detail"].startswith("arn:aws:sts::123456789012:assumed-role/spot-train-ci/ci ")
    assert (found["permissions"]["status"], found["permissions"]["remedy"]) == ("pass", "")


def test_unknown_keys_fail_every_check(account: Account) -> None:
    found = check_directly(account, {}, {"AWS_ACCESS_KEY_ID": "AKIANOBODY", "AWS_SECRET_ACCESS_KEY": "no"})

    # A refusal tells the time as well.
    assert failed(found) == [name for name in NAMES if name != "controller_clock"]
    assert "InvalidClientTokenId" in found["identity"]["detail"]
    assert "valid credentials" in found["identity"]["remedy"]


def check_directly(
    account: Account, inputs: Inputs, environment: dict[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """The checks of a training run, without a playbook, by default with the controller's keys."""
    given = {name.removeprefix("spot_instance_"): value for name, value in inputs.items()}
    arguments = {**SETTINGS, "tags": {"project": inputs.get("project", "spot-train")}, **given}
    reservation = reserve(account.folder / "aws")
    other = Account(account.folder, environment={**reservation.client_environment(), **(environment or {})})
    answer = other.command(str(other.binaries / "python"), "-c", SCRIPT, json.dumps(arguments))
    return {each["name"]: each for each in json.loads(answer.stdout)[0]}
