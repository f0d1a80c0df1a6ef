#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that orders the launch matrix by current price."""

from __future__ import annotations

DOCUMENTATION = r"""
module: launch_offers
short_description: Order the offers of a launch matrix by their current price
description:
  - Calls DescribeSpotPriceHistory once, for all types and zones, and orders the offers (market x type x subnet), spot
    by current price, then, only if allowed, on-demand by list price as the last resort.
  - Equal prices keep the order of the types, then of the subnets. Offers without a known price come last.
options:
  types:
    description: Instance types, the best first.
    type: list
    elements: str
    required: true
  subnets:
    description: Subnets to launch into, the best first, each with C(subnet_id) and C(availability_zone).
    type: list
    elements: dict
    required: true
  markets:
    description: Markets that may be used.
    type: list
    elements: str
    choices: [spot, on-demand]
    required: true
  max_price:
    description: Highest price in USD an hour, for spot and on-demand alike. Empty for none.
    type: str
    default: ""
  on_demand:
    description: On-demand list price in USD an hour by instance type.
    type: dict
    default: {}
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
"""

EXAMPLES = r"""
- name: Order the matrix
  spot_train.core.launch_offers:
    types: [r5.large, m5.large]
    subnets: "{{ found.subnets }}"
    markets: [spot, on-demand]
    max_price: "0.06"
    on_demand: {r5.large: 0.126, m5.large: 0.096}
  register: matrix
"""

RETURN = r"""
offers:
  description: The offers to try, in order, each C({market, type, subnet, az, price_usd_hour}); the price may be null.
  returned: always
  type: list
  elements: dict
refused:
  description:
    - The offers that O(max_price) excludes, with C(error), V(PriceAboveCap), or V(PriceUnknown) for an on-demand offer
      of unknown price.
  returned: always
  type: list
  elements: dict
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

try:
    from ansible_collections.spot_train.core.plugins.module_utils.aws.client import PATIENT
    from ansible_collections.spot_train.core.plugins.module_utils.aws.offers import order_offers, read_cap, spot_prices
except ImportError:  # AnsibleAWSModule says that boto3 is missing
    pass


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "types": {"type": "list", "elements": "str", "required": True},
            "subnets": {"type": "list", "elements": "dict", "required": True},
            "markets": {"type": "list", "elements": "str", "choices": ["spot", "on-demand"], "required": True},
            "max_price": {"type": "str", "default": ""},
            "on_demand": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    try:
        cap = read_cap(wanted["max_price"])
        on_demand = {kind: float(price) for kind, price in wanted["on_demand"].items()}
    except ValueError as error:
        module.fail_json(msg=f"{error}. Nothing was launched.")
    try:
        zones = {subnet["availability_zone"] for subnet in wanted["subnets"]}
        spot = (
            spot_prices(module.client("ec2", config=PATIENT), wanted["types"], zones)
            if "spot" in wanted["markets"]
            else {}
        )
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="Cannot read the current spot prices. Nothing was launched")
    offers, refused = order_offers(wanted["types"], wanted["subnets"], wanted["markets"], spot, on_demand, cap)
    module.exit_json(changed=False, offers=offers, refused=refused)


if __name__ == "__main__":
    main()
