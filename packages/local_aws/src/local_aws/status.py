"""What there is in the account, as ``status --json`` shows it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from moto.ec2.models.instances import Instance

from local_aws import ec2
from local_aws.scheduler import schedules


def account_summary() -> dict[str, list[dict[str, Any]]]:
    """Instances, volumes, spot requests, launch templates and schedules; times are ISO 8601 in UTC."""
    backend = ec2.backend()
    return {
        "instances": [_instance(instance) for instance in backend.all_instances()],
        "volumes": [
            {"id": volume.id, "state": volume.status, "size": volume.size, "tags": _tags(volume)}
            for volume in list(backend.volumes.values())
        ],
        "spot_requests": [
            {
                "id": request.id,
                "state": request.state,
                "status": request.status["Code"],
                "instance": request.instance_id,
                "tags": _tags(request),
            }
            for request in list(backend.spot_instance_requests.values())
        ],
        "launch_templates": [
            {"name": template.name, "tags": _tags(template)} for template in list(backend.launch_templates.values())
        ],
        "schedules": [
            {"name": schedule.name, "expression": schedule.schedule_expression, "state": schedule.state}
            for schedule in schedules()
        ],
    }


def _instance(instance: Instance) -> dict[str, Any]:
    return {
        "id": instance.id,
        "state": instance.state,
        "reason": instance.state_reason.code or None,
        "type": instance.instance_type,
        "az": instance.availability_zone,
        "lifecycle": instance.lifecycle or "on-demand",
        "launched_at": _iso(instance.launch_time),
        "terminated_at": _iso(getattr(instance, "terminated_at", None)),
        "tags": _tags(instance),
    }


def _tags(resource: Any) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in resource.get_tags()}


def _iso(moment: datetime | None) -> str | None:
    """A time of this process (aware) or of moto (UTC, naive), to the millisecond."""
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
