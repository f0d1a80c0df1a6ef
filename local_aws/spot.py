"""Spot requests: who asked for a spot instance, and what became of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import Instance
from moto.ec2.models.spot_requests import SpotInstanceRequest
from moto.ec2.utils import random_spot_request_id


class LocalSpotRequest(SpotInstanceRequest):
    """A spot request made by RunInstances with market options, with its real times."""

    def __init__(self, backend: EC2Backend, instance: Instance, options: dict[str, Any], tags: dict[str, str]) -> None:
        """Register the request that ``instance`` fulfils.

        Args:
            backend: Moto's EC2 back end.
            instance: The instance launched.
            options: ``SpotOptions`` of the launch.
            tags: Tags of resource type ``spot-instances-request``.
        """
        self._instance = instance
        self._created = self._updated = datetime.now(UTC)
        super().__init__(
            ec2_backend=backend,
            spot_request_id=random_spot_request_id(),
            price=options.get("MaxPrice") or "",
            image_id=instance.image_id,
            spot_instance_type=options.get("SpotInstanceType", "one-time"),
            valid_from=None,
            valid_until=None,
            launch_group=None,
            availability_zone_group=None,
            key_name=instance.key_name,  # type: ignore[arg-type]
            security_groups=[group.id for group in instance.security_groups],
            user_data=None,
            instance_type=instance.instance_type,
            placement=instance.availability_zone,
            kernel_id=None,
            ramdisk_id=None,
            monitoring_enabled=False,
            subnet_id=instance.subnet_id or "",
            tags={"spot-instances-request": tags},
            spot_fleet_id=None,
            instance_interruption_behaviour=options.get("InstanceInterruptionBehavior"),
        )

    def launch_instance(self) -> Instance:
        """Return the instance that is already there."""
        return self._instance

    @property
    def create_time(self) -> str:
        """When the request was made, ISO 8601."""
        return _iso(self._created)

    @property
    def status(self) -> dict[str, Any]:
        """Status code, message and time."""
        return {"Code": self._status_code, "Message": self.status_message, "UpdateTime": _iso(self._updated)}

    def mark(self, code: str) -> None:
        """Give an active request another status code, such as ``marked-for-termination``."""
        self._status_code = code
        self._updated = datetime.now(UTC)

    def close(self, code: str) -> None:
        """End the request with a status code such as ``instance-terminated-by-user``."""
        self.state = "closed"
        self.mark(code)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
