#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that asks EC2 for one instance of a launch template, once, and tells why it was refused."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_launch_once
short_description: Launch one instance from a launch template, without repeating a refused launch
description:
  - M(amazon.aws.ec2_instance) repeats a launch that was refused for want of capacity up to ten times with growing
    pauses (C(EC2_INSTANCE_CATCH_EXTRA_CODES) in amazon.aws 10 and 11), some minutes for each cell of a launch matrix.
    Here a refusal comes back at once, with its code, and the role goes on to the next cell.
  - Each call has a client token of its own. Whether an earlier call did launch something is for the caller to look up,
    by tag.
  - The module does not fail because EC2 refuses; RV(error) says so.
options:
  template:
    description: Name of the launch template. Its newest version is used.
    type: str
    required: true
  instance_type:
    description: Instance type, instead of the template's.
    type: str
    required: true
  subnet:
    description: Subnet to launch into.
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Launch
  ec2_launch_once:
    template: spot-train-20260105T090000Z-0a1b2c-spot
    instance_type: r5.large
    subnet: subnet-0123456789abcdef0
  register: launch
"""

RETURN = r"""
instance_id:
  description: The instance; null where EC2 refused, or answered without one.
  returned: always
  type: str
error:
  description: The error code of EC2; null where it did not refuse.
  returned: always
  type: str
message:
  description: What EC2 said to it.
  returned: always
  type: str
"""

import contextlib
import uuid

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule


def main() -> None:
    """Run the module."""
    names = ("template", "instance_type", "subnet")
    module = AnsibleAWSModule(
        argument_spec={name: {"type": "str", "required": True} for name in names}, supports_check_mode=True
    )
    if module.check_mode:
        module.exit_json(changed=True, instance_id=None, error=None, message="")
    try:
        answer = module.client("ec2").run_instances(
            LaunchTemplate={"LaunchTemplateName": module.params["template"], "Version": "$Latest"},
            InstanceType=module.params["instance_type"],
            SubnetId=module.params["subnet"],
            MinCount=1,
            MaxCount=1,
            ClientToken=str(uuid.uuid4()),
        )
    except ClientError as error:
        told = error.response["Error"]
        module.exit_json(changed=False, instance_id=None, error=told["Code"], message=told["Message"])
    except BotoCoreError as error:
        # The request may have reached EC2 all the same: the caller looks by tag before anything else.
        module.exit_json(changed=True, instance_id=None, error=type(error).__name__, message=str(error))
    instances = answer.get("Instances") or [{}]
    module.exit_json(changed=True, instance_id=instances[0].get("InstanceId"), error=None, message="")


if __name__ == "__main__":
    main()
