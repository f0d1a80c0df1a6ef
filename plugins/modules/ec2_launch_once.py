#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that requests one instance for one offer of a launch matrix, at most once, and reports why EC2 refused."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_launch_once
short_description: Launch one instance from a launch template, idempotently, without retrying a refused launch
description:
  - Looks for an instance with O(tags) that is pending or running, and launches one only if none exists.
  - A capacity error is returned at once with its code, so that the caller can try the next offer.
    M(amazon.aws.ec2_instance) retries it up to ten times with growing pauses (C(EC2_INSTANCE_CATCH_EXTRA_CODES) in
    amazon.aws 10 and 11, amazon.aws#1038), and botocore four times, because EC2 answers with HTTP status 500. So
    RunInstances is sent without botocore's retries. Throttling, EC2's internal errors and lost responses are retried
    with the client token of the first request, so that EC2 launches once only.
  - Each call of the module has its own client token; EC2 refuses one that was used for another request
    (C(IdempotentParameterMismatch)).
  - After a refusal, a lost response, or a response without an instance, the module looks for the instance again, as EC2
    lists a new instance with a delay.
  - A refusal by EC2 does not fail the module; see RV(error). It fails when it cannot look up the instance.
options:
  template:
    description: Id of the launch template. Its newest version is used.
    type: str
    required: true
  offer:
    description: The offer, as M(spot_train.core.launch_offers) returns it.
    type: dict
    required: true
    suboptions:
      market: {description: Market., type: str, choices: [spot, on-demand], required: true}
      type: {description: Instance type., type: str, required: true}
      subnet: {description: Subnet., type: str, required: true}
      az: {description: Availability zone of the subnet., type: str}
      price_usd_hour: {description: Price in USD an hour., type: float}
  max_price:
    description: Highest price of a spot request in USD an hour. Empty for none.
    type: str
    default: ""
  tags:
    description: Tags of the instance, its volumes and its spot request.
    type: dict
    required: true
  identity:
    description: Names of the O(tags) that identify the instance of this launch.
    type: list
    elements: str
    required: true
  settle_seconds:
    description: How long to look for an instance after a refusal.
    type: int
    default: 2
  lost_seconds:
    description: How long to look for an instance after a lost response, or one without an instance.
    type: int
    default: 20
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
"""

EXAMPLES = r"""
- name: Launch
  spot_train.core.ec2_launch_once:
    template: lt-0123456789abcdef0
    offer: {market: spot, type: r5.large, subnet: subnet-0123456789abcdef0}
    max_price: "0.06"
    tags: {project: spot-train, run_id: 20260105T090000Z-0a1b2c, attempt: "1"}
    identity: [project, run_id, attempt]
  register: launch
"""

RETURN = r"""
instance_id:
  description: The instance; null if none was launched.
  returned: always
  type: str
offer:
  description: The offer, with C(error), EC2's error code or null; null if no launch was requested.
  returned: always
  type: dict
error:
  description:
    - Why there is no instance, EC2's error code, or the name of botocore's error for a lost response, or V(NoInstance)
      for a response without an instance; null if there is an instance.
  returned: always
  type: str
message:
  description: AWS's message.
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

#: Tries of a launch whose response is lost.
TRIES = 3
#: A new launch template is not known everywhere at once.
NOT_YET_KNOWN = ["InvalidLaunchTemplateId.NotFound"]


def request_of(wanted: dict[str, Any]) -> dict[str, Any]:
    """Build the parameters of RunInstances from those of the module."""
    tags = [{"Key": name, "Value": str(value)} for name, value in wanted["tags"].items()]
    spot = wanted["offer"]["market"] == "spot"
    kinds = ("instance", "volume", *(["spot-instances-request"] if spot else []))
    request: dict[str, Any] = {
        "LaunchTemplate": {"LaunchTemplateId": wanted["template"], "Version": "$Latest"},
        "InstanceType": wanted["offer"]["type"],
        "SubnetId": wanted["offer"]["subnet"],
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": str(uuid.uuid4()),
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in kinds],
    }
    if spot:
        options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        if wanted["max_price"].strip():
            options["MaxPrice"] = wanted["max_price"].strip()
        request["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options}
    return request


class Launch:
    """One launch: look up the instance, request it, look it up again."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        """Make the clients."""
        self.module = module
        self.wanted = module.params
        self.looking = module.client("ec2", config=Config(retries={"mode": "standard", "total_max_attempts": 8}))
        self.launching = module.client(
            "ec2",
            retry_decorator=AWSRetry.jittered_backoff(
                retries=8, delay=1, max_delay=20, catch_extra_error_codes=NOT_YET_KNOWN
            ),
            config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
        )

    def run(self) -> dict[str, Any]:
        """Find the instance or launch it, and return the module's result."""
        there = self.look()
        if there:
            return {
                "changed": False,
                "instance_id": there,
                "offer": None,
                "error": None,
                "message": "it exists already",
            }
        request = request_of(self.wanted)
        error, message = "", ""
        for _ in range(TRIES):
            try:
                answer = self.launching.run_instances(aws_retry=True, **request)
            except ClientError as refusal:
                details = refusal.response["Error"]
                found = self.look_for(self.wanted["settle_seconds"])
                return self.result(found, details["Code"], details["Message"], refused=True)
            except BotoCoreError as lost:
                # EC2 may have received the request.
                error, message = type(lost).__name__, f"the response was lost ({lost}), and no instance appeared"
                found = self.look_for(self.wanted["lost_seconds"])
                if found:
                    return self.result(found, error, message)
                continue
            instances = answer.get("Instances") or [{}]
            found = instances[0].get("InstanceId") or self.look_for(self.wanted["lost_seconds"])
            return self.result(found, "NoInstance", "EC2 answered without an instance, and none with its tags appeared")
        return self.result(None, error, message)

    def look(self) -> str | None:
        """The oldest instance of this launch that is pending or running."""
        filters = [
            {"Name": f"tag:{name}", "Values": [str(self.wanted["tags"][name])]} for name in self.wanted["identity"]
        ]
        filters.append({"Name": "instance-state-name", "Values": ["pending", "running"]})
        try:
            pages = self.looking.get_paginator("describe_instances").paginate(Filters=filters)
            found = [each for page in pages for part in page["Reservations"] for each in part["Instances"]]
        except (BotoCoreError, ClientError) as error:
            self.module.fail_json_aws(error, msg="Cannot look up whether the instance exists")
        return min(found, key=lambda each: each["LaunchTime"])["InstanceId"] if found else None

    def look_for(self, seconds: float) -> str | None:
        """Look once a second, at least twice."""
        until = time.monotonic() + seconds
        while not (found := self.look()) and time.monotonic() < until:
            time.sleep(1)
        return found

    def result(self, instance_id: str | None, error: str, message: str, refused: bool = False) -> dict[str, Any]:
        """Build the result; the offer keeps EC2's refusal even if an instance appeared."""
        offer_error = error if refused or instance_id is None else None
        return {
            "changed": instance_id is not None or not refused,
            "instance_id": instance_id,
            "offer": {**self.wanted["offer"], "error": offer_error},
            "error": None if instance_id else error,
            "message": "" if instance_id else message,
        }


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "template": {"type": "str", "required": True},
            "offer": {
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
            msg=f"identity: expected tags with a value, got {', '.join(missing) or 'none'}. Nothing was launched."
        )
    if module.check_mode:
        module.exit_json(changed=True, instance_id=None, offer=None, error=None, message="")
    module.exit_json(**Launch(module).run())


if __name__ == "__main__":
    main()
