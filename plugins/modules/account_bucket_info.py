#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that reads the settings of buckets."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_bucket_info
short_description: Read the settings of buckets
description:
  - Reads each bucket by name; does not need the right to list buckets. A missing bucket is not an error.
  - Fails if a bucket exists and the caller has no access to it.
options:
  names:
    description: The buckets.
    type: list
    elements: str
    required: true
  prefixes:
    description: Key prefixes under which to look for objects.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
attributes:
  check_mode:
    support: full
"""

EXAMPLES = r"""
- name: Read two buckets
  spot_train.core.account_bucket_info:
    names: [my-data, my-transport]
"""

RETURN = r"""
buckets:
  description:
    - The settings by bucket. Only C(exists) if the bucket is missing; else C(region), C(tags), C(encryption) (the
      algorithm, or null), C(key) (the customer managed key of its default encryption, or null),
      C(public_access_blocked), C(versioning) (C(Enabled), C(Suspended) or null), C(rules) of its lifecycle, C(empty),
      and C(holds), those of O(prefixes) that are not empty.
    - Old versions, delete markers and unfinished uploads count as objects.
  returned: always
  type: dict
"""

import contextlib
from collections.abc import Sequence
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


class NotOursError(Exception):
    """The bucket exists and the caller has no access to it."""


#: The AWS managed key, which needs no permission of its own. Any other does.
OWN_KEY = "alias/aws/s3"


def look(s3: Any, name: str, prefixes: Sequence[str] = ()) -> dict[str, Any]:
    """Read one bucket, which boto3 follows into its region.

    Raises:
        NotOursError: It exists and the caller has no access to it.
        ClientError: A setting cannot be read.
    """
    try:
        region = s3.head_bucket(Bucket=name).get("BucketRegion")
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in ("404", "NoSuchBucket"):
            return {"exists": False}
        if code in ("403", "AccessDenied", "301", "PermanentRedirect"):
            raise NotOursError(
                f"bucket {name} exists and you have no access to it ({code}): it belongs to another account or region, "
                "or your policies exclude it. Choose another name; bucket names are unique among all accounts"
            ) from error
        raise
    blocks = _or_none(s3.get_public_access_block, name, "PublicAccessBlockConfiguration") or {}
    encryption = _or_none(s3.get_bucket_encryption, name, "ServerSideEncryptionConfiguration") or {"Rules": []}
    defaults = [rule["ApplyServerSideEncryptionByDefault"] for rule in encryption["Rules"]]
    default: dict[str, Any] = next(iter(defaults), {})
    key = default.get("KMSMasterKeyID")
    return {
        "exists": True,
        "region": region,
        "tags": {tag["Key"]: tag["Value"] for tag in _or_none(s3.get_bucket_tagging, name, "TagSet") or []},
        "encryption": default.get("SSEAlgorithm"),
        "key": None if key is None or key.endswith(OWN_KEY) else key,
        "public_access_blocked": all(blocks.get(block) for block in BLOCKS),
        "versioning": s3.get_bucket_versioning(Bucket=name).get("Status"),
        "rules": _or_none(s3.get_bucket_lifecycle_configuration, name, "Rules") or [],
        "empty": not _holds(s3, name, ""),
        "holds": [prefix for prefix in prefixes if _holds(s3, name, prefix)],
    }


def _holds(s3: Any, name: str, prefix: str) -> bool:
    """Whether a prefix has an object, an old version, a delete marker or an unfinished upload."""
    versions = s3.list_object_versions(Bucket=name, Prefix=prefix, MaxKeys=1)
    if versions.get("Versions") or versions.get("DeleteMarkers"):
        return True
    return bool(s3.list_multipart_uploads(Bucket=name, Prefix=prefix, MaxUploads=1).get("Uploads"))


def _or_none(ask: Any, name: str, field: str) -> Any:
    """A setting of a bucket; None if it is not set, which S3 reports as an error."""
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
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "prefixes": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    s3, found = module.client("s3"), {}
    for name in module.params["names"]:
        try:
            found[name] = look(s3, name, module.params["prefixes"])
        except NotOursError as error:
            module.fail_json(msg=str(error))
        except (BotoCoreError, ClientError) as error:
            module.fail_json_aws(error, msg=f"Cannot read bucket {name}")
    module.exit_json(changed=False, buckets=found)


if __name__ == "__main__":
    main()
