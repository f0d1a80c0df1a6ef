"""Calls that a service of AWS makes by itself, as a role it was given: judged and written down like all others."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from moto.core.exceptions import ServiceException

from local_aws import errors
from local_aws.authorisation import TagLookup, authorise, may_take
from local_aws.errors import AwsError
from local_aws.identity import Principal
from local_aws.ledger import Ledger, is_write
from local_aws.requests import AwsRequest
from local_aws.state import ACCOUNT_ID, REGION

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Service:
    """A service that takes roles: its name in trust policies and in the ledger, and what it acts for."""

    principal: str
    source: str
    source_arn: str
    """Value of ``aws:SourceArn`` when it takes a role."""

    def session(self, role_arn: str, name: str) -> Principal:
        """The session ``name`` of a role, as this service has it."""
        role = role_arn.rpartition("/")[2]
        return Principal(f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{role}/{name}", self.source, role=role)

    def may_take(self, role_arn: str) -> bool:
        """Whether the role is there and trusts this service."""
        return may_take(role_arn, self.principal, self.source_arn)


class ServiceCalls:
    """Makes such calls."""

    def __init__(self, ledger: Ledger, tags_of: TagLookup) -> None:
        """Write calls down in ``ledger``; judge resources by their ``tags_of``."""
        self._ledger = ledger
        self._tags_of = tags_of

    def make(self, caller: Principal, request: AwsRequest, work: Callable[[], Result]) -> Result:
        """Judge ``request`` by the caller's policies, do the work, write it down.

        Raises:
            AwsError: Denied, or the work failed.
        """
        return self._written_down(caller, request, work, judged=True)

    def refuse(self, caller: Principal, request: AwsRequest, error: AwsError) -> None:
        """Write down a call that never came to be."""

        def work() -> None:
            raise error

        try:
            self._written_down(caller, request, work, judged=False)
        except AwsError:
            return

    def _written_down(
        self, caller: Principal, request: AwsRequest, work: Callable[[], Result], *, judged: bool
    ) -> Result:
        started, allowed = time.monotonic(), False
        status, code = 200, None
        try:
            if judged:
                authorise(request, caller, self._tags_of)
                allowed = True
            return work()
        except ServiceException as error:
            failure = AwsError(error.code, error.message)
            status, code = failure.status, failure.code
            raise failure from error
        except AwsError as error:
            status, code = error.status, error.code
            raise
        finally:
            if code is not None:
                log.error(
                    "%s as %s: %s:%s failed: %s", caller.source, caller.arn, request.service, request.action, code
                )
            self._ledger.record(
                principal=caller.arn,
                source=caller.source,
                service=request.service,
                action=request.action,
                permission=request.permission,
                resource=request.resource,
                write=is_write(request.action),
                allowed=allowed,
                status=status,
                error=code,
                presigned=False,
                seconds=round(time.monotonic() - started, 6),
            )


def call_of(service: str, action: str, parameters: dict[str, Any]) -> AwsRequest:
    """The request that a service's own call would be; ``parameters`` as they are on the wire."""
    protocol = "ec2" if service == "ec2" else "json"
    return AwsRequest("POST", "/", {}, {}, service, REGION, action, protocol, None, False, parameters)


def cannot_take(role_arn: str, service: Service, request: AwsRequest) -> AwsError:
    """The error of a service that a role does not trust."""
    return errors.access_denied(service.principal, "sts:AssumeRole", role_arn, request.protocol)
