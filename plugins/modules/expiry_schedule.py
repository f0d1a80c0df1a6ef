#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that schedules the termination of a run's instances in the cloud."""

from __future__ import annotations

DOCUMENTATION = r"""
module: expiry_schedule
short_description: Schedule the termination of a run's instances at the end of the lease
description:
  - Creates or updates the one-time schedule C(<project>-<run_id>). When it is due, EventBridge Scheduler starts the
    runbook C(AWS-TerminateEC2Instance) on every instance with the tag C(run_id), and deletes the schedule.
  - A condition in the role's policy (C(files/iam/expiry.json)) limits it to the project's instances.
  - M(spot_sweep) removes the schedule once no instance of the run is left.
options:
  project:
    description: Value of the tag C(project).
    type: str
    required: true
  run_id:
    description: Id of the run.
    type: str
    required: true
  at:
    description: Time in ISO 8601 and UTC, for example V(2026-01-31T09:00:00Z).
    type: str
    required: true
  role:
    description: Name of the role that Scheduler and the runbook assume.
    type: str
    required: true
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
attributes:
  check_mode:
    support: none
"""

EXAMPLES = r"""
- name: Terminate the instances at the end of the lease
  spot_train.core.expiry_schedule:
    project: spot-train
    run_id: 20260105T090000Z-0a1b2c
    at: 2026-01-05T11:30:00Z
    role: spot-train-expiry
"""

RETURN = r"""
name:
  description: Name of the schedule, in the group C(default).
  returned: always
  type: str
first:
  description: Whether the schedule is new, so that the run has no launch template or instance yet.
  returned: always
  type: bool
"""

import contextlib
import json
from datetime import datetime
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

TARGET = "arn:aws:scheduler:::aws-sdk:ssm:startAutomationExecution"
ISO = "%Y-%m-%dT%H:%M:%SZ"


def schedule(project: str, run_id: str, at: datetime, role_arn: str) -> dict[str, Any]:
    """The parameters of CreateSchedule and UpdateSchedule."""
    runbook = {
        "DocumentName": "AWS-TerminateEC2Instance",
        "TargetParameterName": "InstanceId",
        "Targets": [{"Key": "tag:run_id", "Values": [run_id]}],
        "Parameters": {"AutomationAssumeRole": [role_arn]},
        # A refused termination (another project's instance with the same run id) does not stop the others.
        "MaxConcurrency": "10",
        "MaxErrors": "100%",
    }
    partition = role_arn.split(":")[1]
    return {
        "Name": f"{project}-{run_id}",
        "Description": f"Terminates the instances of run {run_id} at the end of its lease",
        "ScheduleExpression": f"at({at:%Y-%m-%dT%H:%M:%S})",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": TARGET.replace(":aws:", f":{partition}:", 1),
            "RoleArn": role_arn,
            "Input": json.dumps(runbook),
        },
    }


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={name: {"type": "str", "required": True} for name in ("project", "run_id", "at", "role")}
    )
    project, run_id, role = (module.params[name] for name in ("project", "run_id", "role"))
    if not project or not run_id:
        module.fail_json(msg="project and run_id must not be empty")
    try:
        at = datetime.strptime(module.params["at"], ISO)
    except ValueError:
        module.fail_json(msg=f"at: expected a time (2026-01-31T09:00:00Z), got {module.params['at']!r}")
    try:
        arn = module.client("iam").get_role(RoleName=role)["Role"]["Arn"]
        scheduler, wanted = module.client("scheduler"), schedule(project, run_id, at, arn)
        first = True
        try:
            scheduler.create_schedule(**wanted)
        except scheduler.exceptions.ConflictException:
            first = False
            scheduler.update_schedule(**wanted)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Cannot create the schedule {project}-{run_id} with the role {role}")
    module.exit_json(changed=True, name=wanted["Name"], first=first)


if __name__ == "__main__":
    main()
