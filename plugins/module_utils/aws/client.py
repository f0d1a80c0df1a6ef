# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""AWS as this collection uses it: clients, AWS's own clock, retried calls, and errors as text."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

PATIENT = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 8})
"""For look-ups: enough for a throttled account, short enough for an endpoint that does not answer."""
SWEEP = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 2})
"""For a sweep, which retries each call itself (`Aws.persist`) with pauses that are known."""
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between the tries of one call: five tries in 15 seconds."""
AWS_ERRORS = (BotoCoreError, ClientError)
ISO = "%Y-%m-%dT%H:%M:%SZ"
T = TypeVar("T")


class Clock:
    """AWS's clock, by the ``Date`` header of its last answer."""

    def __init__(self) -> None:
        """Start without a time."""
        self._last: tuple[datetime, float] | None = None

    def listen(self, events: Any) -> None:
        """Read the time of every answer of a botocore client or session, given its event system."""
        events.register("response-received", self._read)

    def now(self) -> datetime | None:
        """The time in UTC; None before the first answer."""
        if self._last is None:
            return None
        return self._last[0] + timedelta(seconds=time.monotonic() - self._last[1])

    def offset(self) -> float | None:
        """Seconds that AWS's clock is ahead of this machine's; None before the first answer."""
        now = self.now()
        return None if now is None else (now - datetime.now(UTC)).total_seconds()

    def _read(self, response_dict: Any = None, **_: Any) -> None:
        date = ((response_dict or {}).get("headers") or {}).get("date")
        if date:
            self._last = (parsedate_to_datetime(date).astimezone(UTC), time.monotonic())


class Aws:
    """Clients of one account and region."""

    def __init__(self, make_client: Callable[[str], Any]) -> None:
        """Prepare; nothing is requested yet. ``make_client`` makes the boto3 client of a service, with `SWEEP`."""
        self._make_client = make_client
        self._clients: dict[str, Any] = {}
        self._clock = Clock()
        self.now = self._clock.now

    def client(self, service: str) -> Any:
        """The client of a service; each of its answers sets the clock."""
        if service not in self._clients:
            client = self._make_client(service)
            self._clock.listen(client.meta.events)
            self._clients[service] = client
        return self._clients[service]

    def persist(self, call: Callable[[], T]) -> T:
        """Make a call, and retry it with growing pauses unless AWS denies it or the resource is gone."""
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
        """All items of a paginated look-up, retried like `persist`."""

        def read() -> list[dict[str, Any]]:
            pages = self.client(service).get_paginator(operation).paginate(**parameters)
            return [item for page in pages for item in page.get(key, [])]

        return self.persist(read)


def tags_of(item: dict[str, Any]) -> dict[str, str]:
    """The tags of an EC2 resource as a mapping."""
    return {tag["Key"]: tag["Value"] for tag in item.get("Tags") or []}


def code_of(error: BaseException) -> str:
    """AWS's error code, or the name of the exception if AWS did not answer."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "")) or "error"
    return type(error).__name__


def message_of(error: BaseException) -> str:
    """AWS's message on one line, without the encoded part that only EC2 can read."""
    text = error.response.get("Error", {}).get("Message", "") if isinstance(error, ClientError) else str(error)
    return " ".join(str(text).partition(" Encoded authorization failure message:")[0].split())


def failure(what: str, error: Exception) -> dict[str, str]:
    """An error as a record: the attempted operation, AWS's code and message."""
    return {"what": what, "code": code_of(error), "message": message_of(error)}


def one_line(error: BaseException) -> str:
    """An error as one line for a person."""
    if is_clock_refusal(error):
        return "AWS refuses the request because of the control node's clock"
    separator = " " if isinstance(error, ClientError) else ": "
    return f"{code_of(error)}{separator}{message_of(error)}".strip()


def is_gone(error: BaseException) -> bool:
    """Whether AWS says that the resource does not exist."""
    code = code_of(error)
    return "NotFound" in code or code in ("NoSuchBucket", "NoSuchKey")


def is_denied(error: BaseException) -> bool:
    """Whether AWS says that the caller lacks the permission."""
    return code_of(error) in ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")


def is_clock_refusal(error: BaseException) -> bool:
    """Whether AWS refuses a request because its signature is too old, or not valid yet, by AWS's clock."""
    if not isinstance(error, ClientError):
        return False
    late = message_of(error).startswith(("Signature expired", "Signature not yet current"))
    return late or code_of(error) in ("RequestExpired", "RequestTimeTooSkewed")
