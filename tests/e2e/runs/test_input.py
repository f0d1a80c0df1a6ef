"""What a run refuses before anything is started or launched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.runs.conftest import NO_LEAKS, Account, practice_options
from tests.support.account import ROOT, training_source
from tests.support.terminal import at_terminal


def source(**parts: Any) -> list[str]:
    """The options of a run whose training source is the default one but for these parts."""
    return ["-e", json.dumps({"training_source": training_source(ROOT / "files" / "predictor", **parts)})]


REFUSED = {
    "misspelt": (["-e", "preflight_onyl=true"], "unknown input 'preflight_onyl' (did you mean 'preflight_only')"),
    "connection": (["-e", "ansible_connection=local"], "ansible_connection: expected no connection variable"),
    "jinja": (["-e", "project={{ x }}"], "project: expected a value without Jinja, got text with {{"),
    "text_for_list": (["-e", "spot_instance_markets=spot"], "spot_instance_markets: expected a list, got"),
    "unknown": (["-e", "colour=blue"], "unknown input 'colour'"),
    "no_boolean": (["-e", "preflight_only=maybe"], "preflight_only: expected true or false, got 'maybe'"),
    "number_for_boolean": (["-e", "preflight_only=1"], "preflight_only: expected true or false, got '1'"),
    "mode": (["-e", "training_mode=fast"], "training_mode: expected both, full or smoke, got 'fast'"),
    "date": (["-e", "run_date=2022-02-30"], "run_date: expected a date (YYYY-MM-DD), got '2022-02-30'"),
    "date_format": (["-e", "run_date=30.12.2022"], "run_date: expected a date (YYYY-MM-DD), got '30.12.2022'"),
    "same_bucket": (["-e", "transport_bucket=spot-train-data"], "transport_bucket and data_bucket are both"),
    "source_text": (["-e", "training_source=somewhere"], "training_source: expected a mapping"),
    "no_ref": (
        ["-e", json.dumps({"training_source": {"git": "https://example.org/x.git", "lock": "l", "config": "c"}})],
        "training_source.ref: expected a branch, tag or commit",
    ),
    "repository_not_there": (
        source(path=None, git="file:///nowhere", ref="main"),
        "does not appear to be a git repository",
    ),
    "ref_not_there": (source(path=None, git=f"file://{ROOT}", ref="no-such-branch"), "has no branch and no tag"),
    "placeholder": (
        source(train_command=["predictor", "train", "--bucket={bucket}"]),
        "training_source.train_command: unknown placeholder {bucket} (expected one of arctic_prefix, ",
    ),
    "source_part": (source(comand=["x"]), "unknown input 'training_source.comand' (did you mean"),
    "no_lock": (source(lock="none.lock"), "none.lock does not exist"),
    "source_number": (source(imports="predictor"), "training_source.imports: expected a list, got 'predictor'"),
    "empty_url": (["-e", json.dumps({"training_source": {"git": "", "ref": "main"}})], "expected either 'path'"),
    "playbook_owned": (["-e", "spot_instance_run_id=another"], "unknown input 'spot_instance_run_id'"),
    "empty_region": (["-e", "aws_region="], "aws_region is empty"),
    "no_sender": (["-e", '{"run_report_email_to": ["ops@example.org"]}'], "run_report_email_from: required"),
    "no_address": (
        ["-e", '{"run_report_email_to": ["ops"]}'],
        "run_report_email_to: expected an e-mail address, got 'ops'",
    ),
    "no_topic": (["-e", "run_report_sns_topic_arn=runs"], "run_report_sns_topic_arn: expected the ARN"),
    "no_way": (["-e", "run_report_email_via=pigeon"], "run_report_email_via: expected smtp or ses, got 'pigeon'"),
    "zero": (["-e", "training_full_seconds=0"], "training_full_seconds: expected a whole number above 0, got '0'"),
    "no_number": (
        ["-e", "spot_instance_volume_gb=large"],
        "spot_instance_volume_gb: expected a whole number, got 'large'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line_and_launches_nothing(account: Account, case: str) -> None:
    arguments, words = REFUSED[case]
    before = account.launches()

    run = account.train(*arguments)

    assert run.code != 0
    assert any(words in line and "Nothing was started" in line for line in run.errors), run.output
    assert run.folder is None
    assert account.launches() == before


def test_variables_of_engines_and_allowed_ones_pass(account: Account) -> None:
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
        "-e",
        json.dumps({"spot_instance_markets": ["spot"], "run_allowed_extra": ["team_*"], "team_model": "{{ x }}"}),
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


@pytest.mark.parametrize(
    ("playbook", "options", "words"),
    [
        ("train.yml", ["--skip-tags", "always"], "--skip-tags always: tasks tagged always include the termination"),
        ("train.yml", ["--limit", "localhost"], "--limit localhost would leave out"),
        ("playbooks/terminate.yml", ["--tags", "end"], "--tags end: this playbook has no tags"),
    ],
)
def test_options_for_half_a_run_are_refused(account: Account, playbook: str, options: list[str], words: str) -> None:
    answer = account.command("ansible-playbook", playbook, *options, check=False)

    assert answer.returncode == 5
    assert answer.stderr.startswith(f"[ERROR]: {words}")
    assert "Nothing was started." in answer.stderr
    assert answer.stdout == ""


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("inputs.yml", "training_mod: smoke\n", "unknown input 'training_mod' (did you mean 'training_mode')"),
        ("inputs.json", '{"training_mode": "fast"}', "training_mode: expected both, full or smoke"),
    ],
)
def test_inputs_from_a_file_are_checked(account: Account, tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)

    run = account.train("-e", f"@{tmp_path / name}")

    assert run.code == 2
    assert any(words in line for line in run.errors), run.output
    assert run.folder is None


def test_without_the_training_a_run_is_a_preflight(account: Account) -> None:
    run = account.train("--check", "--skip-tags", "training")

    assert run.code == 0, run.output
    assert ": preflight, data as of" in run.output
    assert "spot-train-preflight" in run.output


def test_a_training_without_the_preflight_at_a_terminal(account: Account, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    options = ["--skip-tags", "preflight", "-e", "training_mode=smoke", "-e", f"runs_dir={runs}"]
    plain = {"ANSIBLE_NOCOLOR", "COLUMNS", "NO_COLOR"}
    environment = {name: value for name, value in account.variables().items() if name not in plain}

    shown = at_terminal(
        ["ansible-playbook", "train.yml", *options, *practice_options(tmp_path / "practice")],
        account.project,
        {**environment, "TERM": "xterm"},
        columns=100,
    )

    assert shown.code == 0, shown.text
    receipt = json.loads((runs / "latest" / "receipt.json").read_text())
    assert (receipt["mode"], receipt["outcome"], receipt["run"]["skipped"]) == ("smoke", "passed", ["preflight"])
    assert [(step["name"], step["status"]) for step in receipt["steps"]][3:6] == [
        ("deps", "passed"),
        ("preflight", "skipped"),
        ("smoke", "passed"),
    ]
    assert {check["tier"] for check in receipt["preflight"]["checks"]} == {"controller"}
    assert any("the tags skip the preflight on the instance" in note for note in receipt["notes"])
    # One line a step; how far the training is, in place.
    ended = [line.split()[1] for line in shown.lines if line.startswith("ok ")]
    steps = ["open", "bootstrap", "deps", "smoke"]
    assert [name for name in ended if name in steps] == steps
    assert "14 checks passed" in next(line for line in shown.lines if line.split()[:2] == ["ok", "open"])
    assert "fold " in shown.raw and not any(line.lstrip().startswith(("fold ", "…")) for line in shown.lines)
    assert "PASSED  smoke" in shown.text
    # The path of the report is a word of its own length, for the terminal to break.
    assert max(len(line) for line in shown.lines if "report.html" not in line) <= 100
    assert (runs / "index.html").is_file()
    account.assert_nothing_left()
