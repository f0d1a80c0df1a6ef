#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that empties a bucket."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_bucket_empty
short_description: Empty a bucket
description:
  - Deletes objects, old versions, delete markers and unfinished uploads.
  - M(amazon.aws.s3_bucket) with C(force) deletes the version C(null) without naming it. In a bucket whose versioning
    is suspended, or was enabled late, that keeps the version and adds a delete marker, so that the bucket stays.
options:
  name:
    description: The bucket.
    type: str
    required: true
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
attributes:
  check_mode:
    support: none
"""

EXAMPLES = r"""
- name: Empty a bucket
  spot_train.core.account_bucket_empty:
    name: my-data
"""

RETURN = r"""
deleted:
  description: Number of versions and delete markers deleted.
  returned: always
  type: int
"""

import contextlib
from collections.abc import Iterator
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule


class KeptError(Exception):
    """S3 did not delete everything."""


def empty(s3: Any, name: str) -> int:
    """Delete everything in a bucket; return the number of versions and delete markers, or raise KeptError."""
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=name):
        for upload in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    deleted = 0
    for versions in _pages(s3, name):
        kept = s3.delete_objects(Bucket=name, Delete={"Objects": versions, "Quiet": True}).get("Errors", [])
        if kept:
            first = kept[0]
            version = f"{first.get('Key')} (version {first.get('VersionId')})"
            why = f"{first.get('Code')} {first.get('Message')}"
            raise KeptError(f"{len(kept)} versions cannot be deleted, the first of them {version}: {why}")
        deleted += len(versions)
    return deleted


def _pages(s3: Any, name: str) -> Iterator[list[dict[str, str]]]:
    """Versions and delete markers in pages of at most 1,000, as DeleteObjects accepts them."""
    # Always with a version id: without one, S3 only hides the version "null".
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
        there = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if there:
            yield [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in there]


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(argument_spec={"name": {"type": "str", "required": True}})
    name = module.params["name"]
    try:
        deleted = empty(module.client("s3"), name)
    except KeptError as error:
        module.fail_json(msg=f"Bucket {name} is not empty yet: {error}")
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Bucket {name} cannot be emptied")
    module.exit_json(changed=deleted > 0, deleted=deleted)


if __name__ == "__main__":
    main()
