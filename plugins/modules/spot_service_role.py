#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that creates or deletes the service-linked role for spot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: spot_service_role
short_description: Create or delete the service-linked role for spot
description:
  - An account has one such role, C(AWSServiceRoleForEC2Spot), which the console creates at the first spot request.
    Without it, EC2 refuses spot requests by the API.
  - A role created here gets the tags. Only a role with the tags is deleted; others may depend on any other.
  - AWS refuses to delete it while a spot instance exists; the role then stays, and a warning gives the reason.
options:
  state:
    description: Whether the role should exist.
    type: str
    choices: [present, absent]
    default: present
  tags:
    description: Tags of a role created here.
    type: dict
    required: true
  wait_seconds:
    description: How long to wait for its deletion.
    type: int
    default: 120
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Create the service-linked role
  spot_train.core.spot_service_role:
    tags: {project: spot-train}
"""

RETURN = r"""
exists:
  description: Whether the role exists now, or would exist.
  returned: always
  type: bool
kept:
  description: Why a role created here was not deleted; empty otherwise.
  returned: always
  type: str
"""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

ROLE = "AWSServiceRoleForEC2Spot"
SERVICE = "spot.amazonaws.com"
LOOK_SECONDS = 2.0


class KeptError(Exception):
    """The role is in use and stays."""


def tags_of_role(iam: Any) -> dict[str, str] | None:
    """The role's tags; None if it does not exist."""
    try:
        iam.get_role(RoleName=ROLE)
        # GetRole may omit tags.
        return {tag["Key"]: tag["Value"] for tag in iam.list_role_tags(RoleName=ROLE)["Tags"]}
    except iam.exceptions.NoSuchEntityException:
        return None


def make(iam: Any, tags: Mapping[str, str]) -> None:
    """Create the role with its tags."""
    iam.create_service_linked_role(AWSServiceName=SERVICE)
    iam.tag_role(RoleName=ROLE, Tags=[{"Key": key, "Value": value} for key, value in tags.items()])


def remove(iam: Any, seconds: float) -> None:
    """Delete the role, and wait until it is gone; raise KeptError if it is in use or still exists by then."""
    task = iam.delete_service_linked_role(RoleName=ROLE)["DeletionTaskId"]
    deadline = time.monotonic() + seconds
    while True:
        answer = iam.get_service_linked_role_deletion_status(DeletionTaskId=task)
        if answer["Status"] == "SUCCEEDED":
            return
        if answer["Status"] == "FAILED":
            raise KeptError(str(answer.get("Reason", {}).get("Reason", "AWS gives no reason")))
        if time.monotonic() > deadline:
            raise KeptError(f"AWS did not delete it within {seconds:.0f} s")
        time.sleep(LOOK_SECONDS)


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "tags": {"type": "dict", "required": True},
            "wait_seconds": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    tags = {str(key): str(value) for key, value in module.params["tags"].items()}
    wanted = module.params["state"] == "present"
    try:
        iam = module.client("iam")
        found = tags_of_role(iam)
        ours = found is not None and tags.items() <= found.items()
        changed = found is None if wanted else ours
        if changed and not module.check_mode:
            if wanted:
                make(iam, tags)
            else:
                remove(iam, float(module.params["wait_seconds"]))
    except KeptError as error:
        kept = f"The role {ROLE} stays: {error}"
        module.warn(kept)
        module.exit_json(changed=False, exists=True, kept=kept)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Cannot {'create' if wanted else 'delete'} the service-linked role {ROLE}")
    exists = wanted or (found is not None and not ours)
    before, after = (f"{ROLE}\n" if there else "" for there in (found is not None, exists))
    module.exit_json(changed=changed, exists=exists, kept="", diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
