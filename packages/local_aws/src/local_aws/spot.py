"""Spot requests and their states.

Source: EC2 User Guide, "Spot request status" for the states and status codes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import Instance
from moto.ec2.models.spot_requests import SpotInstanceRequest
from moto.ec2.utils import random_spot_request_id

from local_aws.faults import Faults
from local_aws.market import spot_price
from local_aws.requests import parameters_now

log = logging.getLogger(__name__)

# Arguments that moto requires.
_LEFT_OPEN: dict[str, Any] = dict.fromkeys(
    ("valid_from", "valid_until", "launch_group", "availability_zone_group", "user_data", "kernel_id", "ramdisk_id")
)
MESSAGES = {
    "capacity-not-available": "There is no Spot capacity available that matches your request.",
    "price-too-low": "Your Spot request price is lower than the minimum required Spot request fulfillment price.",
    "fulfilled": "Your Spot request is fulfilled.",
    "marked-for-termination": "Your Spot Instance is marked for termination.",
}


class LocalSpotRequest(SpotInstanceRequest):
    """A spot request with real times; open until an instance fulfils it."""

    def __init__(self, backend: EC2Backend, instance: Instance | None, **asked: Any) -> None:
        self._instance = instance
        self._created = self._updated = datetime.now(UTC)
        super().__init__(
            ec2_backend=backend,
            spot_request_id=random_spot_request_id(),
            **{**_LEFT_OPEN, "monitoring_enabled": False, "spot_fleet_id": None, **asked},
        )
        self.profile: dict[str, str] = {}
        """The instance profile of its launch specification: ``name`` or ``arn``."""
        if instance is None:
            self.state = "open"
            self.mark("pending-evaluation")

    @classmethod
    def of_launch(
        cls, backend: EC2Backend, instance: Instance, options: dict[str, Any], tags: dict[str, str]
    ) -> LocalSpotRequest:
        """The request that RunInstances creates for ``instance``, from ``SpotOptions`` and the request's own tags."""
        return cls(
            backend,
            instance,
            price=options.get("MaxPrice") or "",
            image_id=instance.image_id,
            spot_instance_type=options.get("SpotInstanceType", "one-time"),
            key_name=instance.key_name,
            security_groups=[group.id for group in instance.security_groups],
            instance_type=instance.instance_type,
            placement=instance.availability_zone,
            subnet_id=instance.subnet_id or "",
            tags={"spot-instances-request": tags},
            instance_interruption_behaviour=options.get("InstanceInterruptionBehavior"),
        )

    def launch_instance(self) -> Instance:
        """Return the existing instance; moto calls this because it cannot leave a request open."""
        return self._instance  # type: ignore[return-value]

    @property
    def instance_id(self) -> str | None:  # type: ignore[override]
        """The instance that fulfils it, or None."""
        return self.instance.id if self.instance else None

    @property
    def create_time(self) -> str:
        """When the request was made, ISO 8601."""
        return _iso(self._created)

    @property
    def status(self) -> dict[str, Any]:
        """Status code, message and time."""
        return {"Code": self._status_code, "Message": self.status_message, "UpdateTime": _iso(self._updated)}

    def get_filter_value(self, filter_name: str, method_name: str | None = None) -> Any:
        """See moto; an open request has no instance id."""
        if filter_name == "status-code":
            return self._status_code
        if filter_name == "instance-id":
            return self.instance_id or ""
        return super().get_filter_value(filter_name, method_name)

    def bids_enough(self, zone: str) -> bool:
        """Whether its maximum price, if any, covers the spot price."""
        instance_type = str(self.launch_specification.instance_type)
        return not self.price or float(self.price) >= spot_price(instance_type, zone)

    def fulfil(self, instance: Instance) -> None:
        """Fulfil the request with ``instance``."""
        self.instance = instance
        self.state = "active"
        self.mark("fulfilled")

    def mark(self, code: str) -> None:
        """Set a status code such as ``marked-for-termination``."""
        if code != self._status_code:
            self._updated = datetime.now(UTC)
        self._status_code, self.status_message = code, MESSAGES.get(code, "")

    def cancel(self) -> None:
        """Cancel the request; its instance, if any, keeps running."""
        self.mark("request-canceled-and-instance-running" if self.state == "active" else "canceled-before-fulfillment")
        self.state = "cancelled"


