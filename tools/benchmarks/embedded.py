"""An embedded AWS for benchmarks: a bucket, a user with read access, added latency, and the user's requests."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from local_aws import control, substitutions
from local_aws.state import AccessKey, Reservation

BUCKET = "bench-data"
PREFIX = "arcticdb"
READER = "bench-reader"
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

IDLE_MINUTES = 10.0
"""The server exits after this time without requests, in case this process is killed."""


@dataclass(frozen=True)
class Embedded:
    """A running embedded AWS with the bucket and the reader."""

    reservation: Reservation
    reader: AccessKey

    @property
    def owner_uri(self) -> str:
        """ArcticDB's URI for the account's owner, who writes the prices."""
        key, at = self.reservation.operator, self.reservation
        return (
            f"s3://127.0.0.1:{BUCKET}?port={at.port}&region={at.region}&access={key.access_key_id}"
            f"&secret={key.secret_access_key}&use_virtual_addressing=false&path_prefix={PREFIX}"
        )

    def environment(self) -> dict[str, str]:
        """Environment of a program with an instance's permissions in preflight and without the user's settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ARCTICDB_"))}
        return {**kept, **self.reservation.client_environment(self.reader)}

    def set_latency(self, milliseconds: float) -> None:
        """Delay every S3 request; 0 removes the delay."""
        control.call(self.reservation, "fault", {"kind": "clear", "parameters": {}})
        if milliseconds:
            parameters = {"milliseconds": milliseconds, "service": "s3"}
            control.call(self.reservation, "fault", {"kind": "latency", "parameters": parameters})

    def requests_from_now(self) -> Callable[[], list[dict[str, Any]]]:
        """Return a function that returns the reader's requests since this call, in the order of their responses.

        It reads only the end of the ledger, which becomes long.
        """
        ledger = self.reservation.home / "ledger.jsonl"
        start = ledger.stat().st_size

        def requests() -> list[dict[str, Any]]:
            with ledger.open(encoding="utf-8") as lines:
                lines.seek(start)
                entries = [json.loads(line) for line in lines if line.endswith("}\n")]
            return [entry for entry in entries if entry["principal"].endswith(f":user/{READER}")]

        return requests


def keys(requests: list[dict[str, Any]]) -> list[str]:
    """Keys of the objects that the requests read."""
    prefix = f"arn:aws:s3:::{BUCKET}/"
    return [
        str(entry["resource"]).removeprefix(prefix)
        for entry in requests
        if entry["action"] == "GetObject" and entry["status"] == 200
    ]


@contextmanager
def running(home: Path, policy: Path) -> Iterator[Embedded]:
    """Start an embedded AWS in `home`, and always stop it at the end.

    `policy` is the template of the reader's policy, with `${data_bucket}`.
    """
    try:
        # A server that is still starting cannot be stopped.
        with uninterrupted():
            reservation = control.start(home, boot_delay=0, idle_minutes=IDLE_MINUTES)
        yield Embedded(reservation, _prepare(reservation, policy))
    finally:
        with uninterrupted():
            control.stop(home)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Defer signals until the end of the block."""
    asked: list[int] = []
    former = {number: signal.signal(number, lambda got, _: asked.append(got)) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt


def _prepare(reservation: Reservation, policy: Path) -> AccessKey:
    operator = reservation.operator
    session = boto3.Session(operator.access_key_id, operator.secret_access_key, region_name=reservation.region)
    session.client("s3", endpoint_url=reservation.endpoint).create_bucket(Bucket=BUCKET)
    iam = session.client("iam", endpoint_url=reservation.endpoint)
    iam.create_user(UserName=READER)
    values = {"data_bucket": BUCKET, "data_prefixes": [f"{PREFIX}/"], "artefact_prefixes": ["predictor/"]}
    document = json.dumps(substitutions.fill(json.loads(policy.read_text(encoding="utf-8")), values))
    iam.put_user_policy(UserName=READER, PolicyName="preflight", PolicyDocument=document)
    made = iam.create_access_key(UserName=READER)["AccessKey"]
    return AccessKey(READER, made["AccessKeyId"], made["SecretAccessKey"])
