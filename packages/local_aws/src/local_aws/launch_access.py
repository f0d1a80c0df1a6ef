"""Resources and condition keys of a launch for IAM: everything that it uses or creates.

Sources: Service Authorization Reference, Amazon EC2, rows of RunInstances, RequestSpotInstances and CreateTags; EC2
User Guide, "Control access to EC2 resources", "Grant permission to tag Amazon EC2 resources during creation", and "Tag
Spot Instance requests" (the request is a resource only if it is tagged).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.utils import convert_tag_spec
from moto.iam.models import iam_backends

from local_aws import ec2
from local_aws.policy import Value
from local_aws.requests import AwsRequest
from local_aws.resources import ec2_arn, ec2_arn_of
from local_aws.state import ACCOUNT_ID

Part = tuple[str, dict[str, Value]]
"""The ARN of a resource, and its condition keys."""

TEMPLATE, SPECIFICATION = "LaunchTemplate.", "LaunchSpecification."
SPOT_REQUEST = "spot-instances-request"


class Launch:
    """A launch request of EC2 with its launch template."""

    def __init__(self, request: AwsRequest) -> None:
        self._request = request
        prefix = SPECIFICATION if request.action == "RequestSpotInstances" else ""
        self._asked = {name.removeprefix(prefix): value for name, value in request.parameters.items()}
        reference = {n.removeprefix(TEMPLATE): v for n, v in request.parameters.items() if n.startswith(TEMPLATE)}
        self._template: dict[str, Any] = {}
        self._template_arn = ""
        if reference:
            try:
                self._template = ec2.backend().template_data(reference)
            except EC2ClientError:
                return  # the launch itself will report it
            self._template_arn = ec2_arn(request.region, "launch-template", template_id(reference))

    def tags(self) -> ec2.Tags:
        """Tags that it would create, by resource type; the request's win."""
        return ec2.merged_tags(
            convert_tag_spec(self._template.get("TagSpecifications", [])), specified_tags(self._request.parameters)
        )

    def passed_roles(self) -> list[str]:
        """ARNs of the roles that it passes to its instance."""
        name = self._profile()
        found = iam_backends[ACCOUNT_ID]["aws"].instance_profiles.values()
        return [role.arn for each in found if each.name == name for role in each.roles]

    def parts(self) -> Iterator[Part]:
        """Every resource of RunInstances."""
        region, tags = self._request.region, self.tags()
        spot = self._get("InstanceMarketOptions.MarketType") == "spot"
        if self._template_arn:
            yield self._template_arn, self._template_keys(True)
        yield from self._image()
        subnets, zone, vpc = self._subnets()
        for subnet in subnets:
            place = {"ec2:SubnetID": subnet, "ec2:AvailabilityZone": zone, "ec2:Vpc": vpc}
            yield ec2_arn(region, "subnet", subnet or "*"), _known({**place, **self._template_keys(False)})
        groups, in_template = self._groups()
        for group in groups:
            keys: dict[str, Value] = {"ec2:SecurityGroupID": group, "ec2:Vpc": vpc, **self._template_keys(in_template)}
            yield ec2_arn(region, "security-group", group or "*"), _known(keys)
        made = self._template_keys(True)
        network = {"ec2:AvailabilityZone": zone, "ec2:Vpc": vpc, **tag_keys(tags, "network-interface")}
        yield ec2_arn(region, "network-interface"), _known({**network, **made})
        instance = {**self._instance(spot), "ec2:AvailabilityZone": zone, **tag_keys(tags, "instance")}
        yield ec2_arn(region, "instance"), _known({**instance, **made})
        for disk in self._disks():
            yield ec2_arn(region, "volume"), _known({**disk, **tag_keys(tags, "volume"), **made})
        if spot and tags.get(SPOT_REQUEST):
            yield ec2_arn(region, SPOT_REQUEST), _known({**tag_keys(tags, SPOT_REQUEST), **made})

    def _template_keys(self, in_template: bool) -> dict[str, Value]:
        if not self._template_arn:
            return {}
        return {"ec2:LaunchTemplate": self._template_arn, "ec2:IsLaunchTemplateResource": str(in_template).lower()}

    def _get(self, name: str) -> str:
        """A value such as ``MetadataOptions.HttpTokens`` of the request, else of the template, else empty."""
        if name in self._asked:
            return str(self._asked[name])
        found: Any = self._template
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return "" if found is None else str(found)

    def _profile(self) -> str:
        asked = [self._asked.get(f"IamInstanceProfile.{key}") for key in ("Name", "Arn")]
        profile = self._template.get("IamInstanceProfile") or {}
        named = asked if any(asked) else [profile.get("Name"), profile.get("Arn")]
        return str(named[0] or str(named[1] or "").rpartition("/")[2])

    def _image(self) -> Iterator[Part]:
        identifier = self._get("ImageId")
        keys: dict[str, Value] = {"ec2:ImageID": identifier, "ec2:ImageType": "machine", "ec2:RootDeviceType": "ebs"}
        found = ec2.backend().amis.get(identifier)
        if found is not None:
            keys["ec2:Owner"] = str(found.owner_alias or found.owner_id)
            keys["ec2:Public"] = str(bool(found.is_public)).lower()
        keys |= self._template_keys("ImageId" not in self._asked)
        yield ec2_arn(self._request.region, "image", identifier or "*"), _known(keys)

    def _subnets(self) -> tuple[list[str], str, str]:
        """Ids of the subnets (empty if unknown), then zone and VPC's ARN of the first."""
        named = [self._get("SubnetId"), *self._interface_subnets()]
        found = list(dict.fromkeys(each for each in named if each)) or [""]
        zone = self._get("Placement.AvailabilityZone")
        try:
            subnet = ec2.backend().get_subnet(found[0]) if found[0] else None
        except EC2ClientError:
            subnet = None
        if subnet is None:
            return found, zone, ""
        return found, str(subnet.availability_zone), ec2_arn(self._request.region, "vpc", str(subnet.vpc_id))

    def _groups(self) -> tuple[list[str], bool]:
        """Ids of the security groups (empty if unknown), and whether the template names them."""
        group = re.compile(r"^(NetworkInterface\.\d+\.)?SecurityGroupId\.\d+$")
        asked = [str(value) for name, value in self._asked.items() if group.match(name)]
        if asked:
            return asked, False
        found = [str(each) for each in self._template.get("SecurityGroupIds") or []]
        for described in self._template.get("NetworkInterfaces") or []:
            found += [str(each) for each in described.get("Groups") or []]
        return found or [""], bool(found)

    def _interface_subnets(self) -> list[str]:
        asked = [str(v) for name, v in self._asked.items() if re.match(r"^NetworkInterface\.\d+\.SubnetId$", name)]
        return asked or [str(each.get("SubnetId") or "") for each in self._template.get("NetworkInterfaces") or []]

    def _instance(self, spot: bool) -> dict[str, Value]:
        profile = self._profile()
        arn = f"arn:aws:iam::{ACCOUNT_ID}:instance-profile/{profile}" if profile else ""
        return {
            "ec2:InstanceType": self._get("InstanceType"),
            "ec2:InstanceProfile": arn,
            "ec2:InstanceMarketType": "spot" if spot else "on-demand",
            "ec2:MetadataHttpEndpoint": self._get("MetadataOptions.HttpEndpoint"),
            "ec2:MetadataHttpTokens": self._get("MetadataOptions.HttpTokens"),
            "ec2:MetadataHttpPutResponseHopLimit": self._get("MetadataOptions.HttpPutResponseHopLimit"),
            "ec2:RootDeviceType": "ebs",
            "ec2:Tenancy": self._get("Placement.Tenancy") or "default",
        }

    def _disks(self) -> list[dict[str, Value]]:
        numbers = {name.split(".")[1] for name in self._asked if name.startswith("BlockDeviceMapping.")}
        found = [
            {key: str(self._asked.get(f"BlockDeviceMapping.{number}.Ebs.{key}", "")) for key in _DISK}
            for number in sorted(numbers)
        ]
        if not found:
            mappings = [each.get("Ebs") or {} for each in self._template.get("BlockDeviceMappings") or []]
            found = [{key: "" if each.get(key) is None else str(each[key]) for key in _DISK} for each in mappings]
        return [{_DISK[key]: value.lower() for key, value in each.items()} for each in found or [{}]]


