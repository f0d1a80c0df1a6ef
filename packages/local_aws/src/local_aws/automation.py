"""Systems Manager Automation: the one runbook AWS-TerminateEC2Instance.

Sources: API reference of StartAutomationExecution; Automation runbook reference, "AWS-TerminateEC2Instance"; Systems
Manager User Guide, "Setting up Automation" (the caller passes the assume role, which trusts ssm.amazonaws.com).
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import replace
from typing import Any

from local_aws import ec2
from local_aws.errors import AwsError
from local_aws.gateway import Gateway
from local_aws.identity import Principal
from local_aws.requests import AwsRequest
from local_aws.services import Service, ServiceCalls, call_of
from local_aws.state import ACCOUNT_ID, REGION

RUNBOOK = "AWS-TerminateEC2Instance"
TARGET_PARAMETER = "InstanceId"
SSM = Service("ssm.amazonaws.com", "ssm", f"arn:aws:ssm:{REGION}:{ACCOUNT_ID}:automation-execution/*")


class Automation:
    """Answers StartAutomationExecution and GetAutomationExecution."""

    def __init__(self, gateway: Gateway, calls: ServiceCalls) -> None:
        self._calls = calls
        self._executions: dict[str, dict[str, Any]] = {}
        gateway.handle("ssm", "StartAutomationExecution", self.start)
        gateway.handle("ssm", "GetAutomationExecution", self._get)

    def start(self, request: AwsRequest, principal: Principal) -> dict[str, Any]:
        """Start the runbook in the background; return its id."""
        asked = request.parameters
        _check(asked)
        roles = (asked.get("Parameters") or {}).get("AutomationAssumeRole") or [""]
        identifier, role = str(uuid.uuid4()), str(roles[0])
        if role and not SSM.may_assume(role):
            raise _invalid("The defined assume role is unable to be assumed.")
        caller = SSM.session(role, f"Automation-{identifier}") if role else replace(principal, source=SSM.source)
        execution: dict[str, Any] = {
            "AutomationExecutionId": identifier,
            "DocumentName": RUNBOOK,
            "DocumentVersion": "1",
            "ExecutionStartTime": time.time(),
            "AutomationExecutionStatus": "InProgress",
            "Parameters": asked.get("Parameters") or {},
            "Targets": asked.get("Targets") or [],
            "ExecutedBy": principal.arn,
        }
        self._executions[identifier] = execution
        work = (execution, asked, caller)
        threading.Thread(target=self._run, args=work, name=f"automation-{identifier}", daemon=True).start()
        return {"AutomationExecutionId": identifier}

    def _get(self, request: AwsRequest, _: Principal) -> dict[str, Any]:
        found = self._executions.get(str(request.parameters.get("AutomationExecutionId", "")))
        if found is None:
            raise AwsError("AutomationExecutionNotFoundException", "The automation execution does not exist.", 400)
        return {"AutomationExecution": found}

    def _run(self, execution: dict[str, Any], asked: dict[str, Any], caller: Principal) -> None:
        try:
            failures = self._terminate(asked, caller)
        except AwsError as error:
            failures = [str(error)]
        if failures:
            execution["FailureMessage"] = "; ".join(failures)
        execution["ExecutionEndTime"] = time.time()
        execution["AutomationExecutionStatus"] = "Failed" if failures else "Success"

    def _terminate(self, asked: dict[str, Any], caller: Principal) -> list[str]:
        """Terminate the targets or the named instances; return the failures.

        Each target is a step of its own, until more than MaxErrors fail. Named instances are a single step.
        """
        if not asked.get("Targets"):
            self._step(caller, [str(each) for each in asked["Parameters"][TARGET_PARAMETER]])
            return []
        found, failures = self._resolve(asked["Targets"][0], caller), []
        allowed = _count(str(asked.get("MaxErrors") or "0"), len(found))
        for identifier in found:
            try:
                self._step(caller, [identifier])
            except AwsError as error:
                failures.append(f"{identifier}: {error}")
                if len(failures) > allowed:
                    break
        return failures

    def _resolve(self, target: dict[str, Any], caller: Principal) -> list[str]:
        """Ids of the live instances with the tag of a target ``tag:<key>``."""
        name, values = str(target["Key"]), [str(value) for value in target.get("Values") or []]
        parameters = {"Filter.1.Name": name, **{f"Filter.1.Value.{n}": v for n, v in enumerate(values, 1)}}
        key = name.removeprefix("tag:")

        def find() -> list[str]:
            return [
                instance.id
                for instance in ec2.backend().all_instances()
                if instance.state not in ("shutting-down", "terminated")
                and any(tag["key"] == key and tag["value"] in values for tag in instance.get_tags())
            ]

        return self._calls.make(caller, call_of("ec2", "DescribeInstances", parameters), find)

    def _step(self, caller: Principal, instances: list[str]) -> None:
        request = call_of("ec2", "TerminateInstances", {f"InstanceId.{n}": each for n, each in enumerate(instances, 1)})
        self._calls.make(caller, request, lambda: ec2.backend().terminate_instances(instances))


def _check(asked: dict[str, Any]) -> None:
    if asked.get("DocumentName") != RUNBOOK:
        message = f"DocumentName: expected {RUNBOOK}, got {asked.get('DocumentName')}."
        raise AwsError("AutomationDefinitionNotFoundException", message, 400)
    parameters, targets = asked.get("Parameters") or {}, asked.get("Targets") or []
    _count(str(asked.get("MaxErrors") or "0"), 0)
    unknown = sorted(set(parameters) - {TARGET_PARAMETER, "AutomationAssumeRole"})
    if unknown:
        raise _invalid(f"Parameter {unknown[0]} is not defined in document {RUNBOOK}.")
    if not targets:
        if not parameters.get(TARGET_PARAMETER):
            raise _invalid(f"Parameter {TARGET_PARAMETER} is required by document {RUNBOOK}.")
        return
    if len(targets) > 1:
        raise AwsError("InvalidTarget", "Only one target is allowed.", 400)
    if asked.get("TargetParameterName") != TARGET_PARAMETER:
        raise _invalid(f"TargetParameterName must be {TARGET_PARAMETER}.")
    if not str(targets[0].get("Key", "")).startswith("tag:"):
        raise AwsError("InvalidTarget", "The embedded AWS supports only targets with a key tag:<key>.", 400)


def _count(text: str, total: int) -> int:
    try:
        return int(text.removesuffix("%")) * total // 100 if text.endswith("%") else int(text)
    except ValueError as error:
        raise _invalid(f"MaxErrors: expected a number or a percentage, got {text!r}.") from error


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidAutomationExecutionParametersException", message, 400)
