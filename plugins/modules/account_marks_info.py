#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that reads the tags of roles, instance profiles and topics."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_marks_info
short_description: Read the tags of roles, instance profiles and topics
description:
  - An account has one of each name; its tags show who owns it. A missing one is not an error.
options:
  roles:
    description: Names of roles.
    type: list
    elements: str
    default: []
  profiles:
    description: Names of instance profiles.
    type: list
    elements: str
    default: []
  topics:
    description: ARNs of topics.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
attributes:
  check_mode:
    support: full
"""

EXAMPLES = r"""
- name: Read the tags of a role
  spot_train.core.account_marks_info:
    roles: [spot-train-control-node]
"""

RETURN = r"""
marks:
  description: Those that exist, each with C(kind) (C(role), C(profile) or C(topic)), C(name), C(label) (both) and
    C(tags).
  returned: always
  type: list
  elements: dict
"""

import contextlib
from collections.abc import Callable
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

NOT_THERE = ("NoSuchEntity", "NotFound", "NotFoundException", "ResourceNotFound", "ResourceNotFoundException")
#: By kind: the option with its names, the service, and how to read its tags. GetRole may omit some.
KINDS: dict[str, tuple[str, str, Callable[[Any, str], list[dict[str, str]]]]] = {
    "role": ("roles", "iam", lambda iam, name: iam.list_role_tags(RoleName=name)["Tags"]),
    "profile": (
        "profiles",
        "iam",
        lambda iam, name: iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"].get("Tags", []),
    ),
    "topic": ("topics", "sns", lambda sns, arn: sns.list_tags_for_resource(ResourceArn=arn)["Tags"]),
}


def look(client: Any, kind: str, name: str) -> dict[str, Any] | None:
    """Read one; None if it does not exist, ClientError if AWS refuses the request."""
    try:
        tags = KINDS[kind][2](client, name)
    except is_boto3_error_code(NOT_THERE):
        return None
    name = name.rpartition(":")[2]
    marks = {tag["Key"]: tag["Value"] for tag in tags}
    return {"kind": kind, "name": name, "label": f"{kind} {name}", "tags": marks}


def main() -> None:
    """Run the module."""
    names = {"type": "list", "elements": "str", "default": []}
    module = AnsibleAWSModule(
        argument_spec={option: dict(names) for option, *_ in KINDS.values()}, supports_check_mode=True
    )
    found = []
    try:
        for kind, (option, service, _) in KINDS.items():
            if module.params[option]:
                client = module.client(service)
                found += [look(client, kind, name) for name in module.params[option]]
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="Cannot read roles, instance profiles and topics")
    module.exit_json(changed=False, marks=[each for each in found if each])


if __name__ == "__main__":
    main()
