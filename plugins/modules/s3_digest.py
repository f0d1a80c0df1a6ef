#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that digests a listing of S3 prefixes, to detect changes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_digest
short_description: Digest the objects under S3 prefixes, and compare them with an earlier listing
description:
  - Lists every object under the prefixes (key, ETag, size, time of the last change) and every unfinished multipart
    upload, and digests the listing. Only listings are read, one request per 1,000 objects.
  - Two equal digests prove that nothing was added, removed or rewritten in between; rewriting an object with the same
    content changes its time. An object that was created and removed in between leaves no trace in a listing.
  - Times have a resolution of one second, so rewriting an object within the second of its last change, with the same
    content, goes unnoticed.
options:
  bucket:
    description: The bucket.
    type: str
    required: true
  prefixes:
    description: Key prefixes. An empty one means the whole bucket.
    type: list
    elements: str
    required: true
  listing:
    description: File on the control node for the listing, gzip, one JSON array per line.
    type: path
    required: true
  before:
    description: A file that an earlier call wrote as O(listing). With it, the differences are returned.
    type: path
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Digest the data
  spot_train.core.s3_digest:
    region: us-east-1
    bucket: my-data
    prefixes: [arcticdb/, predictor/]
    listing: runs/20260105T090000Z-0a1b2c/data-before.jsonl.gz
"""

RETURN = r"""
digest:
  description: C(sha256) of the listing, C(objects), C(bytes), unfinished C(uploads), and the C(seconds) it took.
  returned: always
  type: dict
equal:
  description: Whether the earlier listing is the same.
  returned: with O(before)
  type: bool
changes:
  description: The first 100 differences by key, each C(key) and C(change) (V(added), V(removed), V(modified)).
  returned: with O(before)
  type: list
  elements: dict
change_count:
  description: Number of differences.
  returned: with O(before)
  type: int
"""

import contextlib
import gzip
import hashlib
import json
import time
from pathlib import Path
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

#: Number of differences that are returned.
NAMED = 100
UPLOAD = "(multipart upload)"

Listing = dict[str, tuple[str, int, str]]
"""ETag, size in bytes and time of the last change, by key; for an unfinished upload, by key and upload id."""


def list_objects(client: Any, bucket: str, prefixes: list[str]) -> Listing:
    """List objects and unfinished uploads, sorted by key; raise ClientError or BotoCoreError as S3's client does."""
    found: Listing = {}
    for prefix in prefixes:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                found[entry["Key"]] = (entry["ETag"], entry["Size"], entry["LastModified"].isoformat())
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Uploads", []):
                begun = entry.get("Initiated")
                name = f"{entry['Key']} {UPLOAD} {entry['UploadId']}"
                found[name] = ("", 0, begun.isoformat() if begun else "")
    return dict(sorted(found.items()))


def digest(listing: Listing) -> str:
    """Return the SHA-256 of a listing, in hexadecimal."""
    return hashlib.sha256("".join(lines(listing)).encode()).hexdigest()


def lines(listing: Listing) -> list[str]:
    """Format a listing as one JSON array per line: key, ETag, size, time."""
    return [json.dumps([key, *facts]) + "\n" for key, facts in listing.items()]


def read(path: Path) -> Listing:
    """Read a listing from its file; raise OSError, or ValueError if it does not contain a listing."""
    found: Listing = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            key, tag, size, changed = json.loads(line)
            found[key] = (tag, size, changed)
    return found


def differences(before: Listing, after: Listing) -> list[dict[str, str]]:
    """Return the differences between two listings, by key."""
    found = {
        **dict.fromkeys(after.keys() - before.keys(), "added"),
        **dict.fromkeys(before.keys() - after.keys(), "removed"),
        **{key: "modified" for key in before.keys() & after.keys() if before[key] != after[key]},
    }
    return [{"key": key, "change": change} for key, change in sorted(found.items())]


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "prefixes": {"type": "list", "elements": "str", "required": True},
            "listing": {"type": "path", "required": True},
            "before": {"type": "path"},
        },
        supports_check_mode=True,
    )
    bucket, started = module.params["bucket"], time.monotonic()
    try:
        listing = list_objects(module.client("s3"), bucket, module.params["prefixes"])
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Cannot list bucket {bucket}")
    answer: dict[str, Any] = {
        "digest": {
            "sha256": digest(listing),
            "objects": sum(UPLOAD not in key for key in listing),
            "bytes": sum(size for _, size, _ in listing.values()),
            "uploads": sum(UPLOAD in key for key in listing),
            "seconds": round(time.monotonic() - started, 3),
        }
    }
    try:
        if not module.check_mode:
            with gzip.open(module.params["listing"], "wt", encoding="utf-8") as file:
                file.writelines(lines(listing))
        if module.params["before"]:
            found = differences(read(Path(module.params["before"])), listing)
            answer.update(equal=not found, changes=found[:NAMED], change_count=len(found))
    except (OSError, ValueError, EOFError) as error:
        module.fail_json(msg=f"Cannot store or compare the listing of bucket {bucket}: {error}")
    # `changed` is about the account.
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
