"""Creates the account that a YAML file describes: policies, roles, buckets, network, images, prices.

It works through the API as the account's operator, so the ledger has its requests. Existing resources are kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import BotoCoreError, ClientError

from local_aws import control, substitutions
from local_aws.state import LocalAwsError, Reservation

_NAMED = ("roles", "buckets", "security_groups", "images")
_KINDS: dict[type, str] = {dict: "a mapping", list: "a list", str: "a string"}
# Key of a description -> type of its value.
KEYS: dict[str, Any] = {
    **dict.fromkeys((*_NAMED, "substitutions", "parameters", "prices"), dict),
    "control_node_policy": str,
    "topics": list,
}
_PRICES_NEED = ("arch", "arcticdb", "numpy", "pandas", "skfolio")
EC2_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def seed(reservation: Reservation, description: Path) -> list[str]:
    """Create the account described in ``description``; return one line for each resource.

    Paths in the description are relative to its folder. A second call for the same description does nothing.
    """
    text, wanted = _read(description)
    digest = hashlib.sha256(text.encode())
    for path in _policy_files(wanted, description.parent):
        digest.update(path.read_bytes())
    if control.call(reservation, "seeded", {})["digest"] == digest.hexdigest():
        return ["the account exists already"]
    missing = [name for name in _PRICES_NEED if "prices" in wanted and find_spec(name) is None]
    if missing:
        raise LocalAwsError(f"{description}: prices: expected local-aws[prices], but {', '.join(missing)} is missing")
    try:
        lines = list(_Seeder(reservation, wanted, description.parent).run())
    except (BotoCoreError, ClientError) as error:
        text = " ".join(str(error).split())
        raise LocalAwsError(f"cannot create the account of {description}: {text}") from error
    control.call(reservation, "seeded", {"digest": digest.hexdigest()})
    return lines


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text()
        wanted = yaml.safe_load(text)
    except (OSError, yaml.YAMLError) as error:
        raise LocalAwsError(f"cannot read the account description {path}: {str(error).splitlines()[0]}") from error
    keys = ", ".join(sorted(KEYS))
    if not isinstance(wanted, dict) or not wanted:
        raise LocalAwsError(f"{path}: expected a mapping with some of {keys}, got {wanted!r}")
    for name, value in wanted.items():
        if name not in KEYS:
            raise LocalAwsError(f"{path}: expected one of {keys}, got {name!r}")
        if not isinstance(value, KEYS[name]):
            raise LocalAwsError(f"{path}: {name}: expected {_KINDS[KEYS[name]]}, got {value!r}")
        for key, settings in value.items() if name in _NAMED else ():
            if not isinstance(settings, dict | None):
                raise LocalAwsError(f"{path}: {name}.{key}: expected a mapping, got {settings!r}")
    if "prices" in wanted and "bucket" not in wanted["prices"]:
        raise LocalAwsError(f"{path}: prices.bucket: expected the name of a bucket, got none")
    return text, wanted


def _policy_files(wanted: dict[str, Any], base: Path) -> list[Path]:
    names = [wanted["control_node_policy"]] if "control_node_policy" in wanted else []
    for role in wanted.get("roles", {}).values():
        names += (role or {}).get("policies", [])
    for name in names:
        if not (base / name).is_file():
            raise LocalAwsError(f"the account description names a missing policy file: {base / name}")
    return [base / name for name in names]


class _Seeder:
    def __init__(self, reservation: Reservation, wanted: dict[str, Any], base: Path) -> None:
        import boto3

        self._reservation = reservation
        self._wanted = wanted
        self._base = base
        key = reservation.operator
        self._session = boto3.Session(
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            region_name=reservation.region,
        )

    def _client(self, service: str) -> Any:
        return self._session.client(service, endpoint_url=self._reservation.endpoint)

    def run(self) -> Iterator[str]:
        yield from self._policies()
        yield from self._roles()
        yield from self._buckets()
        yield from self._network()
        yield from self._parameters()
        yield from self._topics()
        yield from self._prices()

    def _policy(self, name: str) -> str:
        try:
            document = json.loads((self._base / name).read_text())
        except ValueError as error:
            raise LocalAwsError(f"{self._base / name}: expected JSON: {error}") from error
        return json.dumps(substitutions.fill(document, self._wanted.get("substitutions", {})))

    def _policies(self) -> Iterator[str]:
        if "control_node_policy" in self._wanted:
            policy = json.loads(self._policy(self._wanted["control_node_policy"]))
            control.call(self._reservation, "account", {"control_node_policy": policy})
            yield f"user {self._reservation.control_node.user}"

    def _roles(self) -> Iterator[str]:
        iam = self._client("iam")
        for name, settings in self._wanted.get("roles", {}).items():
            role = settings or {}
            with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
                iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(role.get("trust", EC2_TRUST)))
            for policy in role.get("policies", []):
                document = self._policy(policy)
                iam.put_role_policy(RoleName=name, PolicyName=Path(policy).stem, PolicyDocument=document)
            for arn in role.get("managed_policies", []):
                iam.attach_role_policy(RoleName=name, PolicyArn=arn)
            if role.get("instance_profile", True):
                with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
                    iam.create_instance_profile(InstanceProfileName=name)
                    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
            yield f"role {name}"

    def _buckets(self) -> Iterator[str]:
        s3 = self._client("s3")
        present = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
        for name, bucket in self._wanted.get("buckets", {}).items():
            if name not in present:
                s3.create_bucket(Bucket=name)
            settings = bucket or {}
            # AWS's defaults, unless the description says otherwise.
            if settings.get("encrypted", True):
                rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
                s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
            else:
                s3.delete_bucket_encryption(Bucket=name)
            blocks = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
            blocked = bool(settings.get("public_access_blocked", True))
            s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=dict.fromkeys(blocks, blocked))
            if settings.get("versioned"):
                s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
            yield f"bucket {name}"

    def _network(self) -> Iterator[str]:
        ec2 = self._client("ec2")
        vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        for name, group in self._wanted.get("security_groups", {}).items():
            filters = [{"Name": "group-name", "Values": [name]}]
            if not ec2.describe_security_groups(Filters=filters)["SecurityGroups"]:
                description = (group or {}).get("description", name)
                ec2.create_security_group(GroupName=name, Description=description, VpcId=vpc)
            yield f"security group {name}"
        for name, image in self._wanted.get("images", {}).items():
            found = ec2.describe_images(Filters=[{"Name": "name", "Values": [name]}])["Images"]
            identifier = found[0]["ImageId"] if found else self._register(ec2, name, image or {})
            if image and image.get("parameter"):
                self._put_parameter(image["parameter"], identifier)
            yield f"image {name} {identifier}"

    @staticmethod
    def _register(ec2: Any, name: str, image: dict[str, Any]) -> str:
        device = image.get("root_device", "/dev/xvda")
        answer = ec2.register_image(
            Name=name,
            Description=image.get("description", name),
            Architecture=image.get("architecture", "x86_64"),
            RootDeviceName=device,
            VirtualizationType="hvm",
            BlockDeviceMappings=[{"DeviceName": device, "Ebs": {"VolumeSize": 8, "VolumeType": "gp3"}}],
        )
        return str(answer["ImageId"])

    def _put_parameter(self, name: str, value: str) -> None:
        self._client("ssm").put_parameter(Name=name, Value=value, Type="String", Overwrite=True)

    def _parameters(self) -> Iterator[str]:
        for name, value in self._wanted.get("parameters", {}).items():
            self._put_parameter(name, str(value))
            yield f"parameter {name}"

    def _topics(self) -> Iterator[str]:
        sns = self._client("sns")
        for name in self._wanted.get("topics", []):
            sns.create_topic(Name=name)
            yield f"topic {name}"

    def _prices(self) -> Iterator[str]:
        prices = self._wanted.get("prices")
        if not prices:
            return
        from local_aws.prices import load_real_prices

        key = self._reservation.operator
        uri = (
            f"s3://127.0.0.1:{prices['bucket']}?port={self._reservation.port}&region={self._reservation.region}"
            f"&access={key.access_key_id}&secret={key.secret_access_key}"
            f"&use_virtual_addressing=false&path_prefix={prices.get('prefix', 'arcticdb')}"
        )
        yield f"prices {load_real_prices(uri)}"
