"""Authenticates requests, and collects the policies of their callers.

Users, roles and policies are in moto's IAM back end, sessions of roles in its STS back end.
"""

from __future__ import annotations

import functools
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import botocore.session
from moto.iam.models import SERVICE_NAME_CONVERSION, IAMBackend, Policy, iam_backends
from moto.sts.models import AssumedRole, STSBackend, sts_backends

from local_aws import signature
from local_aws.errors import AwsError
from local_aws.requests import AwsRequest
from local_aws.state import ACCOUNT_ID, REGION, AccessKey

# moto derives the name of a service-linked role from the service's; AWS's is AWSServiceRoleForEC2Spot.
SERVICE_NAME_CONVERSION["spot"] = "EC2Spot"
ADMINISTRATOR = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def iam() -> IAMBackend:
    """Moto's IAM back end of the embedded account."""
    return iam_backends[ACCOUNT_ID]["aws"]


def sts() -> STSBackend:
    """Moto's STS back end of the embedded account."""
    return sts_backends[ACCOUNT_ID]["aws"]


@dataclass(frozen=True)
class Principal:
    """An authenticated caller; ``source`` as in the ledger."""

    arn: str
    source: str
    user: str | None = None
    role: str | None = None

    @property
    def identity(self) -> str:
        """ARN of the user, or of the role of a session: the value of ``aws:PrincipalArn``."""
        return f"arn:aws:iam::{ACCOUNT_ID}:role/{self.role}" if self.role else self.arn

    @property
    def own_arns(self) -> list[str]:
        """Names that only this user or role has."""
        return [self.arn, self.identity]

    @property
    def arns(self) -> list[str]:
        """Every name of the caller that the ``Principal`` element of a trust policy may use."""
        return [*self.own_arns, f"arn:aws:iam::{ACCOUNT_ID}:root", ACCOUNT_ID]

    def policies(self) -> list[str]:
        """Policy documents (JSON) attached to the caller, inline and managed."""
        return policies_of("role", str(self.role)) if self.user is None else policies_of("user", self.user)


def create_user(key: AccessKey, policy: dict[str, Any] | None) -> None:
    """Create the IAM user of a reserved key pair."""
    backend = iam()
    backend.create_user(REGION, key.user, tags=[])
    created = backend.create_access_key(key.user)
    backend.access_keys.pop(created.access_key_id)
    created.access_key_id, created.secret_access_key = key.access_key_id, key.secret_access_key
    backend.access_keys[key.access_key_id] = created
    if policy is not None:
        backend.put_user_policy(key.user, "inline", json.dumps(policy))


def assume_role(role_name: str, session_name: str, seconds: int) -> AssumedRole:
    """Create a session of a role, as EC2 does for an instance profile; moto's NotFoundException without the role."""
    role = iam().get_role(role_name)
    return sts().assume_role(
        region_name="us-east-1",
        role_session_name=session_name,
        role_arn=role.arn,
        policy="",
        duration=seconds,
        external_id="",
    )


def authenticate(request: AwsRequest, operator_user: str) -> Principal:
    """Verify the signature of ``request`` and return its caller, or raise AwsError with the service's own code."""
    identifier = request.access_key_id
    if not identifier:
        raise AwsError("AccessDenied", "Anonymous requests are not allowed here; sign the request.", 403)
    if request.service != "s3" and request.region not in _regions():
        # AWS's endpoint would not resolve; a region that is not enabled answers like this.
        raise _invalid_key(request, f"The security token is not valid in region {request.region}.")
    role = sts().get_assumed_role_from_access_key(identifier)
    if role is not None:
        token = request.headers.get("X-Amz-Security-Token") or request.query.get("X-Amz-Security-Token", [""])[0]
        if not hmac.compare_digest(token, role.session_token):
            raise _invalid_key(request, "The security token included in the request is invalid.")
        if role.expiration.replace(tzinfo=UTC) < datetime.now(UTC):
            raise AwsError("ExpiredToken", "The security token included in the request is expired", 403)
        secret = role.secret_access_key
        name = role.role_arn.rpartition("/")[2]
        source = role.session_name if role.session_name.startswith("i-") else "control-node"
        principal = Principal(role.arn, source, role=name)
    else:
        key = iam().access_keys.get(identifier)
        if key is None or key.user_name is None:
            raise _invalid_key(request, "The AWS Access Key Id you provided does not exist in our records.")
        secret = key.secret_access_key
        source = "operator" if key.user_name == operator_user else "control-node"
        principal = Principal(f"arn:aws:iam::{ACCOUNT_ID}:user/{key.user_name}", source, user=key.user_name)
    if not hmac.compare_digest(signature.expected(request, secret), signature.given(request)):
        message = "The request signature we calculated does not match the signature you provided."
        code, status = ("AuthFailure", 401) if request.service == "ec2" else ("SignatureDoesNotMatch", 403)
        raise AwsError(code, message, status)
    signature.check_clock(request)
    if request.presigned and signature.expires(request) < datetime.now(UTC):
        raise AwsError("AccessDenied", "Request has expired", 403)
    return principal


@functools.cache
def _regions() -> frozenset[str]:
    return frozenset(botocore.session.get_session().get_available_regions("ec2"))


def _invalid_key(request: AwsRequest, message: str) -> AwsError:
    code = {"s3": "InvalidAccessKeyId", "ec2": "AuthFailure"}.get(request.service, "InvalidClientTokenId")
    return AwsError(code, message, 401 if code == "AuthFailure" else 403)


def _document(policy: Any) -> str:
    if isinstance(policy, Policy):
        return next(v.document for v in policy.versions if v.is_default)
    document = policy["policy_document"] if isinstance(policy, dict) else policy
    return document if isinstance(document, str) else json.dumps(document)


def policies_of(kind: str, name: str) -> list[str]:
    """Policy documents (JSON), inline and managed, of a ``user`` (with those of its groups), ``role`` or ``group``."""
    backend = iam()
    if kind == "role":
        found = [_document(backend.get_role_policy(name, policy)[1]) for policy in backend.list_role_policies(name)]
        return found + [_document(policy) for policy in backend.list_attached_role_policies(name)[0]]
    if kind == "group":
        found = [_document(backend.get_group_policy(name, policy)) for policy in backend.list_group_policies(name)]
        return found + [_document(policy) for policy in backend.list_attached_group_policies(name)[0]]
    found = [_document(backend.get_user_policy(name, policy)) for policy in backend.list_user_policies(name)]
    found += [_document(policy) for policy in backend.list_attached_user_policies(name)[0]]
    for group in backend.get_groups_for_user(name):
        found += policies_of("group", group.name)
    return found
