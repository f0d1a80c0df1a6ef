# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The other resources of a sweep: spot requests, volumes, launch templates, transport keys, expiry schedules."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ..aws.client import AWS_ERRORS, Aws, failure, is_denied, is_gone, tags_of
from .scope import PROJECT, RUN, Report, Scope

OPEN = ("open", "active")
GONE = ("deleting", "deleted")
VOLUME_PAUSE = 2.0
VOLUME_TRIES = 10
KEYS_AT_ONCE = 1000


class Kind:
    """One kind of resource.

    Attributes:
        runs: Ids of the runs with a removed resource.
    """

    def __init__(self, aws: Aws, scope: Scope, report: Report) -> None:
        """Start empty."""
        self._aws, self._scope, self._report = aws, scope, report
        self.runs: set[str] = set()

    def _ours(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        now = self._aws.now()
        return [item for item in items if self._scope.takes(tags_of(item), now)]

    def _ended(self, kind: str, name: str, item: dict[str, Any]) -> None:
        self._report.ended[kind].append(name)
        self.runs.add(tags_of(item).get(RUN, self._scope.run_id))


class Tagged(Kind):
    """A kind that is deleted item by item; the control node's policy allows it by the item's tags."""

    def _lives(self, item: dict[str, Any]) -> bool:
        """Whether an item still exists, with or without tags."""
        raise NotImplementedError

    def _delete_one(self, kind: str, key: str, item: dict[str, Any], delete: Callable[[], Any]) -> bool:
        """Delete the item whose name is ``item[key]``; return whether it is gone."""
        name = item[key]
        try:
            self._aws.persist(delete)
        except AWS_ERRORS as error:
            # A concurrent sweep may have been faster; the tags are gone, too, so a policy by tags denies this one.
            if is_gone(error) or (is_denied(error) and self._is_missing(item)):
                return True
            self._report.failures.append(failure(f"delete {kind[:-1].replace('_', ' ')} {name}", error))
            return False
        self._ended(kind, name, item)
        return True

    def _is_missing(self, item: dict[str, Any]) -> bool:
        """Whether AWS says that an item does not exist; if AWS does not answer, it counts as existing."""
        try:
            return not self._lives(item)
        except AWS_ERRORS as error:
            return bool(is_gone(error))


class SpotRequests(Kind):
    """Spot requests: cancelled before the instances are terminated, so that none is fulfilled meanwhile."""

    _found: tuple[dict[str, Any], ...] = ()

    def find(self) -> list[str]:
        """Look them up; return the ids of the instances that they launched."""
        with self._report.trying("look up spot requests", "spot_requests"):
            self._found = tuple(self._ours(self._read(Filters=self._scope.filters())))
        return self._instances()

    def cancel(self) -> list[str]:
        """Cancel the open and active ones; return the ids of the instances that they have launched."""
        due = {item["SpotInstanceRequestId"]: item for item in self._found if item["State"] in OPEN}
        if not due:
            return []
        with self._report.trying(f"cancel {', '.join(due)}", "spot_requests"):
            ids = list(due)
            self._aws.persist(lambda: self._aws.client("ec2").cancel_spot_instance_requests(SpotInstanceRequestIds=ids))
            for id_, item in due.items():
                self._ended("spot_requests", id_, item)
        with self._report.trying("look up spot requests again", "spot_requests"):
            self._found = tuple(self._read(Filters=[{"Name": "spot-instance-request-id", "Values": list(due)}]))
            self._report.left["spot_requests"] = sum(item["State"] in OPEN for item in self._found)
        return self._instances()

    def _read(self, **parameters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._aws.pages(
            "ec2", "describe_spot_instance_requests", "SpotInstanceRequests", **parameters
        )
        return found

    def _instances(self) -> list[str]:
        return [item["InstanceId"] for item in self._found if item.get("InstanceId")]


class Volumes(Tagged):
    """Volumes: deleted if they are not attached."""

    def end(self, patiently: bool) -> None:
        """Delete the available ones.

        Args:
            patiently: Wait for volumes that EC2 detaches a little after their instance is terminated.
        """
        with self._report.trying("look up volumes", "volumes"):
            refused: set[str] = set()
            for tries in range(VOLUME_TRIES):
                found = {item["VolumeId"]: item for item in self._find()}
                free = {id_ for id_, item in found.items() if item["State"] == "available"} - refused
                refused |= {id_ for id_ in free if not self._delete(found[id_])}
                left = found.keys() - (free - refused)
                self._report.left["volumes"] = len(left)
                if not patiently or tries == VOLUME_TRIES - 1 or left <= refused:
                    break
                time.sleep(VOLUME_PAUSE)

    def _find(self) -> list[dict[str, Any]]:
        found = self._aws.pages("ec2", "describe_volumes", "Volumes", Filters=self._scope.filters())
        return [item for item in self._ours(found) if item["State"] not in GONE]

    def _lives(self, item: dict[str, Any]) -> bool:
        named = [{"Name": "volume-id", "Values": [item["VolumeId"]]}]
        found = self._aws.client("ec2").describe_volumes(Filters=named)["Volumes"]
        return any(each["State"] not in GONE for each in found)

    def _delete(self, item: dict[str, Any]) -> bool:
        id_ = item["VolumeId"]
        return self._delete_one(
            "volumes", "VolumeId", item, lambda: self._aws.client("ec2").delete_volume(VolumeId=id_)
        )


class Templates(Tagged):
    """Launch templates: by tags, and the untagged one with the name of the run's template."""

    def end(self) -> None:
        """Delete them."""
        with self._report.trying("look up launch templates", "launch_templates"):
            self._report.left["launch_templates"] = sum(not self._delete(item) for item in self._find())

    def _find(self) -> list[dict[str, Any]]:
        found = self._ours(self._read(self._scope.filters()))
        if not found and self._scope.run_id:
            name = f"{self._scope.project}-{self._scope.run_id}"
            named = self._read([{"Name": "launch-template-name", "Values": [name]}])
            # A name alone is ambiguous (where does the project end?); tags, if present, decide.
            found = [
                item for item in named
                if item["LaunchTemplateName"] == name and not {PROJECT, RUN} & tags_of(item).keys()
            ]  # fmt: skip
        return found

    def _read(self, filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._aws.pages(
            "ec2", "describe_launch_templates", "LaunchTemplates", Filters=filters
        )
        return found

    def _lives(self, item: dict[str, Any]) -> bool:
        named = [{"Name": "launch-template-name", "Values": [item["LaunchTemplateName"]]}]
        found = self._aws.client("ec2").describe_launch_templates(Filters=named)["LaunchTemplates"]
        return item["LaunchTemplateId"] in (each["LaunchTemplateId"] for each in found)

    def _delete(self, item: dict[str, Any]) -> bool:
        id_ = item["LaunchTemplateId"]
        return self._delete_one(
            "launch_templates",
            "LaunchTemplateName",
            item,
            lambda: self._aws.client("ec2").delete_launch_template(LaunchTemplateId=id_),
        )


class TransportKeys(Kind):
    """Files in transit to or from an instance, under ``<instance-id>/`` in the transport bucket."""

    def end(self, instance_ids: list[str]) -> None:
        """Delete the keys below the prefixes of these terminated instances."""
        if not self._scope.transport_bucket:
            return
        with self._report.trying(f"list bucket {self._scope.transport_bucket}", "transport_keys"):
            self._report.left["transport_keys"] = sum(self._empty(f"{id_}/") for id_ in instance_ids)

    def _empty(self, prefix: str) -> int:
        """Delete the keys below one prefix; return how many are left."""
        bucket = self._scope.transport_bucket
        keys = [item["Key"] for item in self._list(prefix)]
        refused = 0
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[start : start + KEYS_AT_ONCE]
            objects = {"Objects": [{"Key": key} for key in some], "Quiet": True}
            answer = None
            with self._report.trying(f"delete {len(some)} keys under {prefix} in {bucket}"):
                delete = partial(self._aws.client("s3").delete_objects, Bucket=bucket, Delete=objects)
                answer = self._aws.persist(delete)
            errors = {each["Key"]: each for each in (answer or {}).get("Errors", [])}
            for key, error in errors.items():
                what = f"delete {key} in {bucket}"
                self._report.failures.append({"what": what, "code": error["Code"], "message": error.get("Message", "")})
            refused += len(errors) if answer else len(some)
            self._report.ended["transport_keys"] += [key for key in some if answer and key not in errors]
        return refused

    def _list(self, prefix: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._aws.pages(
            "s3", "list_objects_v2", "Contents", Bucket=self._scope.transport_bucket, Prefix=prefix
        )
        return found


class Schedules(Kind):
    """Expiry schedules ``<project>-<run_id>``: removed only if no instance of their run is left."""

    def end(self, runs: set[str], alive: set[str]) -> None:
        """Remove the schedules of ``runs``, or of the run in scope; keep those of runs in ``alive``."""
        for run_id in sorted({self._scope.run_id} if self._scope.run_id else runs - {""}):
            name = f"{self._scope.project}-{run_id}"
            if run_id in alive:
                self._count(name)
            else:
                self._delete(name)

    def _delete(self, name: str) -> None:
        try:
            self._aws.persist(lambda: self._aws.client("scheduler").delete_schedule(Name=name))
        except AWS_ERRORS as error:
            if not is_gone(error):
                self._report.failures.append(failure(f"delete schedule {name}", error))
                self._left()
            return
        self._report.ended["schedules"].append(name)

    def _count(self, name: str) -> None:
        with self._report.trying(f"look up schedule {name}", "schedules"):
            self._aws.persist(lambda: self._aws.client("scheduler").get_schedule(Name=name))
            self._left()

    def _left(self) -> None:
        self._report.left["schedules"] = (self._report.left["schedules"] or 0) + 1
