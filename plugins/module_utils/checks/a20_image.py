"""The image exists, fits every instance type, is not old, and its disk fits the volume."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from .base import Finding, Status, Unavailable, worst
from .context import Context

REMEDY = (
    "set spot_instance_image_parameter to an SSM parameter with a current image, "
    "and spot_instance_types to types of its architecture"
)
OLD_DAYS = 180


def run(context: Context) -> Finding:
    """Resolve the parameter, describe image and types, compare them."""
    image = context.image
    now = datetime.now(UTC)
    created = datetime.fromisoformat(image["CreationDate"].replace("Z", "+00:00"))
    days = (now - created).days
    findings: list[tuple[Status, str]] = []
    if image["State"] != "available":
        findings.append(("fail", f"image {context.image_id} is {image['State']}"))
    try:
        findings += _misfits(image, context.types)
    except Unavailable as error:
        findings.append(("fail", f"cannot look up the instance types: {error}"))
    disk, volume = _disk(image), context.settings.volume_gb
    if disk > volume:
        findings.append(("fail", f"the image's disk has {disk} GiB, spot_instance_volume_gb is {volume}"))
    deprecated = image.get("DeprecationTime")
    if deprecated and datetime.fromisoformat(deprecated.replace("Z", "+00:00")) <= now:
        findings.append(("warn", f"image {context.image_id} has been deprecated since {deprecated[:10]}"))
    if days > OLD_DAYS:
        text = f"is {days} days old: it lacks {OLD_DAYS} days of security updates"
        findings.append(("warn", f"image {context.image_id} {text}"))
    return worst(findings, f"{context.image_id} {image.get('Name', '')}, {image['Architecture']}, {days} days old")


def _misfits(image: dict[str, Any], types: dict[str, dict[str, Any]]) -> list[tuple[Status, str]]:
    architecture = image["Architecture"]
    wrong = [
        f"{name} ({'/'.join(each['ProcessorInfo']['SupportedArchitectures'])})"
        for name, each in types.items()
        if architecture not in each["ProcessorInfo"]["SupportedArchitectures"]
    ]
    return [("fail", f"the image is for {architecture} and does not run on {', '.join(wrong)}")] if wrong else []


def _disk(image: dict[str, Any]) -> int:
    """Size of the image's root disk in GiB; 0 if unknown."""
    for mapping in image.get("BlockDeviceMappings", []):
        if mapping.get("DeviceName") == image.get("RootDeviceName"):
            return int(mapping.get("Ebs", {}).get("VolumeSize", 0))
    return 0
