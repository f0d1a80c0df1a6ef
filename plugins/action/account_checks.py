"""Check an account before the launch, at no cost."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.spot_train.core.plugins.module_utils.checks import base, runner
from ansible_collections.spot_train.core.plugins.module_utils.checks.context import Context

DOCUMENTATION = r"""
module: account_checks
short_description: Check an account before anything is launched in it
description:
  - Runs all checks in C(plugins/module_utils/checks), several at once. A failed check does not stop the others.
  - Read-only. The only launch request is a dry run.
  - Runs on the control node, with keys and endpoint from the environment as in other AWS modules.
  - Does not fail if a check fails; the caller reads RV(checks).
options:
  only: {description: Names of the checks to run; empty for all., type: list, elements: str, default: []}
  region: {description: AWS region of the run., type: str, required: true}
  preflight: {description: Whether the instance must not be able to write., type: bool, required: true}
  project: {description: Value of the tag C(project)., type: str, required: true}
  tags: {description: Tags of the launch., type: dict, required: true}
  types: {description: Instance types of the matrix., type: list, elements: str, required: true}
  markets: {description: Markets of the matrix., type: list, elements: str, required: true}
  max_price: {description: Highest spot price in USD an hour; empty for none., type: str, required: true}
  on_demand: {description: On-demand prices in USD an hour by type., type: dict, required: true}
  subnet_filters: {description: Filters for the subnets., type: dict, required: true}
  security_group: {description: Name of the security group., type: str, required: true}
  profile: {description: Name of the instance profile., type: str, required: true}
  image_parameter: {description: SSM parameter with the image id., type: str, required: true}
  volume_gb: {description: Size of the root volume in GiB., type: int, required: true}
  data_bucket: {description: Bucket of the data., type: str, required: true}
  transport_bucket: {description: Bucket of the SSM connection., type: str, required: true}
  arctic_prefix: {description: Path prefix of ArcticDB in the data bucket., type: str, required: true}
  artefact_prefixes:
    description: Key prefixes of the data bucket under which the training writes.
    type: list
    elements: str
    required: true
  expiry_role: {description: Role of the expiry schedule; empty for none., type: str, required: true}
"""

RETURN = r"""
checks:
  description: One record for each check, in the order of the files.
  returned: always
  type: list
  elements: dict
seconds:
  description: Duration of all checks.
  returned: always
  type: float
clock_offset:
  description: Seconds that AWS's clock is ahead of the control node's; 0 if unknown.
  returned: always
  type: float
caller:
  description: ARN of the caller; empty if unknown.
  returned: always
  type: str
place:
  description:
    - What a launch needs, C(image_id), C(root_device_name), C(profile_arn), C(group_id) and C(subnets), each with
      C(subnet_id) and C(availability_zone). Empty if one of them is missing.
  returned: always
  type: dict
"""


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the checks and return their records."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        started = time.monotonic()
        try:
            settings = base.Settings.of(self._task.args)
        except (KeyError, ValueError) as error:
            raise AnsibleActionFail(f"account_checks: {type(error).__name__}: {error}") from error
        context = Context(settings)
        only = self._task.args.get("only") or ()
        checks = runner.run_all(context, only=only)
        try:
            caller = context.caller["Arn"]
        except base.Unavailable:
            caller = ""
        try:
            place = context.place
        except base.Unavailable as error:
            if only and all(check["status"] != "fail" for check in checks):
                raise AnsibleActionFail(f"{error.owner}: {error}") from error
            place = {}  # the check that owns the look-up fails
        return {
            **result,
            "changed": False,
            "checks": checks,
            "seconds": round(time.monotonic() - started, 3),
            "caller": caller,
            "place": place,
            "clock_offset": round(context.clock_offset() or 0.0, 1),
        }
