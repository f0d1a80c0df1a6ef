#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that finds the leftovers of runs in a region, except for instances."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_runs_info
short_description: Find the leftovers of runs in a region
description:
  - Finds volumes, spot requests and launch templates by the tag C(project), and schedules by name. For instances use
    M(amazon.aws.ec2_instance_info).
options:
  project:
    description: Value of the tag, and prefix of the schedules' names.
    type: str
    required: true
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
attributes:
  check_mode:
    support: full
"""

EXAMPLES = r"""
- name: Find the leftovers of runs
  spot_train.core.account_runs_info:
    project: spot-train
"""

RETURN = r"""
left:
  description: Kind and name of each, for example C(volume vol-0123456789abcdef0).
  returned: always
  type: list
  elements: str
"""

import contextlib
import re
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

#: A schedule's name is the project and a run id. The name of another project may start with this one's.
RUN_ID = r"\d{8}T\d{6}Z-[0-9a-f]+"
#: By kind: the operation, the part of its response, and the field with the name.
OF_EC2 = {
    "volume": ("describe_volumes", "Volumes", "VolumeId"),
    "spot request": ("describe_spot_instance_requests", "SpotInstanceRequests", "SpotInstanceRequestId"),
    "launch template": ("describe_launch_templates", "LaunchTemplates", "LaunchTemplateName"),
}
#: EC2 lists a spot request for some time after its end.
OVER = ("closed", "cancelled", "failed")


def left(ec2: Any, scheduler: Any, project: str) -> list[str]:
    """Return kind and name of each leftover."""
    filters = [{"Name": "tag:project", "Values": [project]}]
    found = []
    for kind, (operation, part, name) in OF_EC2.items():
        pages = ec2.get_paginator(operation).paginate(Filters=filters)
        there = [each for page in pages for each in page[part] if each.get("State") not in OVER]
        found += [f"{kind} {each[name]}" for each in there]
    pages = scheduler.get_paginator("list_schedules").paginate(NamePrefix=f"{project}-")
    names = [schedule["Name"] for page in pages for schedule in page["Schedules"]]
    return found + [f"schedule {name}" for name in names if re.fullmatch(f"{re.escape(project)}-{RUN_ID}", name)]


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(argument_spec={"project": {"type": "str", "required": True}}, supports_check_mode=True)
    try:
        found = left(module.client("ec2"), module.client("scheduler"), module.params["project"])
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="Cannot look for the leftovers of runs")
    module.exit_json(changed=False, left=found)


if __name__ == "__main__":
    main()
