"""The evaluation of drills detects failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.playbook import Stuck
from tests.support.stage import Stage
from tests.support.waiting import busy_seconds
from tools.drills.__main__ import line, select
from tools.drills.catalogue import all_drills
from tools.drills.drill import Drill, Expected, Seen, perform
from tools.drills.soak import plan

ROOT = Path(__file__).resolve().parents[3]


def drill(act: object, expected: Expected | None = None) -> Drill:
    """A drill that expects exit code 0 of a command."""
    return Drill("probe", "nothing", "never", expected or Expected(None, (0,)), act)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.drills.drill.CLOSING_SECONDS", 1.0)


def test_drill_that_leaves_nothing_holds(stage: Stage) -> None:
    assert perform(drill(lambda stage: Seen(None, code=0)), stage).problems == []


def test_leftovers_are_counted_by_kind(stage: Stage) -> None:
    def leaves(stage: Stage) -> Seen:
        stage.cloud.launch({"project": "spot-train", "run_id": "x"})
        return Seen(None, code=0)

    row = perform(drill(leaves), stage)

    assert row.problems == ["left: 1 instances, 1 volumes"]
    assert "DOES NOT HOLD: left" in line(row)
    assert stage.left()["instances"] == 0, "the next drill must start with an empty stage"


def test_late_end_of_an_instance_is_a_problem(stage: Stage) -> None:
    row = perform(drill(lambda _: Seen(None, code=0, gone_after=11.0), Expected(None, (0,), gone_within=10)), stage)

    assert row.problems == ["gone after 11.0 s, expected at most 10 s"]


def test_loaded_machine_allows_some_more_seconds(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    for tasks, seconds in ((0.5, 0.0), (2.0, 0.0), (3.0, 5.0), (64.0, 20.0)):
        monkeypatch.setattr("os.getloadavg", lambda tasks=tasks: (tasks, 9.0, 9.0))
        assert busy_seconds(10) == seconds
    late = drill(lambda _: Seen(None, code=0, gone_after=31.0), Expected(None, (0,), gone_within=10))

    assert perform(late, stage, slack=busy_seconds(10)).problems == ["gone after 31.0 s, expected at most 30 s"]
    assert perform(late, stage, slack=21.5).problems == []


def test_wrong_exit_code_and_missing_text_are_problems(stage: Stage) -> None:
    row = perform(drill(lambda _: Seen(None, code=1, output="no"), Expected(None, (0,), says="yes")), stage)

    assert row.problems == ["exit code 1, expected 0", "not found in output or receipt: 'yes'"]


def test_stuck_drill_does_not_hold(stage: Stage) -> None:
    def stuck(stage: Stage) -> Seen:
        raise Stuck("nothing happened")

    assert perform(drill(stuck), stage).problems == ["nothing happened"]


# Keep this test last: it changes the stage.
def test_touched_bystander_is_a_problem(stage: Stage) -> None:
    def touches(stage: Stage) -> Seen:
        ec2 = stage.account.client("ec2")
        victims = ec2.describe_launch_templates()["LaunchTemplates"]
        ec2.delete_launch_template(LaunchTemplateName=victims[0]["LaunchTemplateName"])
        return Seen(None, code=0)

    (problem,) = perform(drill(touches), stage).problems
    assert problem.startswith("launch template spot-train-2-") and problem.endswith("is gone")


def test_soak_depends_only_on_its_seed() -> None:
    assert plan(5, 1) == plan(50, 1)[:5]
    assert plan(50, 1) != plan(50, 2)
    assert len({hit.signal for hit in plan(50, 1)}) == 3


def test_drills_are_selected_by_name() -> None:
    chosen = select(all_drills(), ["sigkill-*"], fast=False)
    assert len(chosen) == 6
    assert select(all_drills(), ["no-such-drill"], fast=False) == []


def test_documentation_lists_every_drill() -> None:
    page = (ROOT / "docs" / "failures.md").read_text()
    named = {name for row in page.splitlines() if row.startswith("| `") for name in row.split("|")[1].split("`")[1::2]}
    drills = {drill.name for drill in all_drills()}
    assert len(drills) == len(all_drills())
    assert drills <= named, sorted(drills - named)
