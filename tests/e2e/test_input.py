"""What a run refuses before anything is started or launched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drills.account import ROOT, training_source
from tests.e2e.conftest import NO_LEAKS, Account


def source(**parts: Any) -> list[str]:
    """The options of a run whose training source is the default one but for these parts."""
    return ["-e", json.dumps({"training_source": training_source(ROOT / "files" / "predictor", **parts)})]


REFUSED = {
    "misspelt": (["-e", "preflight_onyl=true"], "unknown input 'preflight_onyl' (did you mean 'preflight_only')"),
    "unknown": (["-e", "colour=blue"], "unknown input 'colour'"),
    "no_boolean": (["-e", "preflight_only=maybe"], "preflight_only='maybe' is no boolean: say true or false"),
    "number_for_boolean": (["-e", "preflight_only=1"], "preflight_only='1' is no boolean"),
    "mode": (["-e", "training_mode=fast"], "training_mode='fast' is not one of both, full, smoke"),
    "date": (["-e", "run_date=2022-02-30"], "run_date='2022-02-30' is no date"),
    "date_format": (["-e", "run_date=30.12.2022"], "run_date='30.12.2022' is no date"),
    "same_bucket": (["-e", "transport_bucket=spot-train-data"], "transport_bucket and data_bucket are both"),
    "source_text": (["-e", "training_source=somewhere"], "training_source takes a mapping"),
    "no_ref": (
        ["-e", json.dumps({"training_source": {"git": "https://example.org/x.git", "lock": "l", "config": "c"}})],
        "needs a ref",
    ),
    "repository_not_there": (
        source(path=None, git="file:///nowhere", ref="main"),
        "does not appear to be a git repository",
    ),
    "ref_not_there": (source(path=None, git=f"file://{ROOT}", ref="no-such-branch"), "has no branch and no tag"),
    "placeholder": (
        source(train_command=["predictor", "train", "--bucket={bucket}"]),
        "training_source.train_command: {bucket} stands for nothing there; there is arctic_prefix, ",
    ),
    "source_part": (source(comand=["x"]), "unknown input 'training_source.comand' (did you mean"),
    "no_lock": (source(lock="none.lock"), "none.lock is not there"),
    "source_number": (source(imports="predictor"), "training_source.imports takes a list"),
    "empty_url": (["-e", json.dumps({"training_source": {"git": "", "ref": "main"}})], "needs either 'path'"),
    "playbook_owned": (["-e", "spot_instance_run_id=another"], "unknown input 'spot_instance_run_id'"),
    "empty_region": (["-e", "aws_region="], "aws_region is empty"),
    "no_sender": (["-e", '{"run_report_email_to": ["ops@example.org"]}'], "run_report_email_from no sender"),
    "no_address": (["-e", '{"run_report_email_to": ["ops"]}'], "run_report_email_to: 'ops' is no e-mail address"),
    "no_topic": (["-e", "run_report_sns_topic_arn=runs"], "run_report_sns_topic_arn: 'runs' is no ARN"),
    "no_way": (["-e", "run_report_email_via=pigeon"], "run_report_email_via='pigeon' is not one of smtp, ses"),
    "no_number": (["-e", "spot_instance_volume_gb=large"], "spot_instance_volume_gb='large' is no whole number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_clear_line_and_launches_nothing(account: Account, case: str) -> None:
    arguments, words = REFUSED[case]
    before = account.launches()

    run = account.train(*arguments)

    assert run.code != 0
    assert any(words in line and "Nothing was started" in line for line in run.errors), run.output
    assert run.folder is None
    assert account.launches() == before


def test_variables_that_engines_pass_are_let_through(account: Account) -> None:
    run = account.train(
        "--check",
        "-e",
        "awx_job_id=7",
        "-e",
        "tower_job_id=7",
        "-e",
        "ansible_aws_ssm_timeout=90",
        "-e",
        "preflight_only=yes",
    )

    assert run.code == 0, run.output


def test_check_mode_looks_and_launches_nothing(account: Account) -> None:
    before = account.launches()

    run = account.train("--check")

    assert run.code == 0, run.output
    assert "instance_profile" in run.output
    assert run.folder is None
    assert account.launches() == before


def test_a_missing_bucket_fails_before_anything_is_launched(account: Account) -> None:
    before = account.launches()

    run = account.train("-e", "data_bucket=not-there")

    assert run.code != 0
    assert "not-there" in run.receipt["error"]
    assert run.receipt["outcome"] == "failed"
    assert run.receipt["leaks"] == NO_LEAKS
    assert account.launches() == before
