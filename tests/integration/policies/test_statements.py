"""Every statement is needed, and every request matches AWS's reference."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.integration.policies import reference
from tests.support.account import ROOT
from tools.policies import replay, table, trials
from tools.policies.recording import Recording
from tools.policies.scene import Scene
from tools.policies.statements import POLICIES, Statement, statements

pytestmark = pytest.mark.slow

ALL = statements()
# Tried here: some of each policy and of each way to fail. `make policies` tries all.
TRIED = {
    "control_node.Look",
    "control_node.LaunchTaggedInstances",
    "control_node.EndWhatIsOurs",
    "control_node.TakeTheRollbackRole",
    "control_node.OpenSessionsToOurInstances",
    "control_node_notifications.PublishHowARunWent",
    "preflight_instance.NeverWrite",
    "training_instance.Heartbeat",
    "expiry.FindTheInstancesOfATag",
    "rollback.PutASetLive",
}


@pytest.fixture(scope="module", autouse=True)
def table_of_all(recording: Recording, request: pytest.FixtureRequest) -> Iterator[dict[str, trials.Failure]]:
    """What failed without each tried statement; prints the table at the end."""
    failures: dict[str, trials.Failure] = {}
    yield failures
    rows = [table.Row(each, replay.need(recording, each), failures.get(each.name)) for each in ALL]
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("\n" + "\n".join(" | ".join(row.cells()) for row in rows), flush=True)


def test_replayed_decisions_equal_the_recorded_ones(recording: Recording) -> None:
    assert {each.line["user"] or each.line["role"] for each in recording.asked} == set(recording.in_force)
    assert replay.disagreements(recording) == []


def test_only_expected_requests_were_refused(recording: Recording) -> None:
    refused = {(each.where, each.line["permission"]) for each in recording.asked if not each.line["allowed"]}
    assert refused == {
        ("preflight that tries to write", "s3:PutObject"),
        # amazon.aws.aws_caller_info also asks for the account's alias, which is optional.
        ("rollback", "iam:ListAccountAliases"),
    }


def test_requests_have_a_resource_where_aws_defines_one(recording: Recording) -> None:
    asked = {(each.line["permission"], each.line["resource"]) for each in recording.asked}
    assert len({permission for permission, _ in asked}) > 40
    for permission, resource in asked:
        assert (resource == "*") == (not reference.action(permission).types), f"{permission} on {resource}"


def test_launch_has_all_required_resources_and_valid_keys(recording: Recording) -> None:
    action, kinds = reference.action("ec2:RunInstances"), set()
    for each in recording.asked:
        if each.line["permission"] == "ec2:RunInstances":
            kind = each.line["resource"].split(":")[5].partition("/")[0]
            kinds.add(kind)
            known = action.keys.get(kind, {"aws:RequestTag/${TagKey}", "aws:TagKeys"}) | action.keys[reference.NO_TYPE]
            known |= {"ec2:LaunchTemplate", "ec2:IsLaunchTemplateResource"}
            own = {key for key in each.line["context"] if key not in GLOBAL}
            assert {key for key in own if not any(reference.same(key, one) for one in known)} == set(), kind
    assert kinds == action.required | {"launch-template", "spot-instances-request", "volume"}


GLOBAL = {"aws:PrincipalArn", "aws:RequestedRegion", "aws:SecureTransport", "aws:SourceIp"}


@pytest.mark.parametrize("statement", ALL, ids=lambda each: each.name)
def test_recorded_runs_need_all_of_the_statement(recording: Recording, statement: Statement) -> None:
    assert replay.need(recording, statement), "no recorded request needs it"
    assert replay.idle_parts(recording, statement) == []


def test_exceptions_name_existing_parts() -> None:
    parts = {(each.policy, each.sid): {*each.actions(), *each.resources()} for each in ALL}
    for statement, beyond in replay.BEYOND.items():
        assert beyond <= parts[statement]


def test_unused_statement_or_action_is_detected(recording: Recording) -> None:
    content = {"Sid": "Idle", "Effect": "Allow", "Action": "ec2:RebootInstances", "Resource": "*"}
    assert replay.need(recording, Statement("control_node", "Idle", content)) == []
    look = next(each for each in ALL if each.sid == "Look")
    wider = {**look.content, "Action": [*look.actions(), "ec2:DescribeVpcs"]}
    assert replay.idle_parts(recording, Statement("control_node", "Look", wider)) == ["ec2:DescribeVpcs"]


@pytest.mark.parametrize("statement", [each for each in ALL if each.name in TRIED], ids=lambda each: each.name)
def test_removing_the_statement_breaks_something(
    scene: Scene, recording: Recording, statement: Statement, table_of_all: dict[str, trials.Failure]
) -> None:
    failure = trials.fail(scene, statement)

    assert failure is not None, "nothing failed without the statement"
    assert failure.step and failure.message
    table_of_all[statement.name] = failure
    asked = replay.need(recording, statement)
    if not statement.denies:
        actions = {each.line["permission"] for each in asked}
        assert any(action.lower() in failure.message.lower() for action in actions), failure.message


def test_trials_cover_each_policy() -> None:
    assert {name.partition(".")[0] for name in TRIED} == set(POLICIES)
    assert {each.name for each in ALL} >= TRIED


def test_documentation_has_a_row_for_each_statement() -> None:
    text = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.between(text).splitlines()[2:]]
    assert [(row[0], row[1]) for row in rows] == [(each.policy, each.sid) for each in ALL]
    assert all(len(row) == 4 and row[3].startswith("**") for row in rows), json.dumps(rows)
