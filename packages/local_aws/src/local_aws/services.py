"""Calls that an AWS service makes itself with a role it was passed: authorised and logged like all others."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from moto.core.exceptions import ServiceException

from local_aws.authorisation import TagLookup, authorise, may_assume
from local_aws.errors import AwsError
from local_aws.identity import Principal
from local_aws.ledger import Ledger
from local_aws.requests import AwsRequest
from local_aws.state import ACCOUNT_ID, REGION

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Service:
    """A service that assumes roles: its name in trust policies and in the ledger."""

    principal: str
    source: str
    source_arn: str
    """Value of ``aws:SourceArn`` when it assumes a role."""

    def session(self, role_arn: str, name: str) -> Principal:
        """The session ``name`` of a role that this service assumed."""
        role = role_arn.rpartition("/")[2]
        return Principal(f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{role}/{name}", self.source, role=role)

    def may_assume(self, role_arn: str) -> bool:
        """Whether the role exists and trusts this service."""
        return may_assume(role_arn, self.principal, self.source_arn)


class ServiceCalls:
    """Makes the calls of services: authorised by the caller's policies and logged in the ledger."""

    def __init__(self, ledger: Ledger, tags_of: TagLookup) -> None:
        self._ledger = ledger
        self._tags_of = tags_of

    def make(self, caller: Principal, request: AwsRequest, work: Callable[[], Result]) -> Result:
        """Authorise ``request``, do the work, log it; AwsError if it is denied or the work fails."""
        started, allowed = time.monotonic(), False
        failure: AwsError | None = None
        try:
            authorise(request, caller, self._tags_of)
            allowed = True
            return work()
        except ServiceException as error:
            failure = AwsError(error.code, error.message)
            raise failure from error
        except AwsError as error:
            failure = error
            raise
        finally:
            self._record(caller, request, started, allowed, failure)

    def refuse(self, caller: Principal, request: AwsRequest, error: AwsError) -> None:
        """Log a call that could not be made."""
        self._record(caller, request, time.monotonic(), False, error)

    def _record(
        self, caller: Principal, request: AwsRequest, started: float, allowed: bool, failure: AwsError | None
    ) -> None:
        if failure:
            call = f"{request.service}:{request.action}"
            log.error("%s as %s: %s failed: %s", caller.source, caller.arn, call, failure.code)
        status, code = (failure.status, failure.code) if failure else (200, None)
        self._ledger.record_request(request, (caller.arn, caller.source), started, allowed, status, code)


def call_of(service: str, action: str, parameters: dict[str, Any]) -> AwsRequest:
    """The request of a service's own call; ``parameters`` as on the wire."""
    protocol = "ec2" if service == "ec2" else "json"
    return AwsRequest("POST", "/", {}, {}, service, REGION, action, protocol, None, False, parameters)
