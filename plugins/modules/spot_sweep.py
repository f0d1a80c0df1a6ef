#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that ends what one run left in an account, or what is past its lease, and touches nothing else."""

from __future__ import annotations

DOCUMENTATION = r"""
module: spot_sweep
short_description: End what a run left, or what is past its lease
description:
  - Cancels spot requests, terminates instances and waits for their end, deletes volumes that nothing uses, launch
    templates and files in the transport bucket, and removes the expiry schedule last.
  - What belongs to a run carries both tags, C(project) and C(run_id). What is past its lease carries C(project), a
    C(run_id) and a C(lease_expires) that AWS's own clock has passed. Without a project and one of the two, or with a
    pattern, the module refuses before it asks AWS anything.
  - Each kind is tried whatever became of the others. A refused termination is asked for five times.
  - A spot request with the tags may have launched an instance without any; that one is ended too.
  - Transport files are deleted only under the ids of instances that are the project's and dead. EC2 shows a terminated
    instance for about an hour; older files are for the bucket's lifecycle rule.
  - May be repeated, and run twice at once.
  - Fails, with everything it found in the result, where something could not be ended or is left.
options:
  project:
    description: Value of the tag C(project).
    type: str
    required: true
  run_id:
    description: The run to end. Either this or O(expired).
    type: str
    default: ""
  expired:
    description: End what is past its lease, of any run.
    type: bool
    default: false
  transport_bucket:
    description: Bucket of the SSM connection. Empty leaves its files alone.
    type: str
    default: ""
  at_most:
    description: With more instances than this to be ended, nothing is touched.
    type: int
    default: 3
  wait_seconds:
    description: How long to wait until no instance lives.
    type: int
    default: 200
  schedule_may_stay:
    description:
      - Do not fail because the expiry schedule, and nothing else, could not be removed. It is in RV(left) and
        RV(failures) all the same.
    type: bool
    default: false
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: none
"""

EXAMPLES = r"""
- name: End what a run left
  spot_train.core.spot_sweep:
    project: spot-train
    run_id: 20260105T090000Z-0a1b2c
    transport_bucket: spot-train-transport

- name: End what is past its lease
  spot_train.core.spot_sweep:
    project: spot-train
    expired: true
"""

RETURN = r"""
ended:
  description: >-
    What was ended: ids of C(instances), C(volumes), C(spot_requests), names of C(launch_templates) and C(schedules),
    C(transport_keys).
  returned: always
  type: dict
left:
  description: How many of each kind are still there; null where it could not be looked up.
  returned: always
  type: dict
failures:
  description: What AWS refused, each C({what, code, message}).
  returned: always
  type: list
  elements: dict
notes:
  description: What was left alone and why.
  returned: always
  type: list
  elements: str
lines:
  description: What was ended, and what was left alone and why, one line each.
  returned: always
  type: list
  elements: str
terminated_at:
  description: When each instance ended, ISO 8601 by its id.
  returned: always
  type: dict
aws_time:
  description: The time by AWS's clock, ISO 8601; empty where AWS never answered.
  returned: always
  type: str
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

try:
    from ansible_collections.spot_train.core.plugins.module_utils.aws.client import SWEEP, Aws
    from ansible_collections.spot_train.core.plugins.module_utils.sweep.scope import Refused, Report, Wanted
    from ansible_collections.spot_train.core.plugins.module_utils.sweep.sweep import sweep
except ImportError:  # no boto3: AnsibleAWSModule says so
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
        wanted = Wanted(**{name: module.params[name] for name in names})
        report = sweep(Aws(lambda service: module.client(service, config=SWEEP)), wanted)
    except Refused as refusal:
        module.fail_json(msg=str(refusal), **Report().as_dict())
    told = {**report.as_dict(), "lines": report.lines(), "changed": any(report.ended.values())}
    if trouble := report.trouble(module.params["schedule_may_stay"]):
        whose = f"of run {wanted.run_id}" if wanted.run_id else "past its lease"
        module.fail_json(msg=f"Not everything {whose} could be ended: {trouble}", **told)
    module.exit_json(**told)


if __name__ == "__main__":
    main()
