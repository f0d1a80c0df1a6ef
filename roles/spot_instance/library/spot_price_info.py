#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that asks EC2 for the current spot price; amazon.aws has none for it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: spot_price_info
short_description: Ask for the current spot price of an instance type in a zone
description:
  - Calls DescribeSpotPriceHistory for Linux and returns the newest price.
options:
  instance_type:
    description: EC2 instance type.
    type: str
    required: true
  availability_zone:
    description: Availability zone.
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

RETURN = r"""
usd_hour:
  description: Spot price in USD an hour; null where EC2 has none for the pair.
  returned: always
  type: float
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "instance_type": {"type": "str", "required": True},
            "availability_zone": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        answer = module.client("ec2").describe_spot_price_history(
            InstanceTypes=[module.params["instance_type"]],
            AvailabilityZone=module.params["availability_zone"],
            ProductDescriptions=["Linux/UNIX"],
            MaxResults=100,
        )
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="Cannot ask for the spot price")
    # The history is not only of now: the newest entry of the zone is the price.
    offers = [
        offer
        for offer in answer["SpotPriceHistory"]
        if offer["AvailabilityZone"] == module.params["availability_zone"]
        and offer["InstanceType"] == module.params["instance_type"]
    ]
    newest = max(offers, key=lambda offer: offer["Timestamp"], default=None)
    module.exit_json(changed=False, usd_hour=float(newest["SpotPrice"]) if newest else None)


if __name__ == "__main__":
    main()
