"""Clients and look-ups that several checks share; each look-up is made once, also by concurrent checks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from ..aws.client import PATIENT, Clock, code_of, is_clock_refusal, one_line
from ..aws.offers import spot_prices
from .base import Settings, Unavailable

T = TypeVar("T")
LIVE = ["pending", "running"]


class Context:
    """The account as the checks see it. A failed look-up raises ``Unavailable``."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is requested yet. Credentials and endpoint come from the SDK's usual sources."""
        self.settings = settings
        self._session = boto3.session.Session(region_name=settings.region)
        self._clients: dict[str, Any] = {}
        self._found: dict[str, Future[Any]] = {}
        self._lock = threading.Lock()
        clock = Clock()
        clock.listen(self._session.events)
        self.clock_offset = clock.offset

    def client(self, service: str) -> Any:
        """The client of a service in the run's region."""
        with self._lock:  # making clients is not thread-safe, using them is
            if service not in self._clients:
                self._clients[service] = self._session.client(service, config=PATIENT)
            return self._clients[service]

    @property
    def caller(self) -> dict[str, str]:
        """``Arn``, ``Account`` and ``UserId`` of the caller."""
        return self._once("caller", "identity", lambda: self.client("sts").get_caller_identity())

    @property
    def image_id(self) -> str:
        """Id of the image in the SSM parameter."""
        return str(self._once("image_id", "image", self._image_id))

    @property
    def image(self) -> dict[str, Any]:
        """The image, as EC2 describes it."""
        return self._once("image", "image", self._image)

    @property
    def types(self) -> dict[str, dict[str, Any]]:
        """The instance types, as EC2 describes them."""
        return self._once("types", "image", lambda: self.describe_types(list(self.settings.types)))

    @property
    def profile(self) -> dict[str, Any]:
        """The instance profile."""
        return self._once("profile", "instance_profile", self._profile)

    @property
    def role(self) -> dict[str, Any]:
        """The role in the instance profile."""
        if not self.profile["Roles"]:
            raise Unavailable("instance_profile", f"instance profile {self.settings.profile} contains no role")
        return dict(self.profile["Roles"][0])

    @property
    def subnets(self) -> list[dict[str, Any]]:
        """The subnets to try."""
        return self._once("subnets", "subnets", self._subnets)

    @property
    def group(self) -> dict[str, Any]:
        """The security group of that name; there must be exactly one."""
        return self._once("group", "security_group", self._group)

    @property
    def place(self) -> dict[str, Any]:
        """What a launch needs, with the names of the amazon.aws modules."""
        return {
            "image_id": self.image_id,
            "root_device_name": self.image["RootDeviceName"],
            "profile_arn": self.profile["Arn"],
            "group_id": self.group["GroupId"],
            "subnets": [
                {"subnet_id": subnet["SubnetId"], "availability_zone": subnet["AvailabilityZone"]}
                for subnet in self.subnets
            ],
        }

    @property
    def prices(self) -> dict[tuple[str, str], float]:
        """Current spot price in USD an hour by type and zone, for the offers that have one."""
        return self._once("prices", "price", self._prices)

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource in the caller's account and the run's region."""
        partition = self.caller["Arn"].split(":")[1]
        return f"arn:{partition}:{service}:{self.settings.region}:{self.caller['Account']}:{resource}"

    def bucket_arn(self, bucket: str, key: str = "") -> str:
        """The ARN of a bucket or of an object in it."""
        partition = self.caller["Arn"].split(":")[1]
        return f"arn:{partition}:s3:::{bucket}" + (f"/{key}" if key else "")

    def describe_types(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """Instance types by name; EC2 refuses the whole list if one name is unknown."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(names), 100):
            answer = self.client("ec2").describe_instance_types(InstanceTypes=names[start : start + 100])
            found.update({each["InstanceType"]: each for each in answer["InstanceTypes"]})
        return found

    def _once(self, name: str, owner: str, look_up: Callable[[], T]) -> T:
        with self._lock:
            first = name not in self._found
            future: Future[T] = self._found.setdefault(name, Future())
        if first:
            try:
                future.set_result(look_up())
            except (BotoCoreError, ClientError) as error:
                owner = "controller_clock" if is_clock_refusal(error) else owner
                future.set_exception(Unavailable(owner, one_line(error)))
            except BaseException as error:
                future.set_exception(error)  # for every caller
        return future.result()

    def _image_id(self) -> str:
        name = self.settings.image_parameter
        try:
            return str(self.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])
        except ClientError as error:
            if code_of(error) == "ParameterNotFound":
                raise Unavailable("image", f"SSM parameter {name} does not exist in {self.settings.region}") from error
            raise

    def _image(self) -> dict[str, Any]:
        text = f"image {self.image_id} of parameter {self.settings.image_parameter} no longer exists"
        gone = Unavailable("image", text)
        try:
            images = self.client("ec2").describe_images(ImageIds=[self.image_id])["Images"]
        except ClientError as error:
            if code_of(error).startswith(("InvalidAMIID", "InvalidAMIId")):
                raise gone from error
            raise
        if not images:
            raise gone
        return dict(images[0])

    def _profile(self) -> dict[str, Any]:
        name = self.settings.profile
        try:
            return dict(self.client("iam").get_instance_profile(InstanceProfileName=name)["InstanceProfile"])
        except ClientError as error:
            if code_of(error) == "NoSuchEntity":
                raise Unavailable("instance_profile", f"instance profile {name} does not exist") from error
            raise

    def _subnets(self) -> list[dict[str, Any]]:
        pages = self.client("ec2").get_paginator("describe_subnets").paginate(Filters=self.settings.ec2_filters())
        found = [subnet for page in pages for subnet in page["Subnets"]]
        if not found:
            text = f"no subnet matches {dict(self.settings.subnet_filters)} in {self.settings.region}"
            raise Unavailable("subnets", text)
        return found

    def _group(self) -> dict[str, Any]:
        name = self.settings.security_group
        filters = [{"Name": "group-name", "Values": [name]}]
        found = self.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
        if len(found) != 1:
            raise Unavailable("security_group", f"expected exactly one security group named {name}, found {len(found)}")
        return dict(found[0])

    def _prices(self) -> dict[tuple[str, str], float]:
        zones = {subnet["AvailabilityZone"] for subnet in self.subnets}
        return spot_prices(self.client("ec2"), self.settings.types, zones)
