#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that tells what a bucket is like, whether it is there or not."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_bucket_info
short_description: Tell what buckets are like
description:
  - Looks at each bucket by its name, and needs no right to list the others. A bucket that is not there is no error.
  - Fails where a bucket is there and not for the caller.
options:
  names:
    description: The buckets.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
"""

EXAMPLES = r"""
- name: Look at two buckets
  account_bucket_info:
    names: [my-data, my-transport]
"""

RETURN = r"""
buckets:
  description:
    - By name, what each is like. C(exists) alone where there is none, else C(tags), C(encryption) (the algorithm, or
      null), C(public_access_blocked), C(versioning) (C(Enabled), C(Suspended) or null), C(rules) of its lifecycle and
      C(empty), which counts old versions and delete markers as well.
  returned: always
  type: dict
"""

import contextlib
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


class NotOursError(Exception):
    """The bucket is there, and not for the caller."""


def look(s3: Any, name: str) -> dict[str, Any]:
    """What one bucket is like.

    Raises:
        NotOursError: It is there, and the caller may not even ask whether.
        ClientError: Something about it cannot be asked.
    """
    try:
        s3.head_bucket(Bucket=name)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in ("404", "NoSuchBucket"):
            return {"exists": False}
        if code in ("403", "AccessDenied", "301", "PermanentRedirect"):
            raise NotOursError(
                f"bucket {name} is there and not for you ({code}): the name is another account's or in another region, "
                "or your rights do not reach it. Choose another, as these names are unique among all accounts"
            ) from error
        raise
    versions = s3.list_object_versions(Bucket=name, MaxKeys=1)
    blocks = _or_none(s3.get_public_access_block, name, "PublicAccessBlockConfiguration") or {}
    encryption = _or_none(s3.get_bucket_encryption, name, "ServerSideEncryptionConfiguration") or {"Rules": []}
    algorithms = [rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] for rule in encryption["Rules"]]
    return {
        "exists": True,
        "tags": {tag["Key"]: tag["Value"] for tag in _or_none(s3.get_bucket_tagging, name, "TagSet") or []},
        "encryption": next(iter(algorithms), None),
        "public_access_blocked": all(blocks.get(block) for block in BLOCKS),
        "versioning": s3.get_bucket_versioning(Bucket=name).get("Status"),
        "rules": _or_none(s3.get_bucket_lifecycle_configuration, name, "Rules") or [],
        "empty": not versions.get("Versions") and not versions.get("DeleteMarkers"),
    }


def _or_none(ask: Any, name: str, field: str) -> Any:
    """A setting of a bucket; None where it has none, which S3 answers with an error."""
    try:
        return ask(Bucket=name)[field]
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code.startswith("NoSuch") or code.endswith("NotFoundError"):
            return None
        raise


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={"names": {"type": "list", "elements": "str", "required": True}}, supports_check_mode=True
    )
    s3, found = module.client("s3"), {}
    for name in module.params["names"]:
        try:
            found[name] = look(s3, name)
        except NotOursError as error:
            module.fail_json(msg=str(error))
        except (BotoCoreError, ClientError) as error:
            module.fail_json_aws(error, msg=f"Bucket {name} cannot be looked at")
    module.exit_json(changed=False, buckets=found)


if __name__ == "__main__":
    main()
