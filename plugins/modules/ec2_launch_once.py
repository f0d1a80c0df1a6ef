#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that launches one instance in one cell of a launch matrix, at most once, and tells why it was refused."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_launch_once
short_description: Launch one instance from a launch template, unless it is there, without repeating a refused launch
description:
  - Looks for an instance with O(tags) that is pending or running, and launches one only where there is none.
  - A refusal for want of capacity comes back at once with its code, so that the caller goes on to the next cell.
    M(amazon.aws.ec2_instance) repeats it up to ten times with growing pauses (C(EC2_INSTANCE_CATCH_EXTRA_CODES) in
    amazon.aws 10 and 11, amazon.aws#1038), and botocore four times by itself, because EC2 answers it with HTTP status
    500. So RunInstances is sent without botocore's repetitions here. What is repeated is throttling and EC2's internal
    errors, and a request whose answer was lost, all with the client token of the first request, which lets EC2 launch
    once only.
  - Each call of the module has a client token of its own. One that was used for another request is refused
    (C(IdempotentParameterMismatch)).
  - After a refusal, a lost answer, or an answer without an instance, it looks for the instance again before it says
    that there is none. EC2 shows a new instance a moment after it was launched.
  - The module does not fail because EC2 refuses; RV(error) says so. It fails when it cannot look.
options:
  template:
    description: Id of the launch template. Its newest version is used.
    type: str
    required: true
  cell:
    description: The cell, as M(launch_cells) returns it.
    type: dict
    required: true
    suboptions:
      market: {description: Market., type: str, choices: [spot, on-demand], required: true}
      type: {description: Instance type., type: str, required: true}
      subnet: {description: Subnet., type: str, required: true}
      az: {description: Availability zone of the subnet., type: str}
      price_usd_hour: {description: Price in USD an hour., type: float}
  max_price:
    description: Highest price in USD an hour that a spot launch carries. Empty for none.
    type: str
    default: ""
  tags:
    description: Tags of the instance, its volumes and its spot request.
    type: dict
    required: true
  identity:
    description: Names of the O(tags) that tell an instance of this launch from every other.
    type: list
    elements: str
    required: true
  settle_seconds:
    description: How long to look for an instance after a refusal.
    type: int
    default: 2
  lost_seconds:
    description: How long to look for an instance after an answer that was lost, or named none.
    type: int
    default: 20
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Launch
  spot_train.core.ec2_launch_once:
    template: lt-0123456789abcdef0
    cell: {market: spot, type: r5.large, subnet: subnet-0123456789abcdef0}
    max_price: "0.06"
    tags: {project: spot-train, run_id: 20260105T090000Z-0a1b2c, attempt: "1"}
    identity: [project, run_id, attempt]
  register: launch
"""

RETURN = r"""
instance_id:
  description: The instance; null where there is none.
  returned: always
  type: str
cell:
  description: The cell, with C(error), EC2's error code or null; null where EC2 was not asked to launch.
  returned: always
  type: dict
error:
  description:
    - Why there is no instance, EC2's error code, or the name of botocore's error for an answer that was lost, or
      V(NoInstance) for an answer without one; null where there is an instance.
  returned: always
  type: str
message:
  description: What was said to it.
  returned: always
  type: str
"""

import contextlib
import time
import uuid
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

#: How often a launch is asked for whose answer was lost.
TRIES = 3
#: A launch template that was made a moment ago may not be known yet everywhere.
NOT_YET_KNOWN = ["InvalidLaunchTemplateId.NotFound"]


def request_of(asked: dict[str, Any]) -> dict[str, Any]:
    """The request for RunInstances, of the module's parameters."""
    tags = [{"Key": name, "Value": str(value)} for name, value in asked["tags"].items()]
    spot = asked["cell"]["market"] == "spot"
    kinds = ("instance", "volume", *(["spot-instances-request"] if spot else []))
    request: dict[str, Any] = {
        "LaunchTemplate": {"LaunchTemplateId": asked["template"], "Version": "$Latest"},
        "InstanceType": asked["cell"]["type"],
        "SubnetId": asked["cell"]["subnet"],
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": str(uuid.uuid4()),
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in kinds],
    }
    if spot:
        options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        if asked["max_price"].strip():
            options["MaxPrice"] = asked["max_price"].strip()
        request["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options}
    return request


class Launch:
    """One launch: a look for its instance, a request, and looks again."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        """Make the clients; nothing is asked yet."""
        self.module = module
        self.asked = module.params
        self.looking = module.client("ec2", config=Config(retries={"mode": "standard", "total_max_attempts": 8}))
        self.launching = module.client(
            "ec2",
            retry_decorator=AWSRetry.jittered_backoff(
                retries=8, delay=1, max_delay=20, catch_extra_error_codes=NOT_YET_KNOWN
            ),
            config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
        )

    def run(self) -> dict[str, Any]:
        """Find the instance or launch it; the module's result."""
        there = self.look()
        if there:
            return {"changed": False, "instance_id": there, "cell": None, "error": None, "message": "it was there"}
        request = request_of(self.asked)
        error, message = "", ""
        for _ in range(TRIES):
            try:
                answer = self.launching.run_instances(aws_retry=True, **request)
            except ClientError as refusal:
                told = refusal.response["Error"]
                found = self.look_for(self.asked["settle_seconds"])
                return self.result(found, told["Code"], told["Message"], refused=True)
            except BotoCoreError as lost:
                # The request may have reached EC2 all the same.
                error, message = type(lost).__name__, f"the answer was lost ({lost}), and no instance appeared"
                found = self.look_for(self.asked["lost_seconds"])
                if found:
                    return self.result(found, error, message)
                continue
            instances = answer.get("Instances") or [{}]
            found = instances[0].get("InstanceId") or self.look_for(self.asked["lost_seconds"])
            return self.result(found, "NoInstance", "EC2 answered without an instance, and none with its tags appeared")
        return self.result(None, error, message)

    def look(self) -> str | None:
        """The oldest instance of this launch that is pending or running."""
        filters = [
            {"Name": f"tag:{name}", "Values": [str(self.asked["tags"][name])]} for name in self.asked["identity"]
        ]
        filters.append({"Name": "instance-state-name", "Values": ["pending", "running"]})
        try:
            pages = self.looking.get_paginator("describe_instances").paginate(Filters=filters)
            found = [each for page in pages for part in page["Reservations"] for each in part["Instances"]]
        except (BotoCoreError, ClientError) as error:
            self.module.fail_json_aws(error, msg="Whether the instance is there already cannot be asked")
        return min(found, key=lambda each: each["LaunchTime"])["InstanceId"] if found else None

    def look_for(self, seconds: float) -> str | None:
        """Look once a second for so long, and at least twice."""
        until = time.monotonic() + seconds
        while not (found := self.look()) and time.monotonic() < until:
            time.sleep(1)
        return found

    def result(self, instance_id: str | None, error: str, message: str, refused: bool = False) -> dict[str, Any]:
        """What became of the request; a refusal is told although an instance appeared."""
        told = error if refused or instance_id is None else None
        return {
            "changed": instance_id is not None or not refused,
            "instance_id": instance_id,
            "cell": {**self.asked["cell"], "error": told},
            "error": None if instance_id else error,
            "message": "" if instance_id else message,
        }


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "template": {"type": "str", "required": True},
            "cell": {
                "type": "dict",
                "required": True,
                "options": {
                    "market": {"type": "str", "choices": ["spot", "on-demand"], "required": True},
                    "type": {"type": "str", "required": True},
                    "subnet": {"type": "str", "required": True},
                    "az": {"type": "str"},
                    "price_usd_hour": {"type": "float"},
                },
            },
            "max_price": {"type": "str", "default": ""},
            "tags": {"type": "dict", "required": True},
            "identity": {"type": "list", "elements": "str", "required": True},
            "settle_seconds": {"type": "int", "default": 2},
            "lost_seconds": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    missing = [name for name in module.params["identity"] if not module.params["tags"].get(name)]
    if missing or not module.params["identity"]:
        module.fail_json(
            msg=f"No value among the tags for {', '.join(missing) or 'any identity'}. Nothing was launched."
        )
    if module.check_mode:
        module.exit_json(changed=True, instance_id=None, cell=None, error=None, message="")
    module.exit_json(**Launch(module).run())


if __name__ == "__main__":
    main()
