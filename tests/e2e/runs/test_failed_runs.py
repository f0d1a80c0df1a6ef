"""Runs that fail: each ends with an outcome of its own and leaves nothing."""

from __future__ import annotations

from tests.e2e.runs.conftest import NO_LEAKS, Account


def test_stale_universe_is_listed_in_full(account: Account) -> None:
    run = account.train("-e", "preflight_only=true", "-e", "run_date=2023-02-01")

    assert run.code != 0
    receipt = run.receipt
    assert receipt["outcome"] == "failed"
    found = next(check for check in receipt["preflight"]["checks"] if check["name"] == "freshness")
    assert found["detail"].startswith("20 of 20 symbols are more than 3 trading days old: ")
    assert len(receipt["preflight"]["stale"]) == len(found["items"]) == 20
    assert found["detail"] in receipt["error"]
    assert all(symbol in run.page for symbol in receipt["preflight"]["stale"])
    assert receipt["instance"]["terminated_at"]
    assert receipt["leaks"] == NO_LEAKS
    assert (receipt["writes"]["data_bucket"], receipt["writes"]["denied"]) == (0, 0)
    account.assert_nothing_left()


def test_no_capacity_is_an_outcome(account: Account) -> None:
    account.local_aws("fault", "capacity", "code=InsufficientInstanceCapacity")
    try:
        run = account.train("-e", '{"spot_instance_types": ["c5.large", "r5.large"]}')
    finally:
        account.local_aws("fault", "clear")

    assert run.code == 64
    receipt = run.receipt
    assert receipt["outcome"] == "no_capacity"
    assert [a["error"] for a in receipt["instance"]["attempts"]] == ["InsufficientInstanceCapacity"] * 4
    (attempt,) = receipt["attempts"]
    assert (attempt["instance"], attempt["cells"]) == ({}, receipt["instance"]["attempts"])
    assert receipt["cost"]["usd"] == 0
    assert receipt["leaks"] == NO_LEAKS
    account.assert_nothing_left()


def test_instance_that_does_not_boot_fails_the_run(account: Account) -> None:
    account.local_aws("fault", "boot_failure", "count=1")

    run = account.train("-e", "preflight_only=true")

    assert run.code != 0
    assert run.receipt["outcome"] == "failed"
    assert "terminated" in run.receipt["error"]
    account.assert_nothing_left()


def test_instance_that_never_answers_fails_the_run(account: Account) -> None:
    account.local_aws("fault", "never_online", "count=1")

    run = account.train("-e", "preflight_only=true", "-e", "spot_instance_online_seconds=5")

    assert run.code != 0
    assert run.receipt["outcome"] == "failed"
    account.assert_nothing_left()


def test_refused_terminate_call_is_repeated(account: Account) -> None:
    # The module gives up at once on a refusal, the role tries three times: the fourth call is that of the last play.
    account.local_aws("fault", "error", "service=ec2", "action=TerminateInstances", "status=403",
                      "code=UnauthorizedOperation", "count=3")  # fmt: skip
    account.local_aws("fault", "never_online", "count=1")

    run = account.train("-e", "preflight_only=true", "-e", "spot_instance_online_seconds=5")

    assert run.code != 0
    assert run.receipt["leaks"] == NO_LEAKS
    account.assert_nothing_left()
