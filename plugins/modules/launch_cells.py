#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that orders the launch matrix by what its cells cost now."""

from __future__ import annotations

DOCUMENTATION = r"""
module: launch_cells
short_description: Order the cells of a launch matrix by their current price
description:
  - Asks DescribeSpotPriceHistory once, for all types and zones, and orders the cells of market x type x subnet, the
    spot cells by current price, then, only if asked for, the on-demand cells by list price as the last resort.
  - Equal prices keep the order of the types, then of the subnets. Cells without a known price come last.
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
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Order the matrix
  spot_train.core.launch_cells:
    types: [r5.large, m5.large]
    subnets: "{{ found.subnets }}"
    markets: [spot, on-demand]
    max_price: "0.06"
    on_demand: {r5.large: 0.126, m5.large: 0.096}
  register: matrix
"""

RETURN = r"""
cells:
  description: The cells to try, in order, each C({market, type, subnet, az, price_usd_hour}); an unknown price is null.
  returned: always
  type: list
  elements: dict
refused:
  description:
    - The cells that O(max_price) forbids, with C(error), V(PriceAboveCap), or V(PriceUnknown) for an on-demand cell of
      unknown price.
  returned: always
  type: list
  elements: dict
"""

import contextlib
from datetime import UTC, datetime

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.spot_train.core.plugins.module_utils.aws.offers import newest_prices, order_cells, read_cap


def spot_prices(module: AnsibleAWSModule) -> dict[tuple[str, str], float]:
    """Ask for the current spot price of every type in every zone, in one listing."""
    client = module.client("ec2", config=Config(retries={"mode": "standard", "total_max_attempts": 8}))
    zones = {subnet["availability_zone"] for subnet in module.params["subnets"]}
    pages = client.get_paginator("describe_spot_price_history").paginate(
        InstanceTypes=module.params["types"],
        ProductDescriptions=["Linux/UNIX"],
        StartTime=datetime.now(UTC),  # the price that holds now, and no history
    )
    offers = [offer for page in pages for offer in page["SpotPriceHistory"] if offer["AvailabilityZone"] in zones]
    prices: dict[tuple[str, str], float] = newest_prices(offers)
    return prices


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
    asked = module.params
    try:
        cap = read_cap(asked["max_price"])
        on_demand = {kind: float(price) for kind, price in asked["on_demand"].items()}
    except ValueError as error:
        module.fail_json(msg=f"{error}. Nothing was launched.")
    try:
        spot = spot_prices(module) if "spot" in asked["markets"] else {}
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="The current spot prices cannot be asked for, and nothing was launched")
    cells, refused = order_cells(asked["types"], asked["subnets"], asked["markets"], spot, on_demand, cap)
    module.exit_json(changed=False, cells=cells, refused=refused)


if __name__ == "__main__":
    main()
