#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that asks EC2 whether it took a spot instance back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_fate_info
short_description: Ask EC2 whether it took an instance back
description:
  - Reads the instance's state reason and the status of its spot request. Only these confirm a reclaim; an instance that
    does not answer, or that a user terminated, was not taken back.
options:
  instance_id:
    description: The instance.
    type: str
    required: true
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
"""

EXAMPLES = r"""
- name: Ask EC2 whether it took the instance back
  spot_train.core.instance_fate_info:
    instance_id: i-0123456789abcdef0
  register: fate
"""

RETURN = r"""
state:
  description: State of the instance; V(unknown) if EC2 no longer lists it.
  returned: always
  type: str
reason:
  description: Code of the state reason, for example C(Client.UserInitiatedShutdown); empty while it runs.
  returned: always
  type: str
reclaimed:
  description: Whether EC2 took the instance back, or announced it.
  returned: always
  type: bool
confirmed_by:
  description: The code that confirms it; null without one.
  returned: always
  type: str
"""

import contextlib
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

#: State reason of an instance that EC2 took back (EC2 API reference, StateReason).
RECLAIMED_REASON = "Server.SpotInstanceTermination"
#: Status codes of a spot request whose instance EC2 took back, or is about to (EC2 user guide, "Spot request status").
RECLAIMED_STATUSES = (
    "marked-for-termination",
    "instance-terminated-no-capacity",
    "instance-terminated-by-price",
    "instance-terminated-capacity-oversubscribed",
    "instance-terminated-launch-group-constraint",
)


def confirmation(reason: str, status: str) -> str | None:
    """The code that confirms a reclaim; None if neither the reason nor the request's status does."""
    if status in RECLAIMED_STATUSES:
        return status
    return reason if reason == RECLAIMED_REASON else None


def look(client: Any, instance_id: str) -> dict[str, Any]:
    """Return state, reason and verdict of one instance; raise ClientError if EC2 refuses."""
    try:
        reservations = client.describe_instances(InstanceIds=[instance_id])["Reservations"]
    except is_boto3_error_code("InvalidInstanceID.NotFound"):
        reservations = []
    found = [instance for reservation in reservations for instance in reservation["Instances"]]
    if not found:
        return {"state": "unknown", "reason": "", "reclaimed": False, "confirmed_by": None}
    reason = (found[0].get("StateReason") or {}).get("Code", "")
    code = confirmation(reason, _request_status(client, found[0].get("SpotInstanceRequestId")))
    return {"state": found[0]["State"]["Name"], "reason": reason, "reclaimed": code is not None, "confirmed_by": code}


def _request_status(client: Any, request_id: str | None) -> str:
    if not request_id:
        return ""
    requests = client.describe_spot_instance_requests(SpotInstanceRequestIds=[request_id])["SpotInstanceRequests"]
    return str((requests[0].get("Status") or {}).get("Code", "")) if requests else ""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={"instance_id": {"type": "str", "required": True}}, supports_check_mode=True
    )
    try:
        fate = look(module.client("ec2"), module.params["instance_id"])
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Cannot read the state of {module.params['instance_id']}")
    module.exit_json(changed=False, **fate)


if __name__ == "__main__":
    main()
