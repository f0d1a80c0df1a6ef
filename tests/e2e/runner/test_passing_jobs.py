"""A preflight and a training as AWX's jobs: what goes in, what AWX shows while they run, what it keeps."""

from __future__ import annotations

import json
import os
import re

import pytest

from tests.e2e.runner.conftest import Jobs
from tests.e2e.runs.conftest import NO_LEAKS
from tools.awx_check.jobs import Result, describe

#: As a survey types its answers: a choice is text, a number is one.
SURVEY = {"preflight_only": "true", "run_attempts": 1, "spot_instance_lease_minutes": 60}
#: What an earlier job of the same workflow has published.
FROM_BEFORE = {"spot_train_run": {"run_id": "20260101T000000Z-000000", "outcome": "passed"}}
FOLDS = 3


@pytest.fixture(scope="module")
def preflight(jobs: Jobs) -> Result:
    return jobs.train(SURVEY)


@pytest.fixture(scope="module")
def training(jobs: Jobs, preflight: Result) -> Result:
    survey = {"preflight_only": "false", "training_mode": "full", **FROM_BEFORE}
    return jobs.train(survey, settings={"folds": FOLDS}, skip_tags="preflight")


def test_a_preflight_job_passes_and_publishes_its_outcome(jobs: Jobs, preflight: Result) -> None:
    assert (preflight.status, preflight.rc) == ("successful", 0), preflight.stdout[-3000:]
    receipt = jobs.receipt()
    published = preflight.stats["spot_train_run"]
    assert (published["mode"], published["outcome"], published["error"]) == ("preflight", "passed", None)
    assert (published["run_id"], published["leaks"]) == (receipt["run_id"], NO_LEAKS)
    assert published["usd"] == receipt["cost"]["usd"] > 0
    assert jobs.stage.left() == NO_LEAKS


def test_answers_of_the_survey_arrive_with_their_types(jobs: Jobs, preflight: Result) -> None:
    run = json.loads((jobs.left_folder() / "run.json").read_text())

    assert (run["preflight_only"], run["run_attempts"]) == (True, 1)
    assert {*SURVEY, "runs_dir", "training_source"} == set(run["extra"])


def test_the_commit_is_known_although_awx_copies_no_git_folder(jobs: Jobs, preflight: Result) -> None:
    run = json.loads((jobs.left_folder() / "run.json").read_text())

    assert re.fullmatch("[0-9a-f]{40}", run["git_revision"])


def test_the_events_show_steps_checks_and_an_end_in_their_order(preflight: Result) -> None:
    kinds = [event["event"] for event in preflight.events]
    assert (kinds[0], kinds[-1]) == ("playbook_on_start", "playbook_on_stats")
    assert [event["counter"] for event in preflight.events] == sorted(event["counter"] for event in preflight.events)
    plays = [event["event_data"]["play"] for event in preflight.events if event["event"] == "playbook_on_play_start"]
    assert plays[:3] == ["Open the run", "Request an instance", "Prepare, check and train"]
    assert plays[-1] == "Terminate again by run tag, report"
    shown = [event["stdout"] for event in preflight.events if event["event"] == "verbose"]
    assert any(line.startswith("PASS  identity") for line in shown)
    assert any(line.startswith("PASS  practice") for line in shown)
    assert not [event for event in preflight.events if event["event"] == "warning"], "something could not be loaded"


def test_the_run_is_recorded_as_in_a_terminal(jobs: Jobs, preflight: Result) -> None:
    events = [json.loads(line) for line in (jobs.left_folder() / "events.jsonl").read_text().splitlines()]

    assert [event["event"] for event in events].count("playbook_started") == 1
    assert {"open", "request", "bootstrap", "deps", "preflight", "terminate"} <= {
        step["name"] for step in jobs.receipt()["steps"] if step["status"] == "passed"
    }


def test_awx_keeps_exit_code_status_and_every_event(preflight: Result) -> None:
    assert (preflight.artefacts / "rc").read_text() == "0"
    assert (preflight.artefacts / "status").read_text() == "successful"
    kept = [path.name for path in (preflight.artefacts / "job_events").glob("*.json")]
    assert len(kept) == len(preflight.events) > 100


def test_nothing_that_awx_keeps_names_the_secret_key(jobs: Jobs, preflight: Result) -> None:
    secret = jobs.credential()["AWS_SECRET_ACCESS_KEY"]

    assert secret not in json.dumps(preflight.events)


def test_training_job_shows_folds_and_publishes_results(jobs: Jobs, training: Result) -> None:
    assert (training.status, training.rc) == ("successful", 0), training.stdout[-3000:]
    published = training.stats["spot_train_run"]
    assert (published["mode"], published["outcome"], published["folds"]) == ("full", "passed", FOLDS)
    assert (published["promoted"], published["median_ic"]) == (False, 0.0)
    folds = [event["counter"] for event in training.events if event["stdout"].lstrip().startswith("fold ")]
    begins = {event["event_data"]["play"]: event["counter"] for event in training.events
              if event["event"] == "playbook_on_play_start"}  # fmt: skip
    assert folds, "no progress was shown"
    assert max(folds) < begins["Terminate again by run tag, report"]
    assert jobs.stage.left() == NO_LEAKS


def test_a_failed_job_publishes_why_it_failed(jobs: Jobs) -> None:
    failed = jobs.train({"preflight_only": "true", "data_bucket": "not-there"})

    assert (failed.status, failed.rc) == ("failed", 2)
    published = failed.stats["spot_train_run"]
    assert (published["outcome"], published["failed_step"], published["attempts"]) == ("failed", "open", 0)
    assert "not-there" in published["error"]
    assert published["leaks"] == NO_LEAKS


def test_text_for_a_boolean_is_refused_and_not_templated(jobs: Jobs) -> None:
    before, trap = len(jobs.account.ledger("--action", "RunInstances")), jobs.stage.folder / "trap"
    answer = f"{{{{ lookup('pipe', 'touch {trap}') }}}}"

    refused = jobs.train({"preflight_only": answer})

    assert (refused.status, refused.rc) == ("failed", 2)
    said = "preflight_only: expected a value without Jinja, got text with {{. Nothing was started."
    assert [line for line in refused.stdout.splitlines() if said in line], describe(refused)
    assert not os.path.lexists(trap)
    assert len(jobs.account.ledger("--action", "RunInstances")) == before
    assert not jobs.runs.exists()
    assert refused.stats == {}
