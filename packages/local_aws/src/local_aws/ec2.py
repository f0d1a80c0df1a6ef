"""Extends moto's EC2: launch templates that take effect, spot requests, states that take time.

The fleet owns the machines behind the instances.
"""

from __future__ import annotations

import copy
import threading
from datetime import UTC, datetime
from typing import Any, Protocol

from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.amis import Ami
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import Instance, InstanceState, Reservation, StateReason
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.utils import convert_tag_spec

from local_aws.faults import Faults
from local_aws.market import ON_DEMAND_QUOTA, SPOT_QUOTA, capacity_message, spot_price
from local_aws.requests import parameters_now
from local_aws.spot import LocalSpotRequest, SpotBackend
from local_aws.state import ACCOUNT_ID, REGION

Tags = dict[str, dict[str, str]]
OWN_TAGS = "launch-template"
"""Resource type of the tags of a launch template itself."""


class Machinery(Protocol):
    """Starts and stops the machines behind instances."""

    def boot(self, instance: Instance) -> None:
        """Start to boot and return at once; the instance is pending until the machine runs."""

    def halt(self, instance: Instance, *, destroy: bool) -> None:
        """Kill every process of the machine, then return; ``destroy`` frees its disk."""


class LocalEC2Backend(SpotBackend):
    """Moto's EC2 back end with real machines behind its instances."""

    __module__ = EC2Backend.__module__  # moto finds the URL patterns by the back end's module

    machinery: Machinery

    def run_instances(  # noqa: D102 - documented by moto
        self, image_id: str, count: int, user_data: Any, security_group_names: list[str], **kwargs: Any
    ) -> Reservation:
        spot_request: LocalSpotRequest | None = kwargs.pop("spot_request", None)
        template = self.template_data(kwargs.get("launch_template"))
        market = self._market_options(kwargs, template)
        _merge_template(kwargs, template)
        image_id = image_id or template.get("ImageId", "")
        user_data = user_data if user_data is not None else template.get("UserData")
        spot = market.get("MarketType") == "spot"
        kwargs["instance_market_options"] = market.get("MarketType") if spot else {}
        kwargs["tags"] = merged_tags(convert_tag_spec(template.get("TagSpecifications", [])), kwargs.get("tags", {}))
        self._check_capacity(kwargs, market, spot)
        kwargs["block_device_mappings"] = self._with_root(image_id, kwargs.get("block_device_mappings") or [])
        profile = spot_request.profile if spot_request else self._profile(kwargs, template)
        with self.lock:
            reservation = super().run_instances(image_id, count, user_data, security_group_names, **kwargs)
            for instance in reservation.instances:
                self._finish_launch(instance, market, kwargs["tags"], profile, spot_request)
        for instance in reservation.instances:
            self.machinery.boot(instance)
        return reservation

    def terminate_instances(self, instance_ids: list[str]) -> list[tuple[Instance, InstanceState]]:  # noqa: D102
        instances = self.get_multi_instances_by_id(instance_ids)
        for instance in instances:
            if instance.disable_api_termination:
                raise EC2ClientError(
                    "OperationNotPermitted",
                    f"The instance '{instance.id}' may not be terminated. Modify its 'disableApiTermination' "
                    "instance attribute and try again.",
                )
        why = ("User initiated", "Client.UserInitiatedShutdown")
        return [(instance, self.begin_termination(instance, *why)) for instance in instances]

    def begin_termination(
        self, instance: Instance, reason: str, code: str, spot_status: str = "instance-terminated-by-user"
    ) -> InstanceState:
        """Start to terminate an instance in the background; return its former state."""
        with self.lock:
            previous = copy.copy(instance._state)
            if previous.name in ("shutting-down", "terminated"):
                return previous
            instance._state.name, instance._state.code = "shutting-down", 32
        why = (reason, code, spot_status)
        threading.Thread(target=self._terminate, args=(instance, *why), name=f"end-{instance.id}", daemon=True).start()
        return previous

    def stop_instances(self, instance_ids: list[str]) -> list[tuple[Instance, InstanceState]]:  # noqa: D102
        for instance in self.get_multi_instances_by_id(instance_ids):
            if instance.lifecycle == "spot":
                raise EC2ClientError(
                    "UnsupportedOperation",
                    f"You can't stop the Spot Instance '{instance.id}' because it is associated with a one-time "
                    "Spot Instance request. You can only stop Spot Instances associated with persistent Spot "
                    "Instance requests.",
                )
        stopped = super().stop_instances(instance_ids)
        for instance, _ in stopped:
            self.machinery.halt(instance, destroy=False)
        return stopped

    def start_instances(self, instance_ids: list[str]) -> list[tuple[Instance, InstanceState]]:  # noqa: D102
        started = super().start_instances(instance_ids)
        for instance, previous in started:
            if previous.name == "stopped":
                instance._state = InstanceState("pending", 0)
                self.machinery.boot(instance)
        return started

    def register_image(self, name: str | None = None, description: str | None = None) -> Ami:  # noqa: D102
        image = super().register_image(name, description)
        asked = parameters_now()
        image.root_device_name = str(asked.get("RootDeviceName") or image.root_device_name)
        image.architecture = str(asked.get("Architecture") or "x86_64")
        return image

    def create_launch_template(  # noqa: D102 - documented by moto
        self, name: str, description: str, template_data: dict[str, Any], tag_spec: dict[str, Any]
    ) -> LaunchTemplate:
        # Moto adds the template's own tags to those of the instances.
        launched = [each for each in template_data.pop("TagSpecifications", []) if each["ResourceType"] != OWN_TAGS]
        data = {**template_data, "TagSpecifications": launched} if launched else template_data
        return super().create_launch_template(name, description, data, tag_spec)

    def describe_launch_templates(self, *args: Any, **kwargs: Any) -> list[LaunchTemplate]:  # noqa: D102
        found: list[LaunchTemplate] = super().describe_launch_templates(*args, **kwargs)
        for template in found:
            template.tags = template.get_tags()  # moto returns those of its creation
        return found

    def delete_launch_template(self, name: str, tid: str | None) -> LaunchTemplate:  # noqa: D102
        template = super().delete_launch_template(name, tid)
        self.tags.pop(template.id, None)
        return template

    def create_tags(self, resource_ids: list[str], tags: dict[str, str]) -> bool:  # noqa: D102
        with self.lock:
            return bool(super().create_tags(resource_ids, tags))

    def delete_tags(self, resource_ids: list[str], tags: dict[str, str]) -> bool:  # noqa: D102
        with self.lock:
            return bool(super().delete_tags(resource_ids, tags))

    def describe_tags(self, filters: dict[str, list[str]] | None = None) -> list[dict[str, str]]:  # noqa: D102
        with self.lock:  # moto iterates while create_tags adds
            return list(super().describe_tags(filters))

    def describe_volumes(self, *given: Any, **asked: Any) -> Any:  # noqa: D102
        with self.lock:  # at termination moto detaches volumes before it deletes them
            return super().describe_volumes(*given, **asked)

    def _terminate(self, instance: Instance, reason: str, code: str, spot_status: str) -> None:
        self.machinery.halt(instance, destroy=True)
        with self.lock:
            instance.terminate()
            instance.terminated_at = datetime.now(UTC)  # type: ignore[attr-defined]
            instance._reason = f"{reason} ({utcnow().strftime('%Y-%m-%d %H:%M:%S')} GMT)"
            instance.state_reason = StateReason(f"{code}: {reason}", code)
            if request := self.spot_request_of(instance):
                if request.state == "active":  # else it was cancelled before
                    request.state = "closed"
                request.mark(spot_status)

    def template_data(self, reference: dict[str, Any] | None) -> dict[str, Any]:
        """The data of the launch template that a reference names (id or name, and version)."""
        return dict(self._get_template_from_args(reference).data) if reference else {}

    @staticmethod
    def _market_options(kwargs: dict[str, Any], template: dict[str, Any]) -> dict[str, Any]:
        from_template: dict[str, Any] = template.get("InstanceMarketOptions") or {}
        if not kwargs.get("instance_market_options"):
            return from_template
        prefix = "InstanceMarketOptions.SpotOptions."
        asked = {name.removeprefix(prefix): v for name, v in parameters_now().items() if name.startswith(prefix)}
        options = asked or from_template.get("SpotOptions") or {}
        return {"MarketType": kwargs["instance_market_options"], "SpotOptions": options}

    def _check_capacity(self, kwargs: dict[str, Any], market: dict[str, Any], spot: bool) -> None:
        zone = self._zone(kwargs.get("subnet_id"), kwargs.get("placement"))
        facts = {"type": kwargs["instance_type"], "az": zone, "market": "spot" if spot else "on-demand"}
        fault = self.faults.take("capacity", late=False, **facts)
        if fault:
            code = fault.parameters.get("code", "InsufficientInstanceCapacity")
            raise EC2ClientError(code, capacity_message(code, facts["type"], zone))
        self._check_quota(kwargs["instance_type"], spot)
        maximum = (market.get("SpotOptions") or {}).get("MaxPrice")
        if spot and maximum and float(maximum) < spot_price(kwargs["instance_type"], zone):
            raise EC2ClientError("SpotMaxPriceTooLow", capacity_message("SpotMaxPriceTooLow"))

    def _check_quota(self, instance_type: str, spot: bool) -> None:
        fault = self.faults.take("quota", code=SPOT_QUOTA if spot else ON_DEMAND_QUOTA)
        if fault is None:
            return
        live = [i for i in self.all_instances() if i._state.name in ("pending", "running")]
        same = [i for i in live if (i.lifecycle == "spot") == spot]
        wanted = sum(_vcpus(each) for each in [instance_type, *(i.instance_type for i in same)])
        limit = fault.parameters["value"]
        if wanted > limit:
            message = f"You have requested more vCPU capacity than your current vCPU limit of {limit:g}"
            raise EC2ClientError("MaxSpotInstanceCountExceeded" if spot else "VcpuLimitExceeded", message)

    def _with_root(self, image_id: str, mappings: list[dict[str, Any]]) -> list[dict[str, Any]]:
        images = self.describe_images(filters={"image-id": image_id})
        root = images[0].root_device_name if images else "/dev/xvda"
        mappings = [copy.deepcopy(mapping) for mapping in mappings]
        for mapping in mappings:
            ebs = mapping.get("Ebs") or {}
            if mapping["DeviceName"] == root and ebs.get("DeleteOnTermination") is None:
                ebs["DeleteOnTermination"] = True
        if not any(mapping["DeviceName"] == root for mapping in mappings):
            disk = {"VolumeSize": 8, "VolumeType": "gp3", "DeleteOnTermination": True}
            mappings.insert(0, {"DeviceName": root, "Ebs": disk})
        return mappings

    @staticmethod
    def _profile(kwargs: dict[str, Any], template: dict[str, Any]) -> dict[str, str]:
        """The instance profile of the template, if the request has none (moto handles the request's)."""
        if kwargs.get("iam_instance_profile_name") or kwargs.get("iam_instance_profile_arn"):
            return {}
        profile = template.get("IamInstanceProfile") or {}
        return {f"iam_instance_profile_{key.lower()}": value for key, value in profile.items() if value}

    def _finish_launch(
        self,
        instance: Instance,
        market: dict[str, Any],
        tags: Tags,
        profile: dict[str, str],
        spot_request: LocalSpotRequest | None,
    ) -> None:
        instance._state = InstanceState("pending", 0)
        if profile:
            self.associate_iam_instance_profile(instance_id=instance.id, **profile)
        if market.get("MarketType") != "spot":
            return
        instance.lifecycle = "spot"
        if spot_request is not None:
            spot_request.fulfil(instance)
        else:
            spot_request = LocalSpotRequest.of_launch(
                self, instance, market.get("SpotOptions") or {}, tags.get("spot-instances-request", {})
            )
            self.spot_instance_requests[spot_request.id] = spot_request
        instance.spot_instance_request_id = spot_request.id  # type: ignore[attr-defined]


