"""Schedules run when they are due, with the permissions of their role."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import ClientError

ACCOUNT = "123456789012"
ROLE = "expiry"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
EXPIRY = Path(__file__).parents[1] / "data" / "expiry.json"
AUTOMATION = "arn:aws:scheduler:::aws-sdk:ssm:startAutomationExecution"
TERMINATE = "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances"

Launch = Callable[..., str]
Schedule = Callable[..., str]
WaitUntil = Callable[[Callable[[], object], str], None]


def error(call: Callable[[], Any]) -> tuple[str, str]:
    """Code and message of a refused call."""
    with pytest.raises(ClientError) as caught:
        call()
    found = caught.value.response["Error"]
    return found["Code"], found["Message"]


def at(moment: datetime) -> str:
    return f"at({moment.strftime('%Y-%m-%dT%H:%M:%S')})"


def soon(seconds: float = 1) -> str:
    return at(datetime.now(UTC) + timedelta(seconds=seconds))


def trust(*services: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": list(services)}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def runbook(run: str, **more: Any) -> dict[str, Any]:
    """Arguments that start the runbook for the instances of a run."""
    return {
        "DocumentName": "AWS-TerminateEC2Instance",
        "TargetParameterName": "InstanceId",
        "Targets": [{"Key": "tag:run_id", "Values": [run]}],
        "Parameters": {"AutomationAssumeRole": [ROLE_ARN]},
        "MaxConcurrency": "1",
        "MaxErrors": "0",
        **more,
    }


def tagged(run: str, project: str = "spot-train") -> list[dict[str, Any]]:
    tags = {"run_id": run, "project": project}
    return [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]


@pytest.fixture
def run() -> str:
    return f"run-{time.monotonic_ns()}"


@pytest.fixture(autouse=True)
def role(server: Any) -> Iterator[None]:
    """A role that may terminate the instances of one project through the runbook."""
    iam = server.client("iam")
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust("scheduler.amazonaws.com", "ssm.amazonaws.com"))
    iam.put_role_policy(RoleName=ROLE, PolicyName="expiry", PolicyDocument=EXPIRY.read_text())
    yield
    iam.delete_role_policy(RoleName=ROLE, PolicyName="expiry")
    iam.delete_role(RoleName=ROLE)


@pytest.fixture
def schedule(server: Any, run: str) -> Iterator[Schedule]:
    """Creates schedules; it deletes the remaining ones afterwards."""
    client = server.client("scheduler")
    made: list[str] = []

    def make(expression: str, arn: str = AUTOMATION, asked: Any = None, **options: Any) -> str:
        made.append(f"spot-train-{run}-{len(made)}")
        target = {"Arn": arn, "RoleArn": ROLE_ARN, "Input": json.dumps(runbook(run) if asked is None else asked)}
        client.create_schedule(
            **{
                "Name": made[-1],
                "ScheduleExpression": expression,
                "FlexibleTimeWindow": {"Mode": "OFF"},
                "Target": target,
                "ActionAfterCompletion": "DELETE",
                **options,
            }
        )
        return made[-1]

    yield make
    for name in made:
        if exists(server, name):
            client.delete_schedule(Name=name)


def exists(server: Any, name: str) -> bool:
    return bool(server.client("scheduler").list_schedules(NamePrefix=name)["Schedules"])


def calls(server: Any, source: str, since: int) -> list[tuple[Any, ...]]:
    """Calls of a service since a ledger line: permission, allowed, error."""
    lines = [line for line in server.ledger("--source", source) if line["id"] > since]
    return [(line["permission"], line["allowed"], line["error"]) for line in lines]


def now_in(server: Any) -> int:
    return int(server.ledger()[-1]["id"])


def test_schedule_terminates_its_run_and_is_deleted(
    server: Any, launch: Launch, run: str, schedule: Schedule, wait_until: WaitUntil
) -> None:
    mine, second, others = (launch(TagSpecifications=tagged(each)) for each in (run, run, f"{run}-other"))
    since = now_in(server)
    due = datetime.now(UTC) + timedelta(seconds=10)
    name = schedule(at(due))
    assert {"name": name, "expression": at(due), "state": "ENABLED"} in server.status()["schedules"]
    for instance in (mine, second):
        server.await_state(instance, "terminated")
    assert datetime.now(UTC) >= due.replace(microsecond=0)
    assert server.state(others) in ("pending", "running")
    wait_until(lambda: not exists(server, name), "the schedule is not deleted")
    wait_until(lambda: len(calls(server, "ssm", since)) >= 3, "not all calls are logged")
    assert calls(server, "scheduler", since) == [("ssm:StartAutomationExecution", True, None)]
    assert calls(server, "ssm", since) == [
        ("ec2:DescribeInstances", True, None),
        ("ec2:TerminateInstances", True, None),
        ("ec2:TerminateInstances", True, None),
    ]
    (line,) = [line for line in server.ledger("--source", "scheduler") if line["id"] > since]
    assert line["principal"].startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/")
    assert line["write"] and line["resource"].startswith(
        "arn:aws:ssm:us-east-1::automation-definition/AWS-TerminateEC2Instance:$DEFAULT "
    )


def test_schedule_honours_time_zone_and_updates(server: Any, launch: Launch, run: str, schedule: Schedule) -> None:
    instance = launch(TagSpecifications=tagged(run))
    zone = "Asia/Tokyo"
    local = datetime.now(ZoneInfo(zone))
    name = schedule(at(local + timedelta(hours=1)), ScheduleExpressionTimezone=zone)
    found = server.client("scheduler").get_schedule(Name=name)
    time.sleep(1.5)  # longer than the server's polling interval
    assert server.state(instance) in ("pending", "running") and exists(server, name)
    kept = {key: found[key] for key in ("Name", "FlexibleTimeWindow", "Target", "ScheduleExpressionTimezone")}
    server.client("scheduler").update_schedule(**kept, ScheduleExpression=at(local))
    server.await_state(instance, "terminated")
    assert exists(server, name)  # an update without ActionAfterCompletion resets it to NONE
    assert server.client("scheduler").get_schedule(Name=name)["ActionAfterCompletion"] == "NONE"


def test_kept_schedule_runs_once(server: Any, run: str, schedule: Schedule, wait_until: WaitUntil) -> None:
    since = now_in(server)
    name = schedule(soon(0), ActionAfterCompletion="NONE")
    disabled = schedule(soon(0), State="DISABLED")
    wait_until(lambda: calls(server, "scheduler", since), "the schedule does not run")
    time.sleep(1.5)
    assert len(calls(server, "scheduler", since)) == 1
    assert exists(server, name) and exists(server, disabled)


def test_instance_of_another_project_is_refused_and_logged(
    server: Any, launch: Launch, run: str, schedule: Schedule, wait_until: WaitUntil
) -> None:
    other = launch(TagSpecifications=tagged(run, project="other"))
    since = now_in(server)
    name = schedule(soon(0))
    wait_until(lambda: len(calls(server, "ssm", since)) == 2, "no call is made")
    assert calls(server, "ssm", since)[1] == ("ec2:TerminateInstances", False, "UnauthorizedOperation")
    assert server.state(other) in ("pending", "running")
    wait_until(lambda: not exists(server, name), "the schedule is not deleted")


def test_schedule_whose_role_lost_trust_is_refused(
    server: Any, launch: Launch, run: str, schedule: Schedule, wait_until: WaitUntil
) -> None:
    instance = launch(TagSpecifications=tagged(run))
    since = now_in(server)
    schedule(soon(10))
    server.client("iam").update_assume_role_policy(RoleName=ROLE, PolicyDocument=trust("ssm.amazonaws.com"))
    wait_until(lambda: calls(server, "scheduler", since), "the refusal is not logged")
    refused = ("ssm:StartAutomationExecution", False, "AccessDeniedException")
    assert calls(server, "scheduler", since) == [refused]
    assert server.state(instance) in ("pending", "running")


def test_ec2_target_is_limited_by_tags(
    server: Any, launch: Launch, run: str, schedule: Schedule, wait_until: WaitUntil
) -> None:
    mine, other = launch(TagSpecifications=tagged(run)), launch(TagSpecifications=tagged(run, project="other"))
    since = now_in(server)
    schedule(soon(0), TERMINATE, {"InstanceIds": [mine, other]})
    wait_until(lambda: calls(server, "scheduler", since), "no call is made")
    schedule(soon(0), TERMINATE, {"InstanceIds": [mine]})
    server.await_state(mine, "terminated")
    wait_until(lambda: len(calls(server, "scheduler", since)) >= 2, "not all calls are logged")
    assert [allowed for _, allowed, _ in calls(server, "scheduler", since)] == [False, True]
    assert server.state(other) in ("pending", "running")


@pytest.mark.parametrize(
    ("arn", "asked", "code"),
    [
        (f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:end", {}, "UnsupportedTarget"),
        ("arn:aws:scheduler:::aws-sdk:ec2:stopInstances", {}, "UnsupportedTarget"),
        (AUTOMATION, [], "ValidationException"),
        (AUTOMATION, {"DocumentName": "AWS-StopEC2Instance"}, "AccessDeniedException"),
        (TERMINATE, {"InstanceIds": ["i-00000000000000000"]}, "UnauthorizedOperation"),
    ],
    ids=lambda value: value if isinstance(value, str) and ":" not in value else "",
)
def test_unsupported_target_is_logged_as_error(
    server: Any, schedule: Schedule, wait_until: WaitUntil, arn: str, asked: Any, code: str
) -> None:
    since = now_in(server)
    name = schedule(soon(0), arn, asked)
    wait_until(lambda: calls(server, "scheduler", since), "the error is not in the ledger")
    ((_, allowed, said),) = calls(server, "scheduler", since)
    assert (allowed, said) == (False, code)
    log = server.home / "server.log"
    wait_until(lambda: f"schedule {name}: {code}" in log.read_text(), "the error is not in the log")


def test_impossible_schedule_is_refused(server: Any, schedule: Schedule) -> None:
    for expression in ("at(tomorrow)", "at(2026-02-30T00:00:00)", "soon"):
        code, message = error(lambda expression=expression: schedule(expression))  # type: ignore[misc]
        assert (code, expression in message) == ("ValidationException", True)
    code, _ = error(lambda: schedule(soon(), ScheduleExpressionTimezone="Europe/Atlantis"))
    assert code == "ValidationException"
    server.client("iam").update_assume_role_policy(RoleName=ROLE, PolicyDocument=trust("ec2.amazonaws.com"))
    code, message = error(lambda: schedule(soon()))
    assert (code, "must allow AWS EventBridge Scheduler to assume the role" in message) == ("ValidationException", True)


def test_schedule_creation_is_idempotent_by_token(server: Any, schedule: Schedule) -> None:
    later = soon(3600)
    name = schedule(later, ClientToken="token-1")
    client, target = server.client("scheduler"), {"Arn": TERMINATE, "RoleArn": ROLE_ARN}
    again = {"Name": name, "ScheduleExpression": later, "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": target}
    assert client.create_schedule(**again, ClientToken="token-1")["ScheduleArn"].endswith(f"/{name}")
    assert error(lambda: client.create_schedule(**again, ClientToken="token-2"))[0] == "ConflictException"


def test_schedules_are_resources_and_need_pass_role(iam_user: Any, run: str) -> None:
    def allow(action: str, resource: str, **condition: Any) -> dict[str, Any]:
        return {"Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition}

    mine = allow("scheduler:*", f"arn:aws:scheduler:us-east-1:{ACCOUNT}:schedule/default/spot-train-*")
    passing = allow("iam:PassRole", ROLE_ARN, StringEquals={"iam:PassedToService": "scheduler.amazonaws.com"})
    asked: dict[str, Any] = {
        "ScheduleExpression": soon(3600),
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": TERMINATE, "RoleArn": ROLE_ARN},
    }
    name = f"spot-train-{run}"
    _, message = error(lambda: iam_user(mine)("scheduler").create_schedule(Name=name, **asked))
    assert f"iam:PassRole on resource: {ROLE_ARN}" in message
    client = iam_user(mine, passing)("scheduler")
    _, message = error(lambda: client.create_schedule(Name="other", **asked))
    assert f"arn:aws:scheduler:us-east-1:{ACCOUNT}:schedule/default/other" in message
    client.create_schedule(Name=name, **asked)
    assert client.get_schedule(Name=name)["GroupName"] == "default"
    assert error(lambda: client.get_schedule(Name=name, GroupName="theirs"))[0] == "AccessDeniedException"
    client.delete_schedule(Name=name)
    assert error(lambda: client.get_schedule(Name=name))[0] == "ResourceNotFoundException"


def test_runbook_works_when_it_is_called_directly(server: Any, launch: Launch, run: str, wait_until: WaitUntil) -> None:
    ssm, instance = server.client("ssm"), launch(TagSpecifications=tagged(run))
    parameters = {"InstanceId": [instance], "AutomationAssumeRole": [ROLE_ARN]}
    started = ssm.start_automation_execution(DocumentName="AWS-TerminateEC2Instance", Parameters=parameters)
    identifier = started["AutomationExecutionId"]

    def execution() -> dict[str, Any]:
        return dict(ssm.get_automation_execution(AutomationExecutionId=identifier)["AutomationExecution"])

    wait_until(lambda: execution()["AutomationExecutionStatus"] == "Success", "the execution does not succeed")
    server.await_state(instance, "terminated")
    (line,) = [line for line in server.ledger("--source", "ssm") if line["principal"].endswith(identifier)]
    assert line["principal"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/Automation-{identifier}"


def test_failure_ends_the_runbook_and_says_why(server: Any, launch: Launch, run: str, wait_until: WaitUntil) -> None:
    ssm = server.client("ssm")
    for _ in range(2):
        launch(TagSpecifications=tagged(run, project="other"))
    for limit, failures in (("0", 1), ("50%", 2), ("5", 2)):
        identifier = ssm.start_automation_execution(**runbook(run, MaxErrors=limit))["AutomationExecutionId"]

        def execution(identifier: str = identifier) -> dict[str, Any]:
            return dict(ssm.get_automation_execution(AutomationExecutionId=identifier)["AutomationExecution"])

        wait_until(lambda: execution()["AutomationExecutionStatus"] == "Failed", "the execution does not fail")
        assert execution()["FailureMessage"].count("UnauthorizedOperation") == failures


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"DocumentName": "AWS-StopEC2Instance"}, "AutomationDefinitionNotFoundException"),
        ({"Targets": [{"Key": "ResourceGroup", "Values": ["g"]}]}, "InvalidTarget"),
        ({"TargetParameterName": "Instances"}, "InvalidAutomationExecutionParametersException"),
        ({"Targets": []}, "InvalidAutomationExecutionParametersException"),
        ({"Parameters": {"Force": ["yes"]}}, "InvalidAutomationExecutionParametersException"),
        (
            {"Parameters": {"AutomationAssumeRole": [f"arn:aws:iam::{ACCOUNT}:role/nobody"]}},
            "InvalidAutomationExecutionParametersException",
        ),
        ({"MaxErrors": "few"}, "InvalidAutomationExecutionParametersException"),
    ],
    ids=str,
)
def test_invalid_runbook_request_is_refused(server: Any, run: str, change: dict[str, Any], code: str) -> None:
    ssm = server.client("ssm", parameter_validation=False)
    assert error(lambda: ssm.start_automation_execution(**runbook(run, **change)))[0] == code


def test_runbook_start_needs_pass_role(iam_user: Any, run: str) -> None:
    def allow(action: str, *resources: str) -> dict[str, Any]:
        return {"Effect": "Allow", "Action": action, "Resource": list(resources)}

    definition = "arn:aws:ssm:us-east-1::automation-definition/AWS-TerminateEC2Instance:*"
    start = allow("ssm:*", definition, f"arn:aws:ssm:us-east-1:{ACCOUNT}:automation-execution/*")
    asked = runbook(run)
    assert "iam:PassRole" in error(lambda: iam_user(start)("ssm").start_automation_execution(**asked))[1]
    ssm = iam_user(start, allow("iam:PassRole", ROLE_ARN))("ssm")
    identifier = ssm.start_automation_execution(**asked)["AutomationExecutionId"]
    assert ssm.get_automation_execution(AutomationExecutionId=identifier)["AutomationExecution"]["Targets"]
    other = {**asked, "DocumentName": "AWS-StopEC2Instance"}
    assert error(lambda: ssm.start_automation_execution(**other))[0] == "AccessDeniedException"
