"""The data in awx/ says what the playbooks, the roles and AWX say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from jinja2 import sandbox

from awx_check import notifications, surveys
from scripts import awx_surveys, role_docs
from tests.awx.conftest import PROJECT

Data = dict[str, Any]


@pytest.fixture(scope="module")
def templates(data: Data) -> dict[str, Data]:
    return {one["name"]: one for one in data["job_templates"]}


@pytest.fixture(scope="module")
def described() -> dict[str, role_docs.Input]:
    """Every input of every role, as the argument specs describe it."""
    return {
        one.name: one
        for role in role_docs.roles(PROJECT)
        for spec in role_docs.entry_points(role).values()
        for one in role_docs.inputs(spec.get("options") or {})
    }


def test_the_surveys_are_what_the_argument_specs_make_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert (awx_surveys.main(["--check"], PROJECT), capsys.readouterr().err) == (0, "")


def test_each_question_has_the_name_type_choices_default_and_help_of_its_input(
    data: Data, described: dict[str, role_docs.Input]
) -> None:
    """The same once more, worked out from the other end: from the question to the input."""
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


def test_every_input_of_a_run_is_asked_for_or_there_is_a_reason(data: Data) -> None:
    own = role_docs.entry_points(PROJECT / "roles/run_open")["main"]["options"]
    asked = {question["variable"] for question in data["surveys"]["spot-train"]["spec"]}
    assert set(own) - asked == set(awx_surveys.NOT_ASKED)


def test_a_survey_of_what_awx_cannot_ask_is_an_error(described: dict[str, role_docs.Input]) -> None:
    with pytest.raises(awx_surveys.SurveyError, match="no question for training_source"):
        awx_surveys.question("training_source", described["training_source"])


def test_a_survey_that_is_out_of_date_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("roles", "group_vars"):
        (tmp_path / name).symlink_to(PROJECT / name)
    (tmp_path / "awx").mkdir()
    assert awx_surveys.main(["--check"], tmp_path) == 1
    assert "run .venv/bin/python scripts/awx_surveys.py" in capsys.readouterr().err
    assert awx_surveys.main([], tmp_path) == 0
    assert awx_surveys.main(["--check"], tmp_path) == 0


def test_a_bool_becomes_a_choice_of_two_texts(described: dict[str, role_docs.Input]) -> None:
    question = awx_surveys.question("run_guard", described["run_guard"], True)
    assert (question["type"], question["choices"], question["default"]) == ("multiplechoice", ["true", "false"], "true")


def test_awx_takes_every_survey(data: Data) -> None:
    assert {name: surveys.problem(spec) for name, spec in data["surveys"].items()} == dict.fromkeys(data["surveys"], "")


def test_each_template_gives_its_playbook_what_that_takes(templates: dict[str, Data], data: Data) -> None:
    for name, template in templates.items():
        plays = yaml.safe_load((PROJECT / template["playbook"]).read_text())
        tasks = [task for play in plays for task in play.get("tasks", [])]
        only = next((task["run_inputs"]["only"] for task in tasks if task.get("run_inputs")), None)
        if only is None:
            assert template["takes"] == "all", f"{name}: train.yml takes everything"
            continue
        asked = {question["variable"] for question in data["surveys"].get(template.get("survey"), {}).get("spec", [])}
        # Who ended a run is said by the guard, not by a person.
        assert set(template["takes"]) | asked == set(only) - {"run_ended_by"}, name


def test_variables_of_a_workflow_are_questions_of_the_template_and_fit(data: Data, templates: dict[str, Data]) -> None:
    for workflow in data["workflows"]:
        for node in workflow["nodes"]:
            template = templates[node["template"]]
            spec = data["surveys"].get(template.get("survey"), {})
            variables = node.get("variables", {})
            assert set(variables) <= {question["variable"] for question in spec.get("spec", [])}
            assert surveys.answer_problems(spec, variables) == []


def test_saturday_trains_in_full_with_the_limit_and_two_retries(data: Data) -> None:
    saturday = next(one for one in data["workflows"] if one["name"] == "spot-saturday")
    nodes = {node["identifier"]: node for node in saturday["nodes"]}
    assert nodes["train"]["variables"] == {"training_mode": "full", "training_full_seconds": 5400, "run_attempts": "3"}
    assert (nodes["preflight"]["success"], nodes["preflight"]["failure"]) == (["train"], ["reap"])
    assert nodes["train"]["always"] == ["reap"]


def test_the_time_out_of_a_job_is_later_than_every_limit_of_a_run(templates: dict[str, Data]) -> None:
    """A lease is the longest that an instance lives; three in turn is the most that a run may have."""
    lease = 60 * role_docs.load(PROJECT / "roles/spot_instance/defaults/main.yml")["spot_instance_lease_minutes"]
    assert templates["spot-train"]["timeout"] > 3 * lease
    assert templates["spot-reap"]["timeout"] > 600, "the next one must not be what ends it"


def test_somebody_is_told_of_every_failure_and_of_each_end_once(data: Data, templates: dict[str, Data]) -> None:
    assert {name for name, one in templates.items() if "error" in one["notify"]} == set(templates)
    for workflow in data["workflows"]:
        for node in workflow["nodes"]:
            assert not set(workflow["notify"]) & set(templates[node["template"]]["notify"]), workflow["name"]


def test_what_a_workflow_or_schedule_starts_is_unique_by_name(data: Data) -> None:
    names = [one["name"] for one in data["job_templates"] + data["workflows"]]
    names += [data["project"]["name"], data["inventory"]["source"]["name"]]
    assert len(set(names)) == len(names)
    assert {one["template"] for one in data["schedules"]} <= set(names)


def test_no_organisation_is_named(data: Data) -> None:
    text = "\n".join(path.read_text() for path in (PROJECT / "awx").glob("*.yml"))
    assert not re.search(r"https?://|arn:aws|@\w+\.\w+|AKIA|\d{12}", text)
    assert set(re.findall(r"\bcontroller_\w+", text)) <= set(
        role_docs.load(PROJECT / "roles/controller/defaults/main.yml")
    )


def test_the_playbook_takes_the_inputs_of_the_role_and_no_other() -> None:
    play = yaml.safe_load((PROJECT / "playbooks/awx.yml").read_text())[0]
    assert set(play["tasks"][0]["run_inputs"]["only"]) == set(
        role_docs.load(PROJECT / "roles/controller/defaults/main.yml")
    )


RUN = {
    "run_id": "r1",
    "mode": "full",
    "outcome": "failed",
    "failed_step": "full",
    "error": "no folds",
    "leaks": {"volumes": 0},
}


def rendered(text: str, **job: Any) -> str:
    """A message as AWX sends it."""
    environment = sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.ChainableUndefined)
    context = {**notifications.CONTEXT, "job": {**notifications.CONTEXT["job"], "name": "spot-train", **job}}
    return environment.from_string(text).render(**context)


@pytest.mark.parametrize(
    ("event", "job", "said"),
    [
        (
            "success",
            {"artifacts": {"spot_train_run": {**RUN, "promoted": True}}},
            ["passed", "Run r1", "promoted: True"],
        ),
        ("success", {"artifacts": {}}, ["passed"]),
        (
            "error",
            {"status": "failed", "artifacts": {"spot_train_run": RUN}},
            ["failed.", "in the step full: no folds"],
        ),
        ("error", {"status": "canceled"}, ["canceled.", "It published nothing"]),
        ("error", {"status": "failed", "job_explanation": "Job terminated due to timeout"}, ["ran out of time."]),
    ],
    ids=["passed", "a sweep passed", "failed", "cancelled", "timed out"],
)
def test_a_message_says_how_it_ended(data: Data, event: str, job: Data, said: list[str]) -> None:
    assert notifications.message_problems(data["messages"]) == []
    body = rendered(data["messages"][event]["body"], **job)
    assert [text for text in said if text not in body] == []
    assert "\n" not in rendered(data["messages"][event]["message"], **job)
    assert ("ran out of time" in rendered(data["messages"][event]["message"], **job)) is ("job_explanation" in job)