class SpotBackend(EC2Backend):
    """Moto's EC2 back end with spot requests that stay open until they are fulfilled."""

    faults: Faults
    lock = threading.RLock()

    def describe_spot_price_history(self, instance_types: Any = None, filters: Any = None) -> list[dict[str, str]]:  # noqa: D102
        known = {key: value for key, value in (filters or {}).items() if key in ("availability-zone", "instance-type")}
        return list(super().describe_spot_price_history(instance_types, known))

    def spot_request_of(self, instance: Instance) -> LocalSpotRequest | None:
        """The spot request that ``instance`` fulfils, or None."""
        for request in list(self.spot_instance_requests.values()):
            if isinstance(request, LocalSpotRequest) and request.instance is instance:
                return request
        return None

    def request_spot_instances(self, **asked: Any) -> list[SpotInstanceRequest]:  # type: ignore[override]  # noqa: D102
        self.describe_images(ami_ids=[asked["image_id"]])  # raises if it does not exist
        count, made = asked.pop("count"), []
        specification = {
            name.removeprefix("LaunchSpecification."): value
            for name, value in parameters_now().items()
            if name.startswith("LaunchSpecification.")
        }
        asked["security_groups"] = asked.get("security_groups") or [
            value for name, value in specification.items() if name.startswith("SecurityGroupId.")
        ]
        with self.lock:
            for _ in range(count):
                request = LocalSpotRequest(self, None, **asked)
                request.profile = {
                    f"iam_instance_profile_{key.lower()}": specification[f"IamInstanceProfile.{key}"]
                    for key in ("Name", "Arn")
                    if f"IamInstanceProfile.{key}" in specification
                }
                if not self._lacks(request, self.faults.take):
                    self._grant(request)
                self.spot_instance_requests[request.id] = request
                made.append(request)
        return list(made)

    def grant_open_requests(self) -> None:
        """Launch the instances of open spot requests that can be fulfilled now."""
        with self.lock:
            for request in list(self.spot_instance_requests.values()):
                if isinstance(request, LocalSpotRequest) and request.state == "open":
                    self._try_to_grant(request)

    def describe_spot_instance_requests(  # noqa: D102
        self, filters: Any = None, spot_instance_ids: list[str] | None = None
    ) -> list[SpotInstanceRequest]:
        for identifier in spot_instance_ids or []:
            self._spot_request(identifier)
        return super().describe_spot_instance_requests(filters, spot_instance_ids)

    def cancel_spot_instance_requests(self, request_ids: list[str]) -> list[SpotInstanceRequest]:  # noqa: D102
        with self.lock:
            requests = [self._spot_request(identifier) for identifier in request_ids]
            for request in requests:
                if isinstance(request, LocalSpotRequest) and request.state in ("open", "active"):
                    request.cancel()
        return requests

    def _spot_request(self, identifier: str) -> SpotInstanceRequest:
        request = self.spot_instance_requests.get(identifier)
        if request is None:
            message = f"The spot instance request ID '{identifier}' does not exist"
            raise EC2ClientError("InvalidSpotInstanceRequestID.NotFound", message)
        return request

    def _lacks(self, request: LocalSpotRequest, lacking: Callable[..., object]) -> bool:
        """Set the status of a request that price or capacity keep open; ``lacking`` is a method of ``Faults``."""
        wanted = request.launch_specification
        zone = self._zone(wanted.subnet_id, wanted.availability_zone)
        if not request.bids_enough(zone):
            request.mark("price-too-low")
        elif lacking("capacity", late=False, type=wanted.instance_type, az=zone, market="spot"):
            request.mark("capacity-not-available")
        else:
            return False
        return True

    def _try_to_grant(self, request: LocalSpotRequest) -> None:
        if self._lacks(request, self.faults.pending):
            return
        try:
            self._grant(request)
        except EC2ClientError as error:
            log.warning("spot request %s cannot be granted: %s", request.id, error)
            if error.code.startswith("Invalid"):
                request.state = "closed"
                request.mark("bad-parameters")

    def _grant(self, request: LocalSpotRequest) -> None:
        wanted = request.launch_specification
        self.run_instances(
            str(wanted.image_id),
            1,
            request.user_data,
            [],
            instance_type=wanted.instance_type,
            is_instance_type_default=False,
            placement=wanted.availability_zone,
            subnet_id=wanted.subnet_id,
            region_name=self.region_name,
            key_name=wanted.key_name,
            security_group_ids=[group.id for group in wanted.groups],
            nics=[],
            tags={},
            instance_market_options="spot",
            spot_request=request,
        )

    def _zone(self, subnet: str | None, zone: str | None) -> str:
        return str(self.get_subnet(subnet).availability_zone) if subnet else zone or f"{self.region_name}a"


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
