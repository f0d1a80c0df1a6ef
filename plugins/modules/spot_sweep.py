#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that removes the leftovers of one run, or of runs with an expired lease, and nothing else."""

from __future__ import annotations

DOCUMENTATION = r"""
module: spot_sweep
short_description: Remove the leftovers of a run, or of runs with an expired lease
description:
  - Cancels spot requests, terminates instances and waits for them, deletes unattached volumes, launch templates and
    files in the transport bucket, and removes the expiry schedule last.
  - The resources of a run have both tags, C(project) and C(run_id). A lease has expired if AWS's clock has passed the
    tag C(lease_expires). Without a project and one of the two selections, or with a pattern, the module refuses before
    it calls AWS.
  - The kinds are independent of each other. A refused termination is tried five times.
  - A tagged spot request may have launched an untagged instance; that one is terminated, too.
  - Transport files are deleted only below the ids of terminated instances of the project. EC2 lists a terminated
    instance for about an hour; older files are left to the bucket's lifecycle rule.
  - Safe to repeat and to run concurrently.
  - Fails, with the full result, if something could not be removed or is left over.
options:
  project:
    description: Value of the tag C(project).
    type: str
    required: true
  run_id:
    description: The run. Either this or O(expired).
    type: str
    default: ""
  expired:
    description: Remove the resources of every run with an expired lease.
    type: bool
    default: false
  transport_bucket:
    description: Bucket of the SSM connection. Empty leaves its files alone.
    type: str
    default: ""
  at_most:
    description: With more instances than this in scope, nothing is changed.
    type: int
    default: 3
  wait_seconds:
    description: How long to wait until no instance is alive.
    type: int
    default: 200
  schedule_may_stay:
    description:
      - Do not fail if only the expiry schedule could not be removed. It is in RV(left) and RV(failures) nevertheless.
    type: bool
    default: false
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
attributes:
  check_mode:
    support: none
"""

EXAMPLES = r"""
- name: Remove the leftovers of a run
  spot_train.core.spot_sweep:
    project: spot-train
    run_id: 20260105T090000Z-0a1b2c
    transport_bucket: spot-train-transport

- name: Remove the leftovers of expired leases
  spot_train.core.spot_sweep:
    project: spot-train
    expired: true
"""

RETURN = r"""
ended:
  description: >-
    What was removed: ids of C(instances), C(volumes), C(spot_requests), names of C(launch_templates) and C(schedules),
    C(transport_keys).
  returned: always
  type: dict
left:
  description: How many of each kind are left over; null if the look-up failed.
  returned: always
  type: dict
failures:
  description: Errors of AWS, each C({what, code, message}).
  returned: always
  type: list
  elements: dict
notes:
  description: What was left alone, and why.
  returned: always
  type: list
  elements: str
lines:
  description: What was removed and what was left alone, one line each.
  returned: always
  type: list
  elements: str
terminated_at:
  description: When each instance was terminated, ISO 8601 by its id.
  returned: always
  type: dict
aws_time:
  description: The time by AWS's clock, ISO 8601; empty if AWS never answered.
  returned: always
  type: str
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

try:
    from ansible_collections.spot_train.core.plugins.module_utils.aws.client import SWEEP, Aws
    from ansible_collections.spot_train.core.plugins.module_utils.sweep.scope import Refused, Report, Scope
    from ansible_collections.spot_train.core.plugins.module_utils.sweep.sweep import sweep
except ImportError:  # AnsibleAWSModule reports a missing boto3
    pass


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "run_id": {"type": "str", "default": ""},
            "expired": {"type": "bool", "default": False},
            "transport_bucket": {"type": "str", "default": ""},
            "at_most": {"type": "int", "default": 3},
            "wait_seconds": {"type": "int", "default": 200},
            "schedule_may_stay": {"type": "bool", "default": False},
        },
    )
    names = ("project", "run_id", "expired", "transport_bucket", "at_most", "wait_seconds")
    try:
        scope = Scope(**{name: module.params[name] for name in names})
        report = sweep(Aws(lambda service: module.client(service, config=SWEEP)), scope)
    except Refused as refusal:
        module.fail_json(msg=str(refusal), **Report().as_dict())
    result = {**report.as_dict(), "lines": report.lines(), "changed": any(report.ended.values())}
    if trouble := report.trouble(module.params["schedule_may_stay"]):
        whose = f"of run {scope.run_id}" if scope.run_id else "with an expired lease"
        module.fail_json(msg=f"Not everything {whose} could be removed: {trouble}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
