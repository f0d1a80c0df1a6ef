# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a sweep ends beside instances: spot requests, volumes, launch templates, transport keys, expiry schedules."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ..aws.client import AWS_ERRORS, Aws, failure, is_denied, is_gone, tags_of
from .scope import PROJECT, RUN, Report, Wanted

OPEN = ("open", "active")
GONE = ("deleting", "deleted")
VOLUME_LOOK_SECONDS = 2.0
VOLUME_LOOKS = 10
KEYS_AT_ONCE = 1000


class Kind:
    """One kind of thing: how it is found and ended.

    Attributes:
        runs: Ids of the runs of which something was ended.
    """

    def __init__(self, aws: Aws, wanted: Wanted, report: Report) -> None:
        """Know nothing yet."""
        self._aws, self._wanted, self._report = aws, wanted, report
        self.runs: set[str] = set()

    def _ours(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        now = self._aws.now()
        return [item for item in items if self._wanted.takes(tags_of(item), now)]

    def _ended(self, kind: str, name: str, item: dict[str, Any]) -> None:
        self._report.ended[kind].append(name)
        self.runs.add(tags_of(item).get(RUN, self._wanted.run_id))


class Tagged(Kind):
    """A kind that is deleted item by item, which the controller's policy allows by the item's tags."""

    def _lives(self, item: dict[str, Any]) -> bool:
        """Whether an item is still there, whatever its tags."""
        raise NotImplementedError

    def _delete_one(self, kind: str, key: str, item: dict[str, Any], delete: Callable[[], Any]) -> bool:
        """Delete one, which has its name under ``key``; whether it is gone, by whoever's doing."""
        name = item[key]
        try:
            self._aws.persist(delete)
        except AWS_ERRORS as error:
            # Another sweep may have been faster; with the tags gone too, a policy that goes by them denies this one.
            if is_gone(error) or (is_denied(error) and self._has_gone(item)):
                return True
            self._report.failures.append(failure(f"delete {kind[:-1].replace('_', ' ')} {name}", error))
            return False
        self._ended(kind, name, item)
        return True

    def _has_gone(self, item: dict[str, Any]) -> bool:
        """Whether AWS says that an item is not there; where AWS does not tell, it counts as there."""
        try:
            return not self._lives(item)
        except AWS_ERRORS as error:
            return bool(is_gone(error))


class SpotRequests(Kind):
    """Spot requests: cancelled before the instances are ended, so that none is granted behind our back."""

    _found: tuple[dict[str, Any], ...] = ()

    def find(self) -> list[str]:
        """Look for them; the ids of the instances that they launched."""
        with self._report.trying("look for spot requests", "spot_requests"):
            self._found = tuple(self._ours(self._look(Filters=self._wanted.filters())))
        return self._instances()

    def cancel(self) -> list[str]:
        """Cancel the open and active ones; the ids of the instances that they have launched by then."""
        due = {item["SpotInstanceRequestId"]: item for item in self._found if item["State"] in OPEN}
        if not due:
            return []
        with self._report.trying(f"cancel {', '.join(due)}", "spot_requests"):
            ids = list(due)
            self._aws.persist(lambda: self._aws.client("ec2").cancel_spot_instance_requests(SpotInstanceRequestIds=ids))
            for id_, item in due.items():
                self._ended("spot_requests", id_, item)
        with self._report.trying("look for spot requests again", "spot_requests"):
            self._found = tuple(self._look(Filters=[{"Name": "spot-instance-request-id", "Values": list(due)}]))
            self._report.left["spot_requests"] = sum(item["State"] in OPEN for item in self._found)
        return self._instances()

    def _look(self, **parameters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._aws.pages(
            "ec2", "describe_spot_instance_requests", "SpotInstanceRequests", **parameters
        )
        return found

    def _instances(self) -> list[str]:
        return [item["InstanceId"] for item in self._found if item.get("InstanceId")]


class Volumes(Tagged):
    """Volumes: deleted where nothing uses them."""

    def end(self, patiently: bool) -> None:
        """Delete what is available.

        Args:
            patiently: Wait for the volumes of instances that have just ended, which EC2 lets go of a little later.
        """
        with self._report.trying("look for volumes", "volumes"):
            refused: set[str] = set()
            for looks in range(VOLUME_LOOKS):
                found = {item["VolumeId"]: item for item in self._find()}
                free = {id_ for id_, item in found.items() if item["State"] == "available"} - refused
                refused |= {id_ for id_ in free if not self._delete(found[id_])}
                left = found.keys() - (free - refused)
                self._report.left["volumes"] = len(left)
                if not patiently or looks == VOLUME_LOOKS - 1 or left <= refused:
                    break
                time.sleep(VOLUME_LOOK_SECONDS)

    def _find(self) -> list[dict[str, Any]]:
        found = self._aws.pages("ec2", "describe_volumes", "Volumes", Filters=self._wanted.filters())
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
    """Launch templates: by their tags, and the one without tags that has the name of the run's."""

    def end(self) -> None:
        """Delete them."""
        with self._report.trying("look for launch templates", "launch_templates"):
            self._report.left["launch_templates"] = sum(not self._delete(item) for item in self._find())

    def _find(self) -> list[dict[str, Any]]:
        found = self._ours(self._look(self._wanted.filters()))
        if not found and self._wanted.run_id:
            name = f"{self._wanted.project}-{self._wanted.run_id}"
            named = self._look([{"Name": "launch-template-name", "Values": [name]}])
            # The name alone does not tell where the project ends and the run id begins; tags, where there are any, do.
            found = [
                item for item in named
                if item["LaunchTemplateName"] == name and not {PROJECT, RUN} & tags_of(item).keys()
            ]  # fmt: skip
        return found

    def _look(self, filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
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
    """Files on their way to or from an instance, under ``<instance-id>/`` in the transport bucket."""

    def end(self, instance_ids: list[str]) -> None:
        """Delete what lies under the prefixes of these instances, all of them dead."""
        if not self._wanted.transport_bucket:
            return
        with self._report.trying(f"look into bucket {self._wanted.transport_bucket}", "transport_keys"):
            self._report.left["transport_keys"] = sum(self._empty(f"{id_}/") for id_ in instance_ids)

    def _empty(self, prefix: str) -> int:
        """Delete what lies under one prefix; how many keys are left there."""
        bucket = self._wanted.transport_bucket
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
            for key, told in errors.items():
                what = f"delete {key} in {bucket}"
                self._report.failures.append({"what": what, "code": told["Code"], "message": told.get("Message", "")})
            refused += len(errors) if answer else len(some)
            self._report.ended["transport_keys"] += [key for key in some if answer and key not in errors]
        return refused

    def _list(self, prefix: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._aws.pages(
            "s3", "list_objects_v2", "Contents", Bucket=self._wanted.transport_bucket, Prefix=prefix
        )
        return found


class Schedules(Kind):
    """Expiry schedules ``<project>-<run_id>``: removed only where no instance of their run is left."""

    def end(self, runs: set[str], alive: set[str]) -> None:
        """Remove the schedules of ``runs``, or of the run that is swept; one of a run in ``alive`` stays."""
        for run_id in sorted({self._wanted.run_id} if self._wanted.run_id else runs - {""}):
            name = f"{self._wanted.project}-{run_id}"
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
        with self._report.trying(f"look for schedule {name}", "schedules"):
            self._aws.persist(lambda: self._aws.client("scheduler").get_schedule(Name=name))
            self._left()

    def _left(self) -> None:
        self._report.left["schedules"] = (self._report.left["schedules"] or 0) + 1
