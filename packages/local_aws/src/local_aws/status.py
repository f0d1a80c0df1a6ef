"""The resources of the account, as ``status --json`` shows them."""

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
            {"id": each.id, "state": each.status, "size": each.size, "tags": _tags(each)}
            for each in list(backend.volumes.values())
        ],
        "spot_requests": [
            {"id": each.id, "state": each.state, "status": each.status["Code"], "instance": each.instance_id}
            | {"tags": _tags(each)}
            for each in list(backend.spot_instance_requests.values())
        ],
        "launch_templates": [
            {"name": each.name, "tags": _tags(each)} for each in list(backend.launch_templates.values())
        ],
        "schedules": [
            {"name": each.name, "expression": each.schedule_expression, "state": each.state} for each in schedules()
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
    """ISO 8601 in UTC, to the millisecond, from an aware time or from moto's naive one."""
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
