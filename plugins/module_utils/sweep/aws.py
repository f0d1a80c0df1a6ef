# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""AWS as a sweep sees it: clients, AWS's own clock, calls that are tried again, and errors as records."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

# Boto's own attempts are few: a call that matters is tried again here, with pauses that are known.
CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 2})
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between the tries of one call: five tries in 15 seconds."""
AWS_ERRORS = (BotoCoreError, ClientError)
ISO = "%Y-%m-%dT%H:%M:%SZ"
T = TypeVar("T")


class Aws:
    """Clients of one account and region, and the time it is there."""

    def __init__(self, make_client: Callable[[str], Any]) -> None:
        """Prepare; nothing is asked yet.

        Args:
            make_client: Makes the boto3 client of a service, with ``CONFIG``.
        """
        self._make_client = make_client
        self._clients: dict[str, Any] = {}
        self._told: tuple[datetime, float] | None = None

    def client(self, service: str) -> Any:
        """The client of a service; every answer it gets tells the time."""
        if service not in self._clients:
            client = self._make_client(service)
            client.meta.events.register("response-received", self._note_time)
            self._clients[service] = client
        return self._clients[service]

    def now(self) -> datetime | None:
        """The time by AWS's clock, from the ``Date`` of its last answer; None before the first one."""
        if self._told is None:
            return None
        return self._told[0] + timedelta(seconds=time.monotonic() - self._told[1])

    def persist(self, call: Callable[[], T]) -> T:
        """Make a call, again with growing pauses where it fails; a denied one is not tried again.

        Raises:
            botocore.exceptions.BotoCoreError: AWS could not be asked, five times.
            botocore.exceptions.ClientError: AWS refused.
        """
        for pause in PAUSES:
            try:
                return call()
            except ClientError as error:
                if is_denied(error) or is_gone(error):
                    raise
            except BotoCoreError:
                pass
            time.sleep(pause)
        return call()

    def pages(self, service: str, operation: str, key: str, **parameters: Any) -> list[dict[str, Any]]:
        """All items of a paginated look-up, persistently."""

        def look() -> list[dict[str, Any]]:
            pages = self.client(service).get_paginator(operation).paginate(**parameters)
            return [item for page in pages for item in page.get(key, [])]

        return self.persist(look)

    def _note_time(self, response_dict: Any = None, **_: Any) -> None:
        date = ((response_dict or {}).get("headers") or {}).get("date")
        if date:
            self._told = (parsedate_to_datetime(date).astimezone(UTC), time.monotonic())


def tags_of(item: dict[str, Any]) -> dict[str, str]:
    """The tags of an EC2 resource as a mapping."""
    return {tag["Key"]: tag["Value"] for tag in item.get("Tags") or []}


def code_of(error: Exception) -> str:
    """AWS's error code, or the name of the exception where AWS did not answer."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "")) or "error"
    return type(error).__name__


def failure(what: str, error: Exception) -> dict[str, str]:
    """An error as a record: what was tried, AWS's code, its message on one line."""
    told = error.response.get("Error", {}).get("Message", "") if isinstance(error, ClientError) else str(error)
    # EC2 adds some hundred characters that only it can read.
    readable = str(told).partition(" Encoded authorization failure message:")[0]
    return {"what": what, "code": code_of(error), "message": " ".join(readable.split())}


def is_gone(error: Exception) -> bool:
    """Whether AWS says that what was to be ended is not there."""
    code = code_of(error)
    return "NotFound" in code or code in ("NoSuchBucket", "NoSuchKey")


def is_denied(error: Exception) -> bool:
    """Whether AWS says that the caller may not do it."""
    return code_of(error) in ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")
