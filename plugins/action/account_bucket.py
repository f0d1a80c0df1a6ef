"""Create, correct or delete one bucket with check mode and diff."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

DOCUMENTATION = r"""
module: account_bucket
short_description: Create, correct or delete a bucket
description:
  - M(amazon.aws.s3_bucket) and M(community.aws.s3_lifecycle) do the work. Neither supports check mode or diff, so
    this action compares first and calls them only for the differences.
  - An existing bucket keeps its objects, its other tags and rules, its versioning (unless O(versioned) is given) and
    its encryption, if it has any.
  - M(amazon.aws.s3_bucket) cannot empty every bucket. M(account_bucket_empty) does, before the bucket is deleted.
options:
  name:
    description: The bucket.
    type: str
    required: true
  region:
    description: Its region.
    type: str
    required: true
  state:
    description: Whether the bucket should exist.
    type: str
    choices: [present, absent]
    default: present
  tags:
    description: Its tags. A bucket without them is not deleted.
    type: dict
    required: true
  made_tags:
    description: Additional tags of a bucket that is created here.
    type: dict
    default: {}
  versioned:
    description: Whether it keeps old versions. Unchanged if omitted.
    type: bool
  rules:
    description:
      - Its lifecycle rules, each with C(id), C(prefix) and the C(days) after which objects, old versions and
        unfinished uploads are deleted.
    type: list
    elements: dict
    default: []
  force:
    description: Whether to delete a bucket that is not empty.
    type: bool
    default: false
"""

BLOCKS = ("block_public_acls", "ignore_public_acls", "block_public_policy", "restrict_public_buckets")


def settings(bucket: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a bucket that ``wanted`` determines; empty if it does not exist."""
    if not bucket["exists"]:
        return {}
    found = {
        "encryption": bucket["encryption"],
        "public_access_blocked": bucket["public_access_blocked"],
        "tags": {name: bucket["tags"].get(name) for name in wanted["tags"]},
        "rules": {rule["id"]: _rule(bucket["rules"], rule["id"]) for rule in wanted["rules"]},
    }
    return found if wanted["versioned"] is None else {**found, "versioned": bucket["versioning"] == "Enabled"}


def target(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What ``settings`` returns once the bucket is as wanted."""
    found = {
        "encryption": before.get("encryption") or "AES256",
        "public_access_blocked": True,
        "tags": {**wanted["tags"], **({} if before else wanted["made_tags"])},
        "rules": {rule["id"]: _sentence(rule["prefix"], rule["days"]) for rule in wanted["rules"]},
    }
    return found if wanted["versioned"] is None else {**found, "versioned": wanted["versioned"]}


def _rule(rules: list[Mapping[str, Any]], identifier: str) -> str | None:
    """What a lifecycle rule does; None if it is missing or disabled."""
    for rule in rules:
        if rule.get("ID") == identifier and rule.get("Status") == "Enabled":
            prefix = rule.get("Filter", {}).get("Prefix", rule.get("Prefix", ""))
            abort = rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation")
            days = rule.get("Expiration", {}).get("Days")
            old = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")
            otherwise = {"old versions": old, "unfinished uploads": abort}
            parts = [f"{what} after {each}" for what, each in otherwise.items() if each != days]
            return ", ".join([_sentence(prefix, days), *parts])
    return None


def _texts(tags: Mapping[Any, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in tags.items()}


def _sentence(prefix: str, days: int | None) -> str:
    return f"delete {prefix or 'everything'} after {days} days"


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    _VALID_ARGS = frozenset(("name", "region", "state", "tags", "made_tags", "versioned", "rules", "force"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare the bucket with what is wanted, and change the differences."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._variables = task_vars or {}
        arguments = self._task.args
        self._where = {"name": str(arguments["name"]), "region": str(arguments["region"])}
        found = self._module("account_bucket_info", names=[self._where["name"]], region=self._where["region"])
        bucket = found["buckets"][self._where["name"]]
        if arguments.get("state", "present") == "absent":
            return {**result, **self._remove(bucket, arguments)}
        wanted = {
            "tags": _texts(arguments["tags"]),
            "made_tags": _texts(arguments.get("made_tags", {})),
            "versioned": arguments.get("versioned"),
            "rules": [{**rule, "days": int(rule["days"])} for rule in arguments.get("rules", [])],
        }
        before = settings(bucket, wanted)
        after = target(before, wanted)
        if before != after and not self._task.check_mode:
            self._make(before, after, wanted)
        return {**result, **self._changed(before, after)}

    def _make(self, before: Mapping[str, Any], after: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        """Change the differences."""
        if {**before, "rules": None} != {**after, "rules": None}:
            encryption = {} if before.get("encryption") else {"encryption": after["encryption"]}
            versioning = {} if wanted["versioned"] is None else {"versioning": wanted["versioned"]}
            self._module(
                "amazon.aws.s3_bucket",
                tags=after["tags"],
                purge_tags=False,
                public_access=dict.fromkeys(BLOCKS, True),
                **encryption,
                **versioning,
                **self._where,
            )
        for rule in wanted["rules"]:
            if before.get("rules", {}).get(rule["id"]) != after["rules"][rule["id"]]:
                self._module(
                    "community.aws.s3_lifecycle",
                    rule_id=rule["id"],
                    prefix=rule["prefix"],
                    expiration_days=rule["days"],
                    noncurrent_version_expiration_days=rule["days"],
                    abort_incomplete_multipart_upload_days=rule["days"],
                    **self._where,
                )

    def _remove(self, bucket: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
        name, force = self._where["name"], bool(arguments.get("force", False))
        if not bucket["exists"] or not arguments["tags"].items() <= bucket["tags"].items():
            return self._changed({}, {})
        if not bucket["empty"] and not force:
            raise AnsibleActionFail(f"bucket {name} is not empty: set force to delete it with its objects")
        if not self._task.check_mode:
            if not bucket["empty"]:
                self._module("account_bucket_empty", **self._where)
            self._module("amazon.aws.s3_bucket", state="absent", **self._where)
        return self._changed({"bucket": name, "empty": bucket["empty"]}, {})

    def _changed(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
        header = {f"{when}_header": self._where["name"] for when in ("before", "after")}
        return {"changed": before != after, "diff": {"before": dict(before), "after": dict(after), **header}}

    def _module(self, module: str, **arguments: Any) -> dict[str, Any]:
        """Run a module; raise AnsibleActionFail if it fails."""
        answer: dict[str, Any] = self._execute_module(
            module_name=module, module_args=arguments, task_vars=self._variables
        )
        if answer.get("failed"):
            raise AnsibleActionFail(str(answer.get("msg", f"{module} failed")))
        return answer