def backend() -> LocalEC2Backend:
    """The EC2 back end of the embedded account and region."""
    found = ec2_backends[ACCOUNT_ID][REGION]
    assert isinstance(found, LocalEC2Backend), "install() must run before moto makes its back end"
    return found


def _vcpus(instance_type: str) -> int:
    return int(INSTANCE_TYPES[instance_type]["VCpuInfo"]["DefaultVCpus"]) if instance_type in INSTANCE_TYPES else 0


def install(machinery: Machinery, faults: Faults) -> None:
    """Replace moto's back end by ``LocalEC2Backend``; call once, before the first request."""
    LocalEC2Backend.machinery = machinery
    LocalEC2Backend.faults = faults
    ec2_backends.backend = LocalEC2Backend
    backend()


def _merge_template(kwargs: dict[str, Any], template: dict[str, Any]) -> None:
    """Fill gaps of the request from the template; the request wins (EC2 API reference, RunInstances)."""
    if kwargs.get("is_instance_type_default") and template.get("InstanceType"):
        kwargs["instance_type"], kwargs["is_instance_type_default"] = template["InstanceType"], False
    placement = template.get("Placement") or {}
    if "DisableApiTermination" in parameters_now():
        kwargs["disable_api_termination"] = parameters_now()["DisableApiTermination"] == "true"
    for name, value in (
        ("instance_initiated_shutdown_behavior", template.get("InstanceInitiatedShutdownBehavior")),
        ("metadata_options", template.get("MetadataOptions")),
        ("block_device_mappings", template.get("BlockDeviceMappings")),
        ("security_group_ids", template.get("SecurityGroupIds")),
        ("key_name", template.get("KeyName")),
        ("placement", placement.get("AvailabilityZone")),
        ("disable_api_termination", template.get("DisableApiTermination") in (True, "true")),
    ):
        if kwargs.get(name) in (None, "", [], {}) and value:
            kwargs[name] = copy.deepcopy(value)
    interfaces = template.get("NetworkInterfaces") or []
    if not kwargs.get("nics") and not kwargs.get("subnet_id") and interfaces:
        kwargs["nics"] = copy.deepcopy(interfaces)


def merged_tags(first: Tags, second: Tags) -> Tags:
    """Merge tags by resource type; ``second`` wins."""
    return {kind: {**first.get(kind, {}), **second.get(kind, {})} for kind in {*first, *second}}
