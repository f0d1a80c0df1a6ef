"""Extends moto's EventBridge Scheduler: schedules run, as their role.

Sources: EventBridge Scheduler User Guide, "Schedule types" (one-time schedules), "Using universal targets", "Managing
an execution role"; API reference, ``ActionAfterCompletion``.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from moto.scheduler.exceptions import ScheduleNotFound, ValidationException
from moto.scheduler.models import EventBridgeSchedulerBackend, Schedule, scheduler_backends

from local_aws import ec2, errors
from local_aws.errors import AwsError
from local_aws.identity import Principal
from local_aws.requests import AwsRequest, parameters_now
from local_aws.services import Service, ServiceCalls, call_of
from local_aws.state import ACCOUNT_ID, REGION

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
UNIVERSAL = re.compile(r"^arn:aws:scheduler:::aws-sdk:([a-z0-9]+):([a-zA-Z]+)$")
ONE_TIME = re.compile(r"^at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)$")
RECURRING = re.compile(r"^(?:rate|cron)\(.+\)$")

Target = Callable[[AwsRequest, Principal], Any]


class LocalSchedulerBackend(EventBridgeSchedulerBackend):
    """Moto's Scheduler; it refuses schedules that could never run."""

    __module__ = EventBridgeSchedulerBackend.__module__  # as for LocalEC2Backend

    lock = threading.RLock()

    def list_schedules(self, *given: Any, **asked: Any) -> Any:  # noqa: D102
        with self.lock:  # moto iterates while other threads change the dictionary
            return super().list_schedules(*given, **asked)

    def delete_schedule(self, group_name: str | None, name: str) -> None:  # noqa: D102
        with self.lock:
            super().delete_schedule(group_name, name)

    def create_schedule(self, **asked: Any) -> Schedule:  # type: ignore[override]  # noqa: D102 - documented by moto
        self._check(asked)
        token = parameters_now().get("ClientToken")
        with self.lock:
            existing = self.get_schedule_group(asked["group_name"]).schedules.get(asked["name"])
            if existing is not None and token and getattr(existing, "client_token", None) == token:
                return existing  # a retry
            schedule = super().create_schedule(**asked)
            schedule.client_token = token  # type: ignore[attr-defined]
            return schedule

    def update_schedule(self, **asked: Any) -> Schedule:  # type: ignore[override]  # noqa: D102 - documented by moto
        self._check(asked)
        # Omitted fields return to their defaults (API reference, UpdateSchedule).
        schedule = super().update_schedule(**{**asked, "state": asked.get("state") or "ENABLED"})
        schedule.action_after_completion = parameters_now().get("ActionAfterCompletion") or "NONE"
        schedule.ran_at = None  # type: ignore[attr-defined]
        return schedule

    def _check(self, asked: dict[str, Any]) -> None:
        expression, zone = str(asked["schedule_expression"]), asked["schedule_expression_timezone"]
        if not RECURRING.match(expression):
            _due(expression, zone)
        role = str((asked["target"] or {}).get("RoleArn", ""))
        if not service_of(asked["group_name"]).may_assume(role):
            message = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
            raise ValidationException(message)


class Scheduler:
    """Runs the one-time schedules of the account when they are due."""

    def __init__(self, calls: ServiceCalls, start_automation: Target) -> None:
        scheduler_backends.backend = LocalSchedulerBackend
        self._calls = calls
        self._targets: dict[tuple[str, str], Target] = {
            ("ssm", "startAutomationExecution"): start_automation,
            ("ec2", "terminateInstances"): _terminate_instances,
        }
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="scheduler", daemon=True)

    def start(self) -> None:
        """Start to poll for due schedules."""
        self._thread.start()

    def stop(self) -> None:
        """Stop polling."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            try:
                self._run_due()
            except Exception:
                # An invalid schedule must not stop the others.
                log.exception("cannot process the schedules")

    def _run_due(self) -> None:
        now = datetime.now(UTC)
        for schedule in schedules():
            if schedule.state == "ENABLED" and not getattr(schedule, "ran_at", None) and _is_due(schedule, now):
                schedule.ran_at = now  # type: ignore[attr-defined]
                self._run(schedule)
                if schedule.action_after_completion == "DELETE":
                    with contextlib.suppress(ScheduleNotFound):  # deleted meanwhile
                        scheduler_backends[ACCOUNT_ID][REGION].delete_schedule(schedule.group_name, schedule.name)

    def _run(self, schedule: Schedule) -> None:
        arn, role = str(schedule.target.get("Arn")), str(schedule.target.get("RoleArn"))
        service = service_of(schedule.group_name)
        caller = service.session(role, secrets.token_hex(16))
        universal = UNIVERSAL.match(arn)
        target = self._targets.get((universal[1], universal[2])) if universal else None
        request = call_of("scheduler", "InvokeTarget", {})
        try:
            if universal is None or target is None:
                raise AwsError("UnsupportedTarget", f"the embedded AWS does not support the target {arn}", 400)
            request = _request(universal[1], universal[2], schedule.target.get("Input"))
            if not service.may_assume(role):
                raise errors.access_denied(service.principal, "sts:AssumeRole", role, request.protocol)
        except AwsError as error:
            log.error("schedule %s: %s", schedule.name, error)
            self._calls.refuse(caller, request, error)
            return
        try:
            self._calls.make(caller, request, lambda: target(request, caller))
        except AwsError as error:
            log.error("schedule %s: %s", schedule.name, error)


def schedules() -> list[Schedule]:
    """Every schedule of the account."""
    groups = scheduler_backends[ACCOUNT_ID][REGION].schedule_groups.values()
    return [schedule for group in list(groups) for schedule in list(group.schedules.values())]


def service_of(group: str | None) -> Service:
    """The service Scheduler, acting for a schedule of a group."""
    arn = f"arn:aws:scheduler:{REGION}:{ACCOUNT_ID}:schedule-group/{group or 'default'}"
    return Service("scheduler.amazonaws.com", "scheduler", arn)


def _request(service: str, operation: str, text: str | None) -> AwsRequest:
    """The call of a universal target, whose ``Input`` has the operation's parameters as JSON."""
    try:
        asked = json.loads(text or "{}")
    except ValueError as error:
        raise AwsError("ValidationException", f"Input: expected JSON: {error}", 400) from error
    if not isinstance(asked, dict):
        raise AwsError("ValidationException", "Input: expected a JSON object", 400)
    if service == "ec2":
        asked = {f"InstanceId.{n}": str(each) for n, each in enumerate(asked.get("InstanceIds") or [], 1)}
    return call_of(service, operation[0].upper() + operation[1:], asked)


def _terminate_instances(request: AwsRequest, _: Principal) -> None:
    ec2.backend().terminate_instances(list(request.parameters.values()))


def _due(expression: str, zone: str | None) -> datetime:
    """The time of a one-time schedule; a ValidationException for anything else."""
    match = ONE_TIME.match(expression)
    try:
        moment = datetime.fromisoformat(match[1] if match else "")
    except ValueError as error:
        raise ValidationException(f"Invalid Schedule Expression {expression}.") from error
    try:
        return moment.replace(tzinfo=ZoneInfo(zone or "UTC"))
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValidationException(f"Invalid ScheduleExpressionTimezone {zone}.") from error


def _is_due(schedule: Schedule, now: datetime) -> bool:
    if RECURRING.match(schedule.schedule_expression):
        return False
    return _due(schedule.schedule_expression, schedule.schedule_expression_timezone) <= now
