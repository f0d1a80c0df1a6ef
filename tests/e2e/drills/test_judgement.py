"""What says that a drill held can say that it did not."""

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
    """A drill about a command that ended with 0."""
    return Drill("probe", "nothing", "never", expected or Expected(None, (0,)), act)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.drills.drill.CLOSING_SECONDS", 1.0)


def test_a_drill_that_leaves_nothing_holds(stage: Stage) -> None:
    assert perform(drill(lambda stage: Seen(None, code=0)), stage).problems == []


def test_what_is_left_is_counted_by_kind(stage: Stage) -> None:
    def leaves(stage: Stage) -> Seen:
        stage.cloud.launch({"project": "spot-train", "run_id": "x"})
        return Seen(None, code=0)

    row = perform(drill(leaves), stage)

    assert row.problems == ["left: 1 instances, 1 volumes"]
    assert "DOES NOT HOLD: left" in line(row)
    assert stage.left()["instances"] == 0, "the next drill would begin with what this one left"


def test_an_instance_that_lives_too_long_is_told(stage: Stage) -> None:
    row = perform(drill(lambda _: Seen(None, code=0, gone_after=11.0), Expected(None, (0,), gone_within=10)), stage)

    assert row.problems == ["gone after 11.0 s, 10 s are allowed"]


def test_beside_other_tests_an_instance_may_live_a_little_longer_and_no_more(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    for tasks, seconds in ((0.5, 0.0), (2.0, 0.0), (3.0, 5.0), (64.0, 20.0)):
        monkeypatch.setattr("os.getloadavg", lambda tasks=tasks: (tasks, 9.0, 9.0))
        assert busy_seconds(10) == seconds
    late = drill(lambda _: Seen(None, code=0, gone_after=31.0), Expected(None, (0,), gone_within=10))

    assert perform(late, stage, slack=busy_seconds(10)).problems == ["gone after 31.0 s, 30 s are allowed"]
    assert perform(late, stage, slack=21.5).problems == []


def test_a_wrong_exit_code_and_a_missing_word_are_told(stage: Stage) -> None:
    row = perform(drill(lambda _: Seen(None, code=1, output="no"), Expected(None, (0,), says="yes")), stage)

    assert row.problems == ["exit code 1, expected 0", "nobody says 'yes'"]


def test_a_drill_that_gets_stuck_is_a_row_that_does_not_hold(stage: Stage) -> None:
    def stuck(stage: Stage) -> Seen:
        raise Stuck("nothing happened")

    assert perform(drill(stuck), stage).problems == ["nothing happened"]


# Last: this stage is spoilt after it.
def test_a_bystander_that_was_touched_is_told(stage: Stage) -> None:
    def touches(stage: Stage) -> Seen:
        ec2 = stage.account.client("ec2")
        victims = ec2.describe_launch_templates()["LaunchTemplates"]
        ec2.delete_launch_template(LaunchTemplateName=victims[0]["LaunchTemplateName"])
        return Seen(None, code=0)

    (problem,) = perform(drill(touches), stage).problems
    assert problem.startswith("launch template spot-train-2-") and problem.endswith("is gone")


def test_a_soak_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    assert plan(5, 1) == plan(50, 1)[:5]
    assert plan(50, 1) != plan(50, 2)
    assert len({hit.signal for hit in plan(50, 1)}) == 3


def test_drills_are_chosen_by_name() -> None:
    chosen = select(all_drills(), ["sigkill-*"], fast=False)
    assert len(chosen) == 6
    assert select(all_drills(), ["no-such-drill"], fast=False) == []


def test_every_drill_has_a_row_in_the_page_of_failures() -> None:
    page = (ROOT / "docs" / "failures.md").read_text()
    named = {name for row in page.splitlines() if row.startswith("| `") for name in row.split("|")[1].split("`")[1::2]}
    drills = {drill.name for drill in all_drills()}
    assert len(drills) == len(all_drills())
    assert drills <= named, sorted(drills - named)