_DISK = {"Encrypted": "ec2:Encrypted", "VolumeSize": "ec2:VolumeSize", "VolumeType": "ec2:VolumeType"}


def specified_tags(parameters: Mapping[str, Any]) -> ec2.Tags:
    """Tags in the ``TagSpecification`` of an EC2 request, by resource type."""
    found: ec2.Tags = {}
    for name, key in parameters.items():
        match = re.match(r"^TagSpecification\.(\d+)\.Tag\.(\d+)\.Key$", name)
        if match:
            kind = str(parameters.get(f"TagSpecification.{match[1]}.ResourceType", ""))
            value = parameters.get(f"TagSpecification.{match[1]}.Tag.{match[2]}.Value", "")
            found.setdefault(kind, {})[str(key)] = str(value)
    return found


def tag_keys(tags: ec2.Tags, kind: str) -> dict[str, Value]:
    """The condition keys of the tags of one resource type."""
    return request_tag_keys(tags.get(kind, {}))


def request_tag_keys(tags: Mapping[str, str]) -> dict[str, Value]:
    """``aws:RequestTag/…`` and ``aws:TagKeys``."""
    if not tags:
        return {}
    return {**{f"aws:RequestTag/{name}": value for name, value in tags.items()}, "aws:TagKeys": list(tags)}


def template_id(parameters: Mapping[str, Any]) -> str:
    """The id of the launch template that parameters name by id or name; empty if unknown."""
    if parameters.get("LaunchTemplateId"):
        return str(parameters["LaunchTemplateId"])
    name = str(parameters.get("LaunchTemplateName", ""))
    return str(ec2.backend().launch_template_name_to_ids.get(name, ""))


def named_template(request: AwsRequest) -> list[str]:
    """The ARN of the launch template that a request names by name."""
    if request.action == "CreateLaunchTemplate" or "LaunchTemplateName" not in request.parameters:
        return []
    arn = ec2_arn_of(request.region, template_id(request.parameters))
    return [arn] if arn else []


def _known(keys: dict[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in keys.items() if value != ""}
