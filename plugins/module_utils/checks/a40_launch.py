"""EC2 accepts a dry run of the launch, for the first type and subnet of the matrix."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from ..aws.client import code_of, one_line
from .base import Finding
from .context import Context

REMEDY = "see EC2's message: permission of the control node (policy in files/iam), image, network, profile or quota"


def run(context: Context) -> Finding:
    """Request what the run will request; DryRunOperation means that EC2 would launch it."""
    settings = context.settings
    subnet = context.subnets[0]
    kind, market = settings.types[0], settings.markets[0]
    offer = f"{kind} in {subnet['AvailabilityZone']}, {market}"
    try:
        context.client("ec2").run_instances(**request(context, kind, subnet["SubnetId"], market))
    except ClientError as error:
        if code_of(error) == "DryRunOperation":
            return Finding("pass", f"{offer}: EC2 would launch it")
        return Finding("fail", f"EC2 refuses {offer}: {one_line(error)}")
    remedy = "check for instances that nothing will terminate"
    return Finding("fail", "EC2 answered a dry run as if it had launched", remedy)


def request(context: Context, kind: str, subnet: str, market: str) -> dict[str, Any]:
    """The launch described by the role's launch template, without a template and as a dry run."""
    settings = context.settings
    tags = [{"Key": name, "Value": value} for name, value in settings.tags.items()]
    disk = {"VolumeSize": settings.volume_gb, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
    asked: dict[str, Any] = {
        "DryRun": True,
        "MinCount": 1,
        "MaxCount": 1,
        "InstanceType": kind,
        "SubnetId": subnet,
        "ImageId": context.image_id,
        "SecurityGroupIds": [context.group["GroupId"]],
        "IamInstanceProfile": {"Arn": context.profile["Arn"]},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "BlockDeviceMappings": [{"DeviceName": context.image["RootDeviceName"], "Ebs": disk}],
    }
    tagged = ["instance", "volume"]
    if market == "spot":
        tagged.append("spot-instances-request")
        options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        if settings.max_price:
            options["MaxPrice"] = settings.max_price
        asked["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options}
    asked["TagSpecifications"] = [{"ResourceType": each, "Tags": tags} for each in tagged]
    return asked
