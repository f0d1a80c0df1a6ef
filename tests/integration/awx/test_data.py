"""The data in awx/ agrees with the playbooks, the roles and AWX."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.spot_train.core.plugins.module_utils.report.published import published
from ansible_collections.spot_train.core.plugins.module_utils.report.receipt import Inputs, build_receipt

from tests.integration.awx.conftest import PROJECT
from tools import argument_specs, awx_surveys
from tools.awx_check import notifications, surveys

#: The action that checks the inputs.
GATE = "spot_train.core.run_inputs"
Data = dict[str, Any]


@pytest.fixture(scope="module")
def templates(data: Data) -> dict[str, Data]:
    return {one["name"]: one for one in data["job_templates"]}


@pytest.fixture(scope="module")
def described() -> dict[str, argument_specs.Input]:
    return awx_surveys.described_inputs(PROJECT)


def test_surveys_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert (awx_surveys.main(["--check"], PROJECT), capsys.readouterr().err) == (0, "")


def test_each_question_matches_its_input(data: Data, described: dict[str, argument_specs.Input]) -> None:
    """Compare in the other direction than `awx_surveys.py`: from the question to the input."""
    group_vars = yaml.safe_load((PROJECT / "group_vars/all.yml").read_text())
    kinds = {
        "multiplechoice": ("str", "int", "bool"),
        "multiselect": ("list of str",),
        "integer": ("int",),
        "text": ("str", "path"),
    }
    asked = [question for survey in data["surveys"].values() for question in survey["spec"]]
    assert len(asked) == 7
    for question in asked:
        name = question["variable"]
        one = described[awx_surveys.ALIASES.get(name, name)]
        assert one.type in kinds[question["type"]], name
        assert [str(choice) for choice in one.choices] == question.get("choices", []), name
        assert question["question_description"] == re.sub(r"[CVO]\(([^)]*)\)", r"\1", " ".join(one.description.split()))
        default = group_vars.get(name, one.default)
        expected = "\n".join(default) if isinstance(default, list) else default
        assert str(question.get("default")) == str(expected), name
        assert question["required"] is (default is None), name
        assert question.get("min") == (1 if question["type"] == "integer" else None), name


def test_inputs_without_a_question_are_listed(data: Data) -> None:
    own = argument_specs.entry_points(PROJECT / "roles/run_open")["main"]["options"]
    asked = {question["variable"] for question in data["surveys"]["spot-train"]["spec"]}
    assert set(own) - asked == set(awx_surveys.NOT_ASKED)


def test_question_of_an_unsupported_type_is_an_error(described: dict[str, argument_specs.Input]) -> None:
    with pytest.raises(awx_surveys.SurveyError, match="training_source: AWX has no questions of type dict"):
        awx_surveys.question("training_source", described["training_source"])


def test_outdated_surveys_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("roles", "group_vars"):
        (tmp_path / name).symlink_to(PROJECT / name)
    (tmp_path / "awx").mkdir()
    assert awx_surveys.main(["--check"], tmp_path) == 1
    assert "run .venv/bin/python tools/awx_surveys.py" in capsys.readouterr().err
    assert awx_surveys.main([], tmp_path) == 0
    assert awx_surveys.main(["--check"], tmp_path) == 0


def test_bool_becomes_a_choice_of_two_strings(described: dict[str, argument_specs.Input]) -> None:
    question = awx_surveys.question("run_watchdog", described["run_watchdog"], True)
    assert (question["type"], question["choices"], question["default"]) == ("multiplechoice", ["true", "false"], "true")


def test_awx_accepts_every_survey(data: Data) -> None:
    assert {name: surveys.problem(spec) for name, spec in data["surveys"].items()} == dict.fromkeys(data["surveys"], "")


def test_templates_pass_the_inputs_of_their_playbooks(templates: dict[str, Data], data: Data) -> None:
    for name, template in templates.items():
        plays = yaml.safe_load((PROJECT / template["playbook"]).read_text())
        tasks = [task for play in plays for task in play.get("tasks", [])]
        only = next((task[GATE]["only"] for task in tasks if GATE in task), None)
        if only is None:
            assert template["takes"] == "all", f"{name}: train.yml takes everything"
            continue
        asked = {question["variable"] for question in data["surveys"].get(template.get("survey"), {}).get("spec", [])}
        # Only the watchdog sets run_ended_by.
        assert set(template["takes"]) | asked == set(only) - {"run_ended_by"}, name


def test_workflow_variables_are_valid_survey_answers(data: Data, templates: dict[str, Data]) -> None:
    for workflow in data["workflows"]:
        for node in workflow["nodes"]:
            template = templates[node["template"]]
            spec = data["surveys"].get(template.get("survey"), {})
            variables = node.get("variables", {})
            assert set(variables) <= {question["variable"] for question in spec.get("spec", [])}
            assert surveys.answer_problems(spec, variables) == []


def test_saturday_trains_in_full_with_two_retries(data: Data) -> None:
    saturday = next(one for one in data["workflows"] if one["name"] == "spot-saturday")
    nodes = {node["identifier"]: node for node in saturday["nodes"]}
    assert nodes["train"]["variables"] == {"training_mode": "full", "run_attempts": "3"}
    assert (nodes["preflight"]["success"], nodes["preflight"]["failure"]) == (["train"], ["reap"])
    assert nodes["train"]["always"] == ["reap"]


def test_job_timeout_exceeds_every_limit_of_a_run(templates: dict[str, Data]) -> None:
    """A lease limits the life of an instance, and a run has at most three, one after another."""
    lease = 60 * argument_specs.load(PROJECT / "roles/spot_instance/defaults/main.yml")["spot_instance_lease_minutes"]
    assert templates["spot-train"]["timeout"] > 3 * lease
    assert templates["spot-preflight"]["timeout"] > lease
    assert templates["spot-reap"]["timeout"] > 600, "longer than the interval of the schedule"


def test_preflight_template_cannot_train(data: Data, templates: dict[str, Data]) -> None:
    preflight = templates["spot-preflight"]
    asked = {question["variable"] for question in data["surveys"][preflight["survey"]]["spec"]}
    assert preflight["variables"] == {"preflight_only": True}
    assert not {"variables", "tags", "skip_tags"} & set(preflight["ask"])
    assert asked == {"spot_instance_markets"}
    assert [name for name, one in templates.items() if "variables" in one["ask"]] == ["spot-train"]


def test_cleanup_jobs_do_not_need_the_git_server(data: Data, templates: dict[str, Data]) -> None:
    """AWX fails a job if its project or inventory source must be updated first and the update fails."""
    updated = {one["name"]: one["scm_update_on_launch"] for one in data["projects"]}
    assert {name for name, one in templates.items() if not updated[one["project"]]} == {
        "spot-reap", "spot-terminate", "spot-rollback"
    }  # fmt: skip
    assert not data["inventory"]["source"]["update_on_launch"]
    # AWX refuses the jobs of a project whose update failed, so no schedule or workflow may start an update.
    still = {name for name, on_launch in updated.items() if not on_launch}
    started = [one["template"] for one in data["schedules"]]
    started += [node["template"] for workflow in data["workflows"] for node in workflow["nodes"]]
    assert still.isdisjoint(started)


def test_every_failure_sends_a_notification(data: Data, templates: dict[str, Data]) -> None:
    assert {name for name, one in templates.items() if "error" in one["notify"]} == set(templates)
    on_success = {name for name, one in templates.items() if "success" in one["notify"]}
    assert on_success == {"spot-train", "spot-preflight", "spot-rollback"}
    # A workflow's notification would lack what its jobs published.
    assert [workflow["notify"] for workflow in data["workflows"]] == [[], []]


def test_names_that_workflows_and_schedules_use_are_unique(data: Data) -> None:
    names = [one["name"] for one in data["job_templates"] + data["workflows"]]
    names += [*(one["name"] for one in data["projects"]), data["inventory"]["source"]["name"]]
    assert len(set(names)) == len(names)
    assert {one["template"] for one in data["schedules"]} <= set(names)


def test_data_contains_no_organisation(data: Data) -> None:
    text = "\n".join(path.read_text() for path in (PROJECT / "awx").glob("*.yml"))
    assert not re.search(r"https?://|arn:aws|@\w+\.\w+|AKIA|\d{12}", text)
    assert set(re.findall(r"(?<!/)\bawx_\w+", text)) <= set(
        argument_specs.load(PROJECT / "roles/awx/defaults/main.yml")
    )


def test_playbook_takes_exactly_the_inputs_of_the_role() -> None:
    play = yaml.safe_load((PROJECT / "playbooks/awx.yml").read_text())[0]
    assert set(play["tasks"][0][GATE]["only"]) == set(argument_specs.load(PROJECT / "roles/awx/defaults/main.yml"))


RUN: Data = published(
    build_receipt(
        Inputs(
            run={
                "run_id": "20260103T090000Z-0a1b2c",
                "run_dir": "runs/20260103T090000Z-0a1b2c",
                "mode": "full",
                "started_at": "2026-01-03T09:00:00Z",
                "notes": [],
            },
            leaks={"instances": 0, "volumes": 0},
            error="no folds\nat all",
        )
    ),
    "receipt.json",
    "report.html",
)
PASSED: Data = {**RUN, "outcome": "passed", "error": None}
LEFT = {"instances": 0, "volumes": 2}
ENDED: Data = {"run_id": RUN["run_id"], "ended": {"instances": ["i-1"]}, "left": LEFT, "error": None}
REAPED: Data = {"ended": {}, "left": {}, "error": "5 instances would be ended"}
ROLLED: Data = {
    "id": "rollback-1",
    "to": "2025-12-20",
    "data_bucket": "d",
    "live": False,
    "changed": False,
    "detail": "nothing is archived for 2025-12-20",
}
PUBLISHED = {"spot_train_ended": ENDED, "spot_train_reaped": REAPED, "spot_train_rollback": ROLLED}


def published_below(part: Any) -> Data:
    """What the tasks in a part of a playbook or role publish."""
    below = list(part.values()) if isinstance(part, dict) else part if isinstance(part, list) else []
    found: Data = part.get("ansible.builtin.set_stats", {}).get("data", {}) if isinstance(part, dict) else {}
    return {**found, **{name: value for one in below for name, value in published_below(one).items()}}


def test_artifacts_of_these_tests_match_the_playbooks() -> None:
    folders = (*(PROJECT / "roles").glob("*/tasks"), PROJECT / "playbooks")
    parts = [yaml.safe_load(path.read_text()) for folder in folders for path in folder.glob("*.yml")]
    found = published_below(parts)
    assert found.keys() == {"spot_train_run", *PUBLISHED}
    assert {name: set(found[name]) for name in PUBLISHED} == {name: set(value) for name, value in PUBLISHED.items()}


MESSAGES: dict[str, tuple[str, Data, str, list[str]]] = {
    "a run passed": (
        "success",
        {"artifacts": {"spot_train_run": {**PASSED, "folds": 57, "median_ic": 0.03, "promoted": True}}},
        f"passed, run {RUN['run_id']}, ",
        [f"Run {RUN['run_id']}: full", "Median IC 0.03, promoted: True", "Left over: {'instances': 0"],
    ),
    "a preflight passed": (
        "success",
        {"artifacts": {"spot_train_run": {**PASSED, "mode": "preflight"}}},
        f"passed, run {RUN['run_id']}, ",
        [f"Run {RUN['run_id']}: preflight", "Left over: {'instances': 0"],
    ),
    "a job that published nothing": ("success", {}, "ended without a result, ", ["ended without a result after"]),
    "a run without an outcome": (
        "success",
        {"artifacts": {"spot_train_run": {**RUN, "outcome": None}}},
        f"ended without a result, run {RUN['run_id']}, ",
        ["ended without a result after"],
    ),
    "a rollback whose set is not live": (
        "success",
        {"artifacts": {"spot_train_rollback": ROLLED}},
        "ended without a result, run rollback-1, nothing is archived for 2025-12-20, ",
        ["ended without a result after"],
    ),
    "a check passed": ("success", {"job_type": "check"}, "passed (check only), ", ["It only checked the account"]),
    "a rollback passed": (
        "success",
        {"artifacts": {"spot_train_rollback": {**ROLLED, "live": True, "detail": "live again"}}},
        "passed, run rollback-1, live again, ",
        ["Rollback rollback-1 to 2025-12-20: live again"],
    ),
    "a workflow": (
        "success",
        {"artifacts": None, "job_type": None},
        "ended without a result, ",
        ["ended without a result after"],
    ),
    "a run failed": (
        "error",
        {"status": "failed", "artifacts": {"spot_train_run": RUN}},
        f"failed, run {RUN['run_id']}: no folds at all, ",
        ["failed.", "no folds\nat all", "Left over: {'instances': 0"],
    ),
    "a run failed and left resources": (
        "error",
        {"status": "failed", "artifacts": {"spot_train_run": {**RUN, "leaks": LEFT}}},
        f"failed, run {RUN['run_id']}: no folds at all, left over: volumes: 2, ",
        ["Left over: {'instances': 0, 'volumes': 2}"],
    ),
    "a run left resources": (
        "error",
        {"status": "failed", "artifacts": {"spot_train_ended": ENDED}},
        f"failed, run {RUN['run_id']}, left over: volumes: 2, ",
        [f"Run {RUN['run_id']}: ended {{'instances': ['i-1']}}", "Left over: {'instances': 0, 'volumes': 2}"],
    ),
    "a reported run left resources": (
        "error",
        {"status": "failed", "artifacts": {"spot_train_run": RUN, "spot_train_ended": {**ENDED, "error": "denied"}}},
        f"failed, run {RUN['run_id']}: denied, left over: volumes: 2, ",
        ["Error: denied"],
    ),
    "the reaper failed": (
        "error",
        {"status": "failed", "artifacts": {"spot_train_reaped": REAPED}},
        "failed: 5 instances would be ended, ",
        ["Past its lease: ended {}", "Error: 5 instances would be ended"],
    ),
    "a rollback failed": (
        "error",
        {"status": "failed", "artifacts": {"spot_train_rollback": ROLLED}},
        "failed, run rollback-1: nothing is archived for 2025-12-20, ",
        ["The set is live: False"],
    ),
    "a check failed": (
        "error",
        {"status": "failed", "job_type": "check"},
        "failed (check only), ",
        ["It only checked the account", "It published nothing"],
    ),
    "cancelled": ("error", {"status": "canceled"}, "canceled, ", ["canceled.", "It published nothing"]),
    "timed out": (
        "error",
        {"status": "failed", "job_explanation": "Job terminated due to timeout"},
        "ran out of time: Job terminated due to timeout, ",
        ["ran out of time.", "It published nothing"],
    ),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_message_names_the_run_and_its_result(data: Data, case: str) -> None:
    """Check both the line, which is all that Slack shows, and the body of an e-mail."""
    event, job, line, details = MESSAGES[case]
    assert notifications.message_problems(data["messages"]) == []
    texts = data["messages"][event]

    message = notifications.render(texts["message"], name="spot-train", **job)
    body = notifications.render(texts["body"], name="spot-train", **job)

    assert message == f"spot-train: {line}{notifications.CONTEXT['url']}"
    assert [text for text in details if text not in body] == []
    assert ("It published nothing" in body) is ("It published nothing" in details)
    assert not re.search(r"\bNone\b", message)
